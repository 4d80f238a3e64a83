"""The program `mobattn`: its help, its errors, and the commands that have no file of tests of their own."""

import contextlib
import glob
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from helpers.cases import tiny_model
from keras_mobattn import export, report
from keras_mobattn.catalog import COMMANDS
from keras_mobattn.commands import doctor, predict
from keras_mobattn.commands.benchmark import DEVICES
from keras_mobattn.data import resize_and_crop, sample_photos
from keras_mobattn.errors import InputError
from keras_mobattn.models import load_model

SIDE = 64


def test_help_tells_of_every_command(mobattn, capsys):
    assert mobattn("--help") == 0
    text = capsys.readouterr().out
    for name in COMMANDS:
        (line,) = (line for line in text.splitlines() if line.startswith(f"  {name} "))
        assert len(line.split()) > 3
    assert max(map(len, text.splitlines())) <= 100
    assert mobattn() == 2
    assert mobattn("--version") == 0
    assert capsys.readouterr().out.endswith("mobattn 0.1.0\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_called_by_its_name(name, mobattn, capsys):
    assert mobattn(name, "--help") == 0
    assert f"usage: mobattn {name}" in capsys.readouterr().out


BAD = {  # words -> part of the sentence
    ("trian",): "Received: 'trian'. Did you mean train?",
    ("--dataset", "photos"): "Expected a command: demo, predict",
    ("benchmark", "--device", "andriod"): "Expected device to be one of 'this', 'android', 'mac', 'iphone', 'browser'",
    ("benchmark", "--device"): "Received: ''",
    ("benchmark",): "Expected .tflite files, or the folder of a run. Received: none.",
    ("benchmark", "--device", "iphone", "a.tflite"): "Expected .mlpackage files. Received: 'a.tflite'",
    ("describe", "."): "Expected .tflite and .mlpackage files in .. Received: a folder without.",
    ("benchmark", "a.mlpackage"): "Expected .tflite files. Received: 'a.mlpackage'.",
    ("train", "photos", "--dataset", "photos"): "Expected the images once.",
    ("train", "photos", "--resume", "runs/photos"): "Expected the images once.",
    ("train", "./nowhere"): "one sub-folder of images a class. Received: nowhere, which is not there.",
    ("train", "--epochs", "0"): "Expected epochs to be a whole number from 1 up. Received: 0.",
    ("export", "nowhere"): "doesn't exist",
    ("export", "."): "a folder of something else",
    ("predict", "nothing.jpg"): "Received: nothing.jpg, not there",
    ("export", "nowhere", "--num-test-images", "0"): "Expected num_test_images to be a whole number from 1 up",
    ("predict", "*.nothing", "--model", "nowhere"): "Expected files that '*.nothing' fits.",
    ("predict", "--plot", "sheet.jpg"): "Expected a .png file as --plot.",
    ("evaluate", "nowhere"): "Expected --dataset",
    ("describe", "a.tflite", "--require", "ane"): "Expected .mlpackage files for --require ane.",
    ("train", "photos", "--output-dir", "photos"): "Received: 'photos', which is no folder in",
    ("train", "~nosuchuser/photos"): "~nosuchuser/photos",
    ("predict", "~nobody.jpg", "--model", "nowhere"): "Received: ~nobody.jpg, not there",
    ("completion", "fishes"): "invalid choice 'fishes'",
    ("doctor", "--require", "phone"): "invalid choice 'phone'",
}


@pytest.mark.parametrize("words", BAD, ids=" ".join)
def test_bad_words_are_one_sentence(words, mobattn, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert mobattn(*words) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert BAD[words] in said
    assert "Traceback" not in said
    assert "mobattn export" not in said
    assert "Convert the model" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("device", DEVICES)
def test_each_device_has_its_flags(device, mobattn, capsys):
    own = {
        "this": "--backend",
        "android": "--delegates",
        "mac": "--units",
        "iphone": "--units",
        "browser": "--litert-js",
    }
    assert mobattn("benchmark", "--help", "--device", device) == 0
    text = capsys.readouterr().out
    assert own[device] in text
    assert all(name in text for name in DEVICES if name != device)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion(shell, mobattn, capsys):
    assert mobattn("completion", shell) == 0
    script = capsys.readouterr().out
    for word in ("mobattn", "show-batch", "--head-epochs", "--num-test-images"):
        assert word in script or word.lstrip("-") in script


def test_bash_takes_the_completion(mobattn, capsys, tmp_path):
    mobattn("completion", "bash")
    script = tmp_path / "mobattn"
    script.write_text(capsys.readouterr().out)
    ask = f"source {script}; COMP_WORDS=(mobattn tr); COMP_CWORD=1; $(complete -p mobattn | sed 's/.*-F //; s/ .*//'); "
    done = subprocess.run(["bash", "-c", ask + 'echo "${COMPREPLY[@]}"'], capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (["train"], "")


def test_bad_flags_import_no_tensorflow():
    """As a new process: what a person waits for."""
    code = "import sys, keras_mobattn.__main__ as m\ntry: m.main()\nfinally: print('tensorflow' in sys.modules)"
    for words in (("train", "--epoch", "3"), ("predict", "--help"), ("trian",), ("benchmark", "--device", "x")):
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
        assert done.stdout.splitlines()[-1] == "False", words


@pytest.fixture(scope="module")
def model_files(tmp_path_factory):
    """{suffix: file} of one small model."""
    folder, model = tmp_path_factory.mktemp("files"), tiny_model(side=SIDE)
    model.save(folder / "model.keras")
    photos, labels = sample_photos(8, (SIDE, SIDE)), tuple(f"thing {i}" for i in range(10))
    export.to_tflite(model, folder / "model.tflite", check_images=photos, labels=labels)
    for kind in ("tensor", "image"):
        path = folder / f"{kind}.mlpackage"
        export.to_coreml(model, path, "fp32", check_images=photos, labels=labels, input_type=kind)
    return {"keras": folder / "model.keras", "tflite": folder / "model.tflite"} | {
        kind: folder / f"{kind}.mlpackage" for kind in ("tensor", "image")
    }


@pytest.mark.sampled
@pytest.mark.parametrize("kind", ["keras", "tflite", "tensor", "image"])
def test_predict_by_any_file(kind, model_files, mobattn, capsys):
    """Without an image: the two photographs that are here, with Keras's own scores."""
    assert mobattn("predict", "--model", model_files[kind], "--json-lines", "--top", 10) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["image"] for line in lines] == ["china.jpg", "flower.jpg"]
    views = [resize_and_crop(photo, (SIDE, SIDE)).numpy() for photo in load_sample_images().images]
    expected = load_model(model_files["keras"]).predict_on_batch(np.float32(views))
    named = "class" if kind == "keras" else "thing"
    for line, scores in zip(lines, expected, strict=True):
        told = [(each["class"], each["score"]) for each in line["classes"]]
        assert [name for name, _ in told] == [f"{named} {i}" for i in np.argsort(-scores)]
        assert [score for _, score in told] == pytest.approx(sorted(scores, reverse=True), abs=1e-4)


@pytest.fixture
def pictures(tmp_path):
    """A folder with eleven photographs, a text and a broken image."""
    folder = tmp_path / "some [pictures]"
    (folder / "deeper").mkdir(parents=True)
    for i, photo in enumerate(sample_photos(11, (40, 30))):
        Image.fromarray(photo).save(folder / ("deeper" if i % 2 else ".") / f"{i}.png")
    (folder / "notes.txt").write_text("no picture")
    (folder / "broken.jpg").write_text("no picture either")
    return folder


def test_predict_takes_folders_and_patterns(pictures, model_files, mobattn, capsys):
    assert mobattn("predict", pictures, "--model", model_files["tflite"], "--top", 2) == 2  # for the broken one
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert len(lines) == 11  # more than a few: a line each
    assert all(" thing " in line and str(pictures) in line for line in lines)
    assert "broken.jpg' (not an image)" in " ".join(printed.err.split())
    assert mobattn("predict", f"{glob.escape(str(pictures))}/**/1*.png", "--model", model_files["tflite"]) == 0
    assert capsys.readouterr().out.count("thing") == 2 * 5  # 1.png and 10.png, a table each


def test_predict_draws_a_contact_sheet(pictures, model_files, mobattn, capsys, monkeypatch):
    drawn = []
    real = report.image_grid
    monkeypatch.setattr(report, "image_grid", lambda *given, **how: drawn.append(given) or real(*given, **how))
    monkeypatch.setattr(predict, "SHOWN", 7)
    sheet = pictures.parent / "new" / "sheet.png"
    mobattn("predict", pictures, "--model", model_files["keras"], "--plot", sheet)
    assert sheet.read_bytes().startswith(b"\x89PNG")
    images, captions = drawn[0]
    assert images.shape == (7, SIDE, SIDE, 3)
    assert all(re.fullmatch(r"class \d 0\.\d\d\n\d+\.png", caption) for caption in captions)
    assert "7 images, the first of 12" in capsys.readouterr().err


def test_doctor(mobattn, capsys, monkeypatch):
    def found():
        return "it is there"

    def missing():
        raise InputError("Expected a thing. Received: none. Buy one.")

    for name, (_, purpose) in doctor.CHECKS.items():
        monkeypatch.setitem(doctor.CHECKS, name, (missing if name == "android" else found, purpose))
    assert mobattn("doctor") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["missing" if name == "android" else "here", name] for name in doctor.CHECKS
    ]
    (told,) = (line for line in lines if "missing" in line)
    assert told.split(maxsplit=2)[2].rstrip() == (
        "mobattn benchmark --device android needs it. Expected a thing. Received: none. Buy one."
    )
    assert mobattn("doctor", "--require", "hub", "disk") == 0
    assert mobattn("doctor", "--require", "hub", "android") == 1


def test_doctor_looks_for_real():
    assert "tensorflow 2." in doctor.versions()
    assert " GB free in " in doctor.disk()
    assert "cores" in doctor.memory()
    for find, _ in doctor.CHECKS.values():
        with contextlib.suppress(InputError):  # whatever is missing on this machine
            assert find()


def test_list_weights(mobattn, capsys):
    assert mobattn("weights") == 0
    assert "mobilevitv2_100.cvnets_in1k" in capsys.readouterr().out
