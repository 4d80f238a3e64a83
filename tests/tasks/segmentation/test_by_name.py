"""Published segmenters by name: opened by the commands, evaluated on VOC's classes, and as the start of a run.

Their weights are the initial ones here: tests of the checkpoints load real layouts.
"""

import json

import numpy as np
import pytest
from PIL import Image

import keras_mobattn
from helpers.masked_folders import write_voc
from keras_mobattn.tasks.segmentation import VOC, DeepLabV3, deeplabv3
from keras_mobattn.tasks.segmentation.start import is_segmenter_file, start_from
from keras_mobattn.weights.tags import SEGMENTERS, published_segmenter

pytestmark = pytest.mark.sampled

NAME = "apple/deeplabv3-mobilevit-xx-small"


@pytest.fixture
def without_weights(monkeypatch):
    """Nothing is downloaded; the model's weights are random."""
    monkeypatch.setattr(deeplabv3, "with_weights", lambda model, *_: keras_mobattn.randomize_weights(model, 4))


def test_names():
    assert all(
        published_segmenter(tag.repository) is published_segmenter(name) is tag for name, tag in SEGMENTERS.items()
    )
    assert is_segmenter_file(NAME)
    assert not any(map(published_segmenter, (None, "imagenet", "timm/mobilevit_s.cvnets_in1k", "deeplabv3.keras")))


def test_a_photo(without_weights, tmp_path, call_script, capsys):
    photo = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)).save(photo)
    flags = ("--weights", NAME, "--json-lines", "--masks", tmp_path / "masks")
    assert call_script("training/predict.py", photo, *flags) == 0
    record = json.loads(capsys.readouterr().out)
    assert {each["class"] for each in record["classes"]} <= set(VOC)
    expected = keras_mobattn.segment(DeepLabV3(weights=NAME), np.asarray(Image.open(photo)))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "masks" / "photo.png")), expected)


def test_it_is_evaluated_on_vocs_classes(without_weights, tmp_path, call_script, capsys):
    folder = write_voc(tmp_path / "voc") or tmp_path / "voc"
    assert call_script("training/evaluate.py", "--weights", NAME, "--dataset", folder) == 0
    printed = capsys.readouterr().out
    assert "mIoU" in printed
    assert all(name in printed for name in VOC)


def test_a_run_starts_from_it(without_weights):
    backbone = keras_mobattn.MobileViT("xxs", include_top=False, input_shape=(64, 64, 3))
    names = ("background", "person", "unicorn", "cat")
    model = DeepLabV3(backbone, len(names), width=256, auxiliary=True)
    with pytest.warns(UserWarning, match="knows 3 of the 4 classes: unicorn starts anew"):
        start_from(model, NAME, names)
    theirs = DeepLabV3(weights=NAME)
    for layer in theirs.layers:
        for own, other in zip(model.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True):
            if layer.name != "pixel_classifier":
                np.testing.assert_array_equal(own, other)
            else:
                for place, name in enumerate(names):
                    same = name in VOC and np.array_equal(own[..., place], other[..., VOC.index(name)])
                    assert same == (name in VOC)
