"""The recipes: what they set against the published tables, how flags override them, and what the script shows."""

import dataclasses
import json
import runpy
import sys
from pathlib import Path

import pytest

from keras_mobattn import InputError
from keras_mobattn.data import AUGMENTATIONS
from keras_mobattn.models import MODELS
from keras_mobattn.training import RECIPES, TrainSettings, recipe_settings
from keras_mobattn.training.optimizer import schedule
from keras_mobattn.weights.tags import TAGS

SCRIPT = Path(__file__).parent.parent / "training" / "train.py"
# apple/ml-cvnets, config/classification: optimizer, peak and final learning rate, warm-up steps and start, weight
# decay, epochs, batch, decay of 1-D weights, average's decay, clipping; the last is thuml/Flowformer's.
PUBLISHED = {
    "mobilevitv2_in1k": ("adamw", 2e-3, 2e-4, 20_000, 1e-6, 0.05, 300, 1024, False, 0.9995, 10.0),
    "mobilevitv2_in1k_384": ("sgd", 1e-3, 1e-3, 0, 0.0, 4e-5, 10, 128, False, 0.99995, 10.0),
    "mobilevitv2_in21k": ("adamw", 3e-4, 1e-6, 0, 0.0, 0.05, 80, 4096, False, 0.9995, 10.0),
    "mobilevitv2_in21k_in1k": ("sgd", 1e-2, 1e-3, 0, 0.0, 4e-5, 50, 256, False, 0.9995, None),
    "mobilevit_in1k": ("adamw", 2e-3, 2e-4, 20_000, 2e-4, 0.01, 300, 1024, True, 0.9995, None),
    "mobile_attention_in1k": ("adamw", 7.5e-4, 1e-5, 5 * 1668, 1e-6, 0.05, 300, 768, False, 0.0, 1.0),
}
IMAGENET = 1_281_167
# Width -> learning rate, weight decay (architectures' table of the v2 paper's code)
BY_WIDTH = {0.5: (9e-3, 0.004), 0.75: (9e-3, 0.008), 1.0: (7.5e-3, 0.013), 1.25: (4.9e-3, 0.020), 1.5: (3.5e-3, 0.029)}
BY_WIDTH |= {1.75: (2.6e-3, 0.039), 2.0: (2e-3, 0.05)}


def test_the_table_is_complete():
    assert set(RECIPES) == set(PUBLISHED)


@pytest.mark.parametrize("name", RECIPES)
def test_settings_are_the_published_ones(name):
    s = recipe_settings(name, width=2.0)
    rate = schedule(s, IMAGENET // s.batch_size)
    seen = (s.optimizer, rate.peak, rate.floor, rate.warmup_steps, rate.start, s.weight_decay)
    seen += (s.epochs, s.batch_size, s.decay_1d, s.ema_decay, s.clip_norm)
    assert seen == PUBLISHED[name]
    assert s.base_batch_size == s.batch_size
    assert (s.label_smoothing, s.width) == (0.1, 2.0)
    assert s.augment in AUGMENTATIONS
    assert s.model in MODELS
    if s.weights and s.weights.startswith("timm/"):
        assert s.weights in {f"timm/{name}" for name in TAGS}


@pytest.mark.parametrize("width", BY_WIDTH)
def test_rate_and_decay_by_width(width):
    s = recipe_settings("mobilevitv2_in1k", width)
    assert (s.width, s.learning_rate, s.weight_decay) == (width, *BY_WIDTH[width])
    assert schedule(s, 1251).floor == pytest.approx(BY_WIDTH[width][0] / 10)


def test_views():
    """288 to 256 pixels but for 384; the sampler's sizes."""
    crops = {name: recipe_settings(name).image_size / recipe_settings(name).test_crop for name in RECIPES}
    assert crops.pop("mobilevitv2_in1k_384") == 384
    assert crops.pop("mobile_attention_in1k") == pytest.approx(292.57, abs=0.01)
    assert set(crops.values()) == {288}
    assert recipe_settings("mobilevit_in1k").sizes == (160, 192, 256, 288, 320)


@pytest.mark.parametrize("name", RECIPES)
def test_docstrings_tell(name):
    text = RECIPES[name].__doc__
    assert f"--recipe {name}" in text
    assert "Hardware:" in text
    assert "Published" in text
    assert "arXiv" in text or "thuml/MobileAttention" in text


def test_unknown_recipe():
    with pytest.raises(InputError, match="one of 'mobilevitv2_in1k'.*Received: 'nope'"):
        recipe_settings("nope")


def test_settings_survive_json():
    s = recipe_settings("mobilevit_in1k")
    again = json.loads(json.dumps(dataclasses.asdict(s)))
    assert TrainSettings(**{**again, "sizes": tuple(again["sizes"])}) == s


def shown(monkeypatch, capsys, *flags):
    """The table that the script prints, in this process: a new one takes 5 s to import TensorFlow."""
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *flags, "--print-settings"])
    with pytest.raises(SystemExit) as ending:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    printed = capsys.readouterr()
    cells = (line.split("│") for line in printed.out.splitlines() if line.count("│") == 3)
    return ending.value.code, {name.strip(): value.strip() for _, name, value, _ in cells}, printed.err


def test_flags_override_single_fields(monkeypatch, capsys):
    flags = ("--recipe", "mobilevitv2_in1k", "--width", "0.75", "--batch-size", "256", "--dataset", "x/")
    code, settings, _ = shown(monkeypatch, capsys, *flags)
    assert code == 0
    expected = {"width": "0.75", "learning_rate": "0.009", "weight_decay": "0.008", "batch_size": "256"}
    expected |= {"base_batch_size": "1024", "dataset": "'x/'", "epochs": "300", "augment": "'mobilevitv2'"}
    assert {name: settings[name] for name in expected} == expected
    assert set(settings) == {field.name for field in dataclasses.fields(TrainSettings)}


BAD_FLAGS = {
    "unknown": (("--recipe", "nope"), "invalid choice 'nope'"),
    "width": (("--recipe", "mobilevit_in1k", "--width", "-1"), "width expects"),
    "nothing": (("--recipe",), "--recipe"),
    "accumulation": (("--recipe", "mobilevit_in1k", "--grad-accum-steps", "7"), "a divisor of batch_size=1024"),
}


@pytest.mark.parametrize("case", BAD_FLAGS)
def test_bad_flags(case, monkeypatch, capsys):
    flags, message = BAD_FLAGS[case]
    code, settings, errors = shown(monkeypatch, capsys, *flags)
    assert (code, settings) == (2, {})
    assert message in errors
    assert "Traceback" not in errors
