"""The task: how masks are told, drawn and written, what starts a segmenter, and what it refuses."""

import io

import numpy as np
import pytest
import rich.console
import tf_keras as keras
from PIL import Image
from pycocotools import mask as coco_masks

import keras_mobattn
from keras_mobattn import InputError
from keras_mobattn.data.targets import IGNORED
from keras_mobattn.models import load_model
from keras_mobattn.tasks import TASKS, task_of
from keras_mobattn.tasks.segmentation import SEGMENTATION, DeepLabV3, segment
from keras_mobattn.tasks.segmentation.draw import difference, mask_png, overlay, palette
from keras_mobattn.tasks.segmentation.start import is_segmenter_file, start_from
from keras_mobattn.tasks.segmentation.task import HEADS, mask_of
from keras_mobattn.training import TrainSettings

NAMES = ("background", "ant", "bee", "cat")


def small(classes=4, sides=(64, 96), seed=1, **options):
    backbone = keras_mobattn.MobileViTv2(variant="test", include_top=False, input_shape=(*sides, 3))
    return keras_mobattn.randomize_weights(DeepLabV3(backbone, classes, width=16, **options), seed)


@pytest.fixture(scope="module")
def model():
    return small(auxiliary=True)


def test_the_palette_is_pascal_vocs():
    """The first of VOC's 21 and its border, from the development kit's table."""
    expected = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128)]
    expected += [(128, 128, 128), (64, 0, 0), (192, 0, 0), (64, 128, 0), (192, 128, 0), (64, 0, 128), (192, 0, 128)]
    expected += [(64, 128, 128), (192, 128, 128), (0, 64, 0), (128, 64, 0), (0, 192, 0), (128, 192, 0), (0, 64, 128)]
    np.testing.assert_array_equal(palette()[:21], expected)
    assert palette()[IGNORED].tolist() == [224, 224, 192]
    assert len(np.unique(palette()[:255], axis=0)) == 255


def test_a_mask_file_has_the_numbers_and_the_colours():
    mask = np.arange(256, dtype=np.uint8).reshape(8, 32)
    with Image.open(io.BytesIO(mask_png(mask))) as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), mask)
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), palette()[mask])


def test_a_background_stays_as_it_is():
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    mask = np.zeros((40, 60), int)
    mask[:, 30:] = 2
    seen = overlay(image, mask, NAMES, legend=False)
    np.testing.assert_array_equal(seen[:, :30], image[:, :30])
    np.testing.assert_allclose(seen[:, 30:], 0.45 * image[:, 30:] + 0.55 * palette()[2], atol=0.51)
    tinted = overlay(image, mask, ("road", "car", "sky"), legend=False)  # no background: all is coloured
    np.testing.assert_allclose(tinted[:, :30], 0.45 * image[:, :30], atol=0.51)
    named = overlay(image, mask, NAMES)
    assert (named != seen).any()
    assert (named == palette()[2]).all(-1).sum() > 20  # the tag's ground


def test_the_difference_shows_what_is_wrong():
    truth, mask = np.array([[0, 1, IGNORED]]), np.array([[0, 2, 1]])
    seen = difference(truth, mask)
    assert [tuple(each) for each in seen[0].tolist()] == [(31, 163, 100), (229, 72, 77), (224, 224, 192)]


def test_it_is_recognised(model, tmp_path):
    task = task_of(model)
    assert type(task) is type(SEGMENTATION)
    assert task.sides == (64, 96)
    model.save(tmp_path / "model.keras")
    assert is_segmenter_file(tmp_path / "model.keras")
    assert task_of(load_model(tmp_path / "model.keras")).sides == (64, 96)
    assert task_of(keras_mobattn.MobileViTv2(variant="test", input_shape=(64, 64, 3))) is TASKS["classification"]


def test_segment(model):
    rng = np.random.default_rng(2)
    image = rng.integers(0, 255, (50, 37, 3), np.uint8)
    mask = segment(model, image)
    assert mask.shape == (50, 37)
    assert mask.dtype == np.int32
    same = rng.integers(0, 255, (64, 96, 3), np.uint8)
    logits = model(same[None].astype(np.float32))["logits"]
    task = task_of(model)
    np.testing.assert_array_equal(segment(model, same), _class_map(task, logits)[0])
    np.testing.assert_array_equal(segment(model, same), np.argmax(task.in_form(logits, "full_size")[0], -1))
    with pytest.raises(InputError, match="Expected a segmenter"):
        segment(keras_mobattn.MobileViTv2(variant="test", input_shape=(64, 64, 3)), same)


def test_a_record_has_the_mask(model):
    logits = np.random.default_rng(3).normal(0, 1, (1, 4, 6, 4)).astype(np.float32)
    record = SEGMENTATION.record({"logits": logits, "auxiliary": -logits}, NAMES, 5, (60, 90))
    assert record["size"] == [60, 90]
    shares = [each["share"] for each in record["classes"]]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    mask, names = mask_of(record)
    np.testing.assert_array_equal(mask, _expected(logits, (60, 90)))
    for each in record["classes"]:
        np.testing.assert_array_equal(coco_masks.decode(each["segmentation"]), mask == each["number"])
        assert names[each["number"]] == NAMES[each["number"]] == each["class"]
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(SEGMENTATION.mask_file(record)))), mask)
    console = rich.console.Console(record=True, width=80)
    console.print(SEGMENTATION.answer("a photo", record))
    text = console.export_text()
    assert all(each["class"] in text for each in record["classes"])
    assert "background" not in SEGMENTATION.in_words(record)


def _expected(logits, sides):
    task = type(SEGMENTATION)(sides=sides)
    return _class_map(task, logits)[0]


def _class_map(task, logits):
    return task.finished({"scores": task.in_form(logits, "class_map")}, "class_map")["class_map"].numpy()


def test_what_is_shown_of_a_batch():
    image = np.full((8, 8, 3), 200, np.uint8)
    mask = np.zeros((8, 8), np.uint8)
    mask[:4], mask[7] = 1, IGNORED
    seen = SEGMENTATION.shown(image, {"mask": mask}, NAMES)
    assert (seen[7] == palette()[IGNORED]).all()
    assert (seen[5] == 200).all()
    assert SEGMENTATION.caption({"mask": mask}, NAMES) == "ant"
    assert SEGMENTATION.caption({"mask": np.full((8, 8), IGNORED)}, NAMES) == "nothing"
    assert SEGMENTATION.caption({"mask": np.zeros((8, 8), int)}, NAMES) == "background"


def test_forms(model):
    """The auxiliary head is in none; shapes are those of the form."""
    task = task_of(model)
    bare = task.model_for(model, "logits")
    assert not any(layer.name.startswith("auxiliary") for layer in bare.layers)
    logits = bare(np.random.default_rng(0).uniform(0, 255, (1, 64, 96, 3)).astype(np.float32))
    shapes = {form: tuple(task.in_form(logits, form).shape) for form in task.forms}
    assert _class_map(task, logits).shape == (1, 64, 96)
    map_, full = (1, 4, 6, 4), (1, 64, 96, 4)
    assert shapes == {"class_map": full, "logits": map_, "probabilities": map_, "full_size": full}
    assert {kind: task.form_for(kind) for kind in ("TFLite", "Core ML")} == {"TFLite": "logits", "Core ML": "class_map"}
    assert np.allclose(np.sum(task.in_form(logits, "full_size"), -1), 1, atol=1e-5)
    same = task.agreement({"logits": logits}, {"probabilities": task.in_form(logits, "probabilities")})
    assert same > 0.9  # probabilities of random logits are not resized alike
    assert task.agreement({"logits": logits}, {"logits": np.roll(logits, 1, -1)}) < 0.5


STARTS = {  # classes of the earlier run -> of the new one: place of each of its classes there, or None
    "the same": NAMES,
    "another order": ("cat", "background", "bee", "ant"),
    "others": ("background", "cow", "bee", "dog", "ant"),
}


@pytest.mark.sampled
@pytest.mark.parametrize("names", STARTS.values(), ids=STARTS)
def test_it_starts_from_another_one(names, model, tmp_path, monkeypatch):
    model.save(tmp_path / "model.keras")
    (tmp_path / "settings.json").write_text("{}")
    (tmp_path / "labels.txt").write_text("\n".join(NAMES) + "\n")
    new = small(len(names), seed=9, auxiliary=True)
    before = {layer.name: layer.get_weights() for layer in new.layers}
    missing = [name for name in names if name not in NAMES]
    if missing:
        with pytest.warns(UserWarning, match="knows 3 of the 5 classes: cow, dog start anew"):
            start_from(new, tmp_path / "model.keras", names)
    else:
        start_from(new, tmp_path / "model.keras", names)
    for layer in new.layers:
        theirs = model.get_layer(layer.name).get_weights()
        for own, other, old in zip(layer.get_weights(), theirs, before[layer.name], strict=True):
            if not layer.name.endswith("classifier"):
                np.testing.assert_array_equal(own, other)
                continue
            for place, name in enumerate(names):
                expected = other[..., NAMES.index(name)] if name in NAMES else old[..., place]
                np.testing.assert_array_equal(own[..., place], expected)
    with pytest.raises(InputError, match="whose layer 'aspp_"):
        start_from(DeepLabV3(_backbone(), len(NAMES), width=8), tmp_path / "model.keras", NAMES)


def _backbone():
    return keras_mobattn.MobileViTv2(variant="test", include_top=False, input_shape=(64, 96, 3))


REFUSED = {
    "label smoothing": {"label_smoothing": 0.1},
    "a crop": {"test_crop": 0.9},
    "sizes": {"sizes": (64, 96)},
    "anchors": {"anchors": "ssd"},
}


@pytest.mark.parametrize("options", REFUSED.values(), ids=REFUSED)
def test_settings_of_others_are_refused(options):
    settings = TrainSettings(task="segmentation", **{"label_smoothing": 0.0, **options})
    with pytest.raises(InputError, match=f"Expected {next(iter(options))}"):
        SEGMENTATION.expect_settings(settings)


@pytest.mark.parametrize("name", ["classification", "detection"])
def test_others_refuse_its_settings(name):
    for options in ({"head": "pspnet"}, {"head_width": 64}, {"output_stride": 8}, {"auxiliary_weight": 0.0}):
        settings = TrainSettings(task=name, label_smoothing=0.0, **options)
        with pytest.raises(InputError, match=f"Expected {next(iter(options))} to be left out"):
            TASKS[name].expect_settings(settings)


@pytest.mark.parametrize("head", HEADS)
def test_a_runs_model(head):
    settings = TrainSettings(task="segmentation", head=head, head_width=8, output_stride=8, label_smoothing=0.0)
    task = SEGMENTATION.fitted(settings, None, print)
    again = SEGMENTATION.from_facts(task.facts)
    for each in (task, again):
        built = each.build(lambda **options: _backbone(), NAMES)
        assert set(built.output_shape) == {"logits", "auxiliary"}
        assert built.output_shape["logits"] == (None, 8, 12, 4)
        assert built.name.startswith(head)
    assert isinstance(SEGMENTATION.from_facts({}), type(SEGMENTATION))


def test_wrong_numbers_are_refused(model):
    with pytest.raises(InputError, match="Expected one label for each of the segmenter's 4 classes.*Received: 2"):
        SEGMENTATION.expect_labels(model, ("logits",), ("a", "b"))

    class Source:
        name, class_names = "pets", ("a", "b")

    with pytest.raises(InputError, match="Expected a segmenter of the 2 classes of 'pets'"):
        SEGMENTATION.expect_model(model, Source)
    with pytest.raises(InputError, match="Expected a segmenter of the 2 classes"):
        SEGMENTATION.expect_model(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]), Source)
