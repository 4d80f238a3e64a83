"""The recipes: what they set against the published tables, how flags override them, and what the script shows."""

import dataclasses
import json

import pytest

from keras_mobattn import InputError
from keras_mobattn.data import AUGMENTATIONS
from keras_mobattn.models import MODELS
from keras_mobattn.tasks import TASKS
from keras_mobattn.training import RECIPES, TrainSettings, recipe_settings
from keras_mobattn.training.optimizer import schedule
from keras_mobattn.weights.tags import TAGS

# apple/ml-cvnets, config/classification: optimizer, peak and final learning rate, warm-up steps and start, weight
# decay, epochs, batch, decay of 1-D weights, average's decay, clipping. Then thuml/Flowformer's; and, for the variant
# that comes without a flag, facebookresearch/deit's, whai362/PVT's and snap-research/EfficientFormer's main.py.
PUBLISHED = {
    "mobilevitv2_in1k": ("adamw", 2e-3, 2e-4, 20_000, 1e-6, 0.05, 300, 1024, False, 0.9995, 10.0),
    "mobilevitv2_in1k_384": ("sgd", 1e-3, 1e-3, 0, 0.0, 4e-5, 10, 128, False, 0.99995, 10.0),
    "mobilevitv2_in21k": ("adamw", 3e-4, 1e-6, 0, 0.0, 0.05, 80, 4096, False, 0.9995, 10.0),
    "mobilevitv2_in21k_in1k": ("sgd", 1e-2, 1e-3, 0, 0.0, 4e-5, 50, 256, False, 0.9995, None),
    "mobilevit_in1k": ("adamw", 2e-3, 2e-4, 20_000, 2e-4, 0.01, 300, 1024, True, 0.9995, None),
    "mobile_attention_in1k": ("adamw", 7.5e-4, 1e-5, 5 * 1668, 1e-6, 0.05, 300, 768, False, 0.0, 1.0),
    "deit_in1k": ("adamw", 1e-3, 1e-5, 5 * 1251, 1e-6, 0.05, 300, 1024, False, 0.99996, None),
    "deit_distilled_in1k": ("adamw", 1e-3, 1e-5, 5 * 1251, 1e-6, 0.05, 300, 1024, False, 0.99996, None),
    "pvtv2_in1k": ("adamw", 1e-3, 1e-5, 5 * 1251, 1e-6, 0.05, 300, 1024, False, 0.0, None),
    "efficientformerv2_in1k": ("adamw", 1e-3, 1e-5, 5 * 1251, 1e-5, 0.025, 300, 1024, False, 0.99996, 0.01),
    "deeplabv3_ade20k": ("sgd", 0.02, 2e-4, 0, 0.0, 1e-4, 120, 16, False, 0.9995, 10.0),
    "deeplabv3_voc": ("adamw", 5e-4, 1e-6, 500, 5e-5, 0.05, 50, 128, False, 0.9995, 10.0),
    "ssdlite_coco": ("adamw", 9e-4, 1e-6, 500, 9e-5, 0.05, 200, 128, True, 0.9995, 10.0),
}
IMAGENET = 1_281_167
WHOLE = ("ssdlite_coco", "deeplabv3_ade20k", "deeplabv3_voc")  # of tasks that see images whole
CLASSIFIERS = [name for name in RECIPES if name not in WHOLE]
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
    assert (s.label_smoothing, s.width) == (0.0 if name in WHOLE else 0.1, 2.0)
    TASKS[s.task].expect_settings(s)
    assert s.augment in AUGMENTATIONS
    assert s.model in MODELS
    if s.weights and s.weights.startswith("timm/"):
        assert s.weights in {f"timm/{name}" for name in TAGS}


@pytest.mark.parametrize("width", BY_WIDTH)
def test_rate_and_decay_by_width(width):
    s = recipe_settings("mobilevitv2_in1k", width)
    assert (s.width, s.learning_rate, s.weight_decay) == (width, *BY_WIDTH[width])
    assert schedule(s, 1251).floor == pytest.approx(BY_WIDTH[width][0] / 10)


BY_VARIANT = {  # drop path rate and clipping, by the configs of the authors
    **{("deit_in1k", variant): (0.1, None) for variant in ("tiny", "small", "base")},
    **{("deit_distilled_in1k", variant): (0.1, None) for variant in ("tiny", "small", "base")},
    **{("pvtv2_in1k", variant): (0.1, None) for variant in ("b0", "b1", "b2", "b2_li")},
    **{("pvtv2_in1k", variant): (0.3, 1.0) for variant in ("b3", "b4", "b5")},
    **{("efficientformerv2_in1k", variant): (0.0, 0.01) for variant in ("s0", "s1")},
    ("efficientformerv2_in1k", "s2"): (0.02, 0.01),
    ("efficientformerv2_in1k", "l"): (0.1, 0.01),
    ("mobilevit_in1k", "xs"): (0.0, None),
}


@pytest.mark.parametrize(("name", "variant"), BY_VARIANT)
def test_drop_path_and_clipping_by_variant(name, variant):
    s = recipe_settings(name, variant=variant)
    assert (s.variant, s.drop_path_rate, s.clip_norm) == (variant, *BY_VARIANT[name, variant])
    assert s.clip_mode == ("agc" if name == "efficientformerv2_in1k" else "norm")


# What learns from a teacher: the setting, and whether the model gets a second head by it.
TAUGHT = {"deit_distilled_in1k": ("hard", 0.5, True), "efficientformerv2_in1k": ("hard", 0.5, False)}


@pytest.mark.parametrize("name", RECIPES)
def test_teachers(name):
    s = recipe_settings(name)
    assert (s.distillation, s.distillation_alpha, s.distilled) == TAUGHT.get(name, (None, 0.5, False))
    assert (s.teacher is not None) == (name in TAUGHT)


@pytest.mark.parametrize("name", RECIPES)
def test_repeated_augmentation(name):
    """facebookresearch/deit's and those that come of it."""
    s = recipe_settings(name)
    assert s.aug_repeats == (3 if s.model in ("DeiT", "PVTv2", "EfficientFormerV2") else 1)


def test_views():
    """288 to 256 pixels but for 384, 256 to 224 for the transformers; the sampler's sizes."""
    crops = {name: recipe_settings(name).image_size / recipe_settings(name).test_crop for name in CLASSIFIERS}
    assert crops.pop("mobilevitv2_in1k_384") == 384
    assert {crops.pop(name) for name in list(crops) if recipe_settings(name).image_size == 224} == {256}
    assert crops.pop("mobile_attention_in1k") == pytest.approx(292.57, abs=0.01)
    assert set(crops.values()) == {288}
    assert recipe_settings("ssdlite_coco").image_size == 320
    assert recipe_settings("mobilevit_in1k").sizes == (160, 192, 256, 288, 320)


@pytest.mark.parametrize("name", RECIPES)
def test_docstrings_tell(name):
    text = RECIPES[name].__doc__
    assert f"--recipe {name}" in text
    assert "Hardware:" in text
    assert "Published" in text
    assert "arXiv" in text or "thuml/MobileAttention" in text


def test_detectors_by_family():
    v2, v1 = recipe_settings("ssdlite_coco", 0.5), recipe_settings("ssdlite_coco", variant="xs")
    assert (v2.model, v2.width, v2.variant, v2.weight_decay) == ("MobileViTv2", 0.5, None, 0.05)
    assert (v1.model, v1.variant, v1.weight_decay) == ("MobileViT", "xs", 0.01)
    assert {(s.task, s.anchors, s.dataset) for s in (v1, v2)} == {("detection", "ssd", "coco/2017")}


@pytest.mark.parametrize(("name", "stride"), {"deeplabv3_ade20k": 8, "deeplabv3_voc": 16}.items())
def test_segmenters(name, stride):
    s = recipe_settings(name, 1.0)
    assert (s.task, s.head, s.head_width, s.output_stride, s.image_size) == (
        "segmentation",
        "deeplabv3",
        None,
        stride,
        512,
    )
    assert (s.auxiliary_weight, s.augment) == (0.4, "segmentation")


def test_unknown_recipe():
    with pytest.raises(InputError, match="'deit_distilled_in1k'.*Received: 'nope'"):
        recipe_settings("nope")


def test_settings_survive_json():
    s = recipe_settings("mobilevit_in1k")
    again = json.loads(json.dumps(dataclasses.asdict(s)))
    assert TrainSettings(**{**again, "sizes": tuple(again["sizes"])}) == s


@pytest.fixture(name="shown")
def shown_fixture(call_script, capsys):
    """shown(*flags): train.py's exit code, the table of the settings that it prints, and what it complains of."""

    def show(*flags):
        code = call_script("training/train.py", *flags, "--print-settings")
        printed = capsys.readouterr()
        cells = (line.split("│") for line in printed.out.splitlines() if line.count("│") == 3)
        return code, {name.strip(): value.strip() for _, name, value, _ in cells}, printed.err

    return show


def test_the_variant_picks_its_settings(shown):
    """On a family that is here in any case; the recipe's own default where there is no flag."""
    for flags, variant in (((), "'s'"), (("--variant", "xxs"), "'xxs'")):
        code, settings, _ = shown("--recipe", "mobilevit_in1k", *flags)
        assert (code, settings["variant"]) == (0, variant)


def test_a_teacher_is_shown(shown):
    flags = ("--teacher", "a/b.keras", "--distillation", "soft", "--distillation-alpha", "0.7")
    code, settings, _ = shown(*flags, "--distillation-temperature", "3")
    assert code == 0
    seen = [settings[name] for name in ("teacher", "distillation", "distillation_alpha", "distillation_temperature")]
    assert seen == ["'a/b.keras'", "'soft'", "0.7", "3.0"]


def test_flags_override_single_fields(shown):
    flags = ("--recipe", "mobilevitv2_in1k", "--width", "0.75", "--batch-size", "256", "--dataset", "x/")
    code, settings, _ = shown(*flags)
    assert code == 0
    expected = {"width": "0.75", "learning_rate": "0.009", "weight_decay": "0.008", "batch_size": "256"}
    expected |= {"base_batch_size": "1024", "dataset": "'x/'", "epochs": "300", "augment": "'mobilevitv2'"}
    assert {name: settings[name] for name in expected} == expected
    assert set(settings) == {field.name for field in dataclasses.fields(TrainSettings)}


BAD_FLAGS = {
    "unknown": (("--recipe", "nope"), "invalid choice 'nope'"),
    "width": (("--recipe", "mobilevit_in1k", "--width", "-1"), "Expected width"),
    "nothing": (("--recipe",), "--recipe"),
    "teacher alone": (("--teacher", "x.keras"), "Expected distillation='hard' or 'soft' beside teacher"),
    "distillation": (("--distillation", "warm"), "invalid choice 'warm'"),
    "accumulation": (("--recipe", "mobilevit_in1k", "--grad-accum-steps", "7"), "batch_size=1024. Received: 7"),
}


@pytest.mark.parametrize("case", BAD_FLAGS)
def test_bad_flags(case, shown):
    flags, message = BAD_FLAGS[case]
    code, settings, errors = shown(*flags)
    assert (code, settings) == (2, {})
    assert message in errors
    assert "Traceback" not in errors
