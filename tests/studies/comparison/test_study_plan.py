"""What an attention comparison runs: one budget for all, small hosts, variants, and a plan that is kept."""

import dataclasses
import json

import numpy as np
import pytest

from helpers.compared import PLAN
from keras_mobattn.attention import MobileAttention
from keras_mobattn.catalog import ATTENTION_FORMS
from keras_mobattn.errors import InputError
from keras_mobattn.studies import comparison
from keras_mobattn.studies.comparison import HOSTS, STAGES, STYLES, VARIANTS, StudyPlan, styles_of


def test_every_run_has_the_same_budget():
    varied = {"model", "attention", "head_dim", "seed"}
    budgets, seen = set(), set()
    for host in ("MobileViT", "DeiT"):
        for style in STYLES:
            for seed in (0, 1):
                stages = PLAN.settings(host, style, seed)
                assert list(stages) == ["crops", "scenes"]
                assert [settings.epochs for settings in stages.values()] == [2, 3]
                fields = [dataclasses.asdict(settings) for settings in stages.values()]
                seen.add(tuple(fields[0][name] for name in sorted(varied)))
                budgets.add(json.dumps([{k: v for k, v in each.items() if k not in varied} for each in fields]))
    assert len(budgets) == 1
    assert len(seen) == 2 * len(STYLES) * 2


def test_hosts_are_small_and_styles_differ():
    plan = StudyPlan("nano", tuple(STAGES), comparison.EPOCHS)
    for host in HOSTS:
        settings = plan.settings(host, "own", 0)
        assert set(settings) == ({"fashion"} if host == "MobileViTv2" else set(STAGES))
        assert {each.variant for each in settings.values()} == {None if host == "MobileViTv2" else "nano"}
        assert {each.width for each in settings.values()} == {0.5}
    assert styles_of("DeiT", tuple(STYLES)) == tuple(STYLES)
    assert styles_of("MobileViTv2", tuple(STYLES)) == tuple(style for style in STYLES if style != "own")
    assert styles_of("MobileViTv2", ("own", "mobile d=8")) == ("own", "mobile d=8")  # where nothing else is the same
    assert styles_of("PVTv2") == tuple(STYLES)
    assert styles_of("EfficientFormerV2") == tuple(style for style in STYLES if style != "mobile d=2")
    assert styles_of("MobileViTv2") == ("separable", "mobile d=8", "mobile d=8, published")


def test_variants_change_one_thing_of_the_default_form():
    query, key, value = (np.random.default_rng(i).normal(size=(2, 3, 5, 7)).astype("float32") for i in range(3))
    same = np.repeat(np.repeat(key[:, :1], 3, 1)[..., :1], 7, 3)  # keys alike: no token and no head gives more
    layers = {
        name: ATTENTION_FORMS[name](15, num_heads=3)
        for name in ("mobile_published", "mobile_clipped", "mobile_without_competition")
    }
    default = MobileAttention(15, num_heads=3)
    mixed = {name: layer.mix(query, key, value).numpy() for name, layer in layers.items()}
    np.testing.assert_allclose(mixed["mobile_clipped"], mixed["mobile_published"] * 3 / 7, rtol=1e-5, atol=1e-6)
    for name in ("mobile_clipped", "mobile_without_competition"):
        assert np.abs(mixed[name] - default.mix(query, key, value)).max() > 1e-3
        np.testing.assert_allclose(layers[name].mix(same, same, value), default.mix(same, same, value), rtol=1e-5)
    plan = StudyPlan("test", tuple(STAGES), comparison.EPOCHS)
    for style, fields in VARIANTS.items():
        for settings in plan.settings("DeiT", style, 0).values():
            assert (settings.attention, settings.head_dim) == (fields["attention"], fields.get("head_dim"))


def test_a_folder_keeps_to_its_plan(tmp_path):
    PLAN.claim(tmp_path)
    PLAN.claim(tmp_path)
    for other in (
        StudyPlan("test", PLAN.stages, (2, 4)),
        StudyPlan("xs", PLAN.stages, (2, 3)),
        StudyPlan("test", ("crops",), (2,)),
    ):
        with pytest.raises(InputError, match="the same --variant, --stages and --epochs, or another --output-dir"):
            other.claim(tmp_path)
    PLAN.claim(tmp_path)
    (tmp_path / "plan.json").write_text("no")
    with pytest.raises(InputError, match="plan.json. Received: a file without"):
        PLAN.claim(tmp_path)
