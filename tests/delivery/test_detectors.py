"""`mobattn export` of a detector: rows with its mAP, a card whose programs find objects."""

import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from helpers.annotated_folders import NAMES, write_yolo
from keras_mobattn import delivery, export
from keras_mobattn.delivery import card
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.settings import TrainSettings
from keras_mobattn.training import train

pytestmark = pytest.mark.sampled

FORMATS = ("tflite-fp32", "coreml-fp32")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("boxes")
    settings = TrainSettings(
        dataset=str(write_yolo(folder / "yolo")), task="detection", variant="test", width=0.25, image_size=64,
        label_smoothing=0.0, augment="ssd", epochs=1, batch_size=4, ema_decay=0.9, learning_rate=1e-2,
    )  # fmt: skip
    train(settings, folder / "run", progress=False)
    return RunFolder(folder / "run")


@pytest.fixture(scope="module")
def made(run):
    return delivery.deliver(run.path, formats=FORMATS)


def test_rows(made, run):
    assert (made.metric, made.agreement, made.form) == ("map", "same objects", None)
    keras, tflite, coreml = made.rows
    for row in (tflite, coreml):
        assert not row.error
        assert row.agreement >= 0.98
        assert row.score == pytest.approx(keras.score, abs=0.02)
    assert [row.file for row in (tflite, coreml)] == ["model_fp32.tflite", "model_fp32_image.mlpackage"]
    assert delivery.load_delivery(run.path / "model_export.json") == made


def test_the_card(made, run):
    page = (run.path / "model_card.md").read_text(encoding="utf-8")
    for text in ("mAP, IoU .50 to .95", "same objects", "What the files give", "Examples", "ymin, xmin, ymax, xmax"):
        assert text in page
    for program in ("ObjectDetector", "VNRecognizedObjectObservation", "get_signature_runner"):
        assert program in page
    assert "litertjs" not in page  # there is no program for it


def test_the_program_finds_what_predict_does(made, run, tmp_path):
    source = export.load_trained(run.path)
    source.task.min_score = 0.05
    row = card.row_of("python", made)
    program = card.snippet("python", row, source, run.view)
    photo = next((run.path.parent / "yolo").rglob("*test*.png"))
    (run.path / "detect.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "detect.py", photo], cwd=run.path, capture_output=True, text=True, check=True
    )
    lines = [re.fullmatch(r"(\w+) (\S+) x (\S+) to (\S+), y (\S+) to (\S+)", line) for line in done.stdout.splitlines()]
    assert all(lines)
    with Image.open(photo) as image:
        pixels = np.asarray(image.convert("RGB").resize((64, 64), Image.Resampling.BILINEAR), np.float32)[None]
        sides = image.size[::-1]
    file = export.TFLiteModel(run.path / row.file)
    found = source.task.record(file.run(pixels), NAMES, 5, sides)["objects"]
    assert len(found) == len(lines) > 0
    for line, each in zip(lines, found, strict=True):
        name, score, left, right, top, bottom = line.groups()
        x, y, width, height = each["bbox"]
        assert (name, float(score)) == (each["class"], pytest.approx(each["score"], abs=1e-4))
        assert (float(left), float(right), float(top), float(bottom)) == pytest.approx(
            (x, x + width, y, y + height), abs=0.51
        )


def test_raw_outputs(run, tmp_path):
    made = delivery.deliver(run.path, tmp_path, ("tflite-fp32",), wishes=delivery.Wishes(form="raw"))
    row = made.rows[1]
    assert (row.file, row.partitions, row.gpu) == ("model_fp32_raw.tflite", 1, True)
    assert row.score == pytest.approx(made.rows[0].score, abs=0.02)
    assert "Python" not in (tmp_path / "model_card.md").read_text(encoding="utf-8")
