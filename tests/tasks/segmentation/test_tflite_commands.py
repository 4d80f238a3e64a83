"""The commands on a segmenter's .tflite file without a run beside it: converted, described, timed, asked, evaluated."""

import json

import numpy as np
import pytest
from PIL import Image

from helpers.shapes import NAMES, write_shapes
from helpers.small_segmenters import miou_on_shapes, small_segmenter
from keras_mobattn import data, export
from keras_mobattn.tasks.segmentation import segment

FORMS = {"logits": (), "full_size": ("--form", "full_size", "--output-dtype", "uint8")}  # form -> flags


@pytest.fixture(scope="module")
def model():
    return small_segmenter(names=NAMES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_shapes(tmp_path_factory.mktemp("images") / "shapes")


@pytest.mark.parametrize("form", FORMS)
def test_the_commands(form, model, folder, tmp_path, call_script, mobattn, capsys):
    file, path = tmp_path / "net.keras", tmp_path / "elsewhere" / "net.tflite"
    path.parent.mkdir()
    model.save(file)
    flags = ("--labels", folder / "classes.txt", "--images", folder / "images", "--input-dtype", "uint8", *FORMS[form])
    assert call_script("tflite/convert.py", file, "--output", path, *flags) == 0
    assert "Labels in the file: background, disc, square (3 classes)." in capsys.readouterr().out
    assert export.TFLiteModel(path).given_names == (form,)
    assert mobattn("describe", path) == 0
    assert form in capsys.readouterr().out
    flags = ("--num-runs", 1, "--rounds", 1, "--output-dir", tmp_path / "times")
    assert mobattn("benchmark", path, *flags) == 0, capsys.readouterr()
    image = folder / "images" / "test" / "test0.png"
    asked = ("--masks", tmp_path / "masks", "--plot", tmp_path / "sheet.png", "--json-lines")
    capsys.readouterr()
    assert mobattn("predict", image, "--model", path, *asked) == 0
    record = json.loads(capsys.readouterr().out)
    assert {each["class"] for each in record["classes"]} <= set(NAMES)
    expected = segment(model, data.read_image(image))
    with Image.open(tmp_path / "masks" / "test0.png") as mask:
        same = np.asarray(mask) == expected
    assert same.mean() > (0.999 if form == "logits" else 0.95)  # probabilities of the image's size are resized again
    assert mobattn("predict", image, "--model", path, *asked) == 2  # its masks may be somebody's annotations
    assert "one with" in (said := capsys.readouterr().err)
    assert "test0.png" in said
    asked = ("--plot", tmp_path / "photo.png")
    (tmp_path / "photo.png").write_bytes(image.read_bytes())
    assert mobattn("predict", tmp_path / "photo.png", "--model", path, *asked) == 2
    assert "Expected --plot to be none of the images" in capsys.readouterr().err
    assert (tmp_path / "photo.png").read_bytes() == image.read_bytes()
    (tmp_path / "broken.png").write_bytes(b"no picture")
    asked = ("--masks", tmp_path / "none")
    assert mobattn("predict", tmp_path / "broken.png", "--model", path, *asked) == 2
    assert "Written" not in "".join(capsys.readouterr())
    assert not (tmp_path / "none").exists()
    assert sum(each["share"] for each in record["classes"]) == pytest.approx(1, abs=1e-4)
    assert (tmp_path / "sheet.png").exists()
    for judged in (path, file):  # the Keras model without a run, too
        assert mobattn("evaluate", judged, "--dataset", folder) == 0
        printed = capsys.readouterr().out
        (found,) = (float(line.split()[1]) for line in printed.splitlines() if line.startswith("mIoU: "))
        wanted = 100 * miou_on_shapes(model, folder)
        assert found == pytest.approx(wanted, abs=0.02 if form == "logits" or judged is file else 2)
