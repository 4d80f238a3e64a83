"""The commands on a segmenter's package without a run beside it: converted, described, asked, evaluated."""

import json

import numpy as np
import pytest
from PIL import Image

from helpers.segmenters import SIDES
from helpers.shapes import NAMES, write_shapes
from helpers.small_segmenters import miou_on_shapes, small_segmenter
from keras_mobattn import data, export
from keras_mobattn.tasks.segmentation import segment

pytestmark = pytest.mark.sampled

FORMS = {"class_map": (), "logits": ("--form", "logits")}  # form -> the flags; the first by default


@pytest.fixture(scope="module")
def model():
    return small_segmenter(names=NAMES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_shapes(tmp_path_factory.mktemp("images") / "shapes")


@pytest.mark.parametrize("form", FORMS)
def test_the_commands(form, model, folder, tmp_path, call_script, capsys):
    file, path = tmp_path / "net.keras", tmp_path / "net.mlpackage"
    model.save(file)
    flags = ("--labels", folder / "classes.txt", "--images", folder / "images", "--precision", "fp32", *FORMS[form])
    assert call_script("coreml/convert.py", file, "--output", path, "--input-type", "image", *flags) == 0
    assert "Labels in the file: background, disc, square (3 classes)." in capsys.readouterr().out
    assert export.CoreMLModel(path).given_names == (form,)
    assert call_script("coreml/describe.py", path) == 0
    assert form in capsys.readouterr().out
    elsewhere = tmp_path / "elsewhere" / "net.mlpackage"
    elsewhere.parent.mkdir()
    path.rename(elsewhere)
    image = folder / "images" / "test" / "test0.png"
    asked = ("--model", elsewhere, "--masks", tmp_path / "masks", "--json-lines")
    assert call_script("training/predict.py", image, *asked) == 0
    record = json.loads(capsys.readouterr().out)
    assert {each["class"] for each in record["classes"]} <= set(NAMES)
    with Image.open(tmp_path / "masks" / "test0.png") as mask:
        same = np.asarray(mask) == segment(model, data.read_image(image))
    assert same.mean() > (0.999 if form == "logits" else 0.95)  # classes at the model's size are the nearest pixel's
    assert call_script("training/evaluate.py", elsewhere, "--dataset", folder) == 0
    printed = capsys.readouterr().out
    wanted = 100 * miou_on_shapes(model, folder)
    (found,) = (float(line.split()[1]) for line in printed.splitlines() if line.startswith("mIoU: "))
    assert found == pytest.approx(wanted, abs=0.02 if form == "logits" else 2)


def test_half_precision_is_described(model, folder, tmp_path, call_script, capsys):
    """Of classes the share that differs: two that are nearly equal may have numbers far from each other."""
    path = tmp_path / "net.mlpackage"
    export.to_coreml(model, path, "fp16", labels=NAMES, input_type="image", check_images=data.sample_photos(2, SIDES))
    flags = ("--half", "--images", folder / "images", "--require", "half")
    assert call_script("coreml/describe.py", path, *flags) == 0, capsys.readouterr().out
