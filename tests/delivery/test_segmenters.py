"""`mobattn export` of a segmenter: rows with its mIoU, overlays on the card, programs that write masks."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import keras_mobattn
from helpers.shapes import NAMES, write_shapes
from keras_mobattn import InputError, delivery, export
from keras_mobattn.delivery import card
from keras_mobattn.models import count_macs, load_model
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.settings import TrainSettings
from keras_mobattn.tasks.segmentation.task import mask_of
from keras_mobattn.training import train

pytestmark = pytest.mark.sampled

FORMATS = ("tflite-fp32", "coreml-fp32")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose model has random weights: an epoch teaches the background alone."""
    folder = tmp_path_factory.mktemp("masks")
    settings = TrainSettings(
        dataset=str(write_shapes(folder / "shapes")), task="segmentation", head="lraspp", head_width=16, variant="test",
        width=0.5, image_size=64, label_smoothing=0.0, augment="none", epochs=1, batch_size=4, ema_decay=0.9,
        warmup_epochs=0.0, learning_rate=1e-2,
    )  # fmt: skip
    train(settings, folder / "run", progress=False)
    run = RunFolder(folder / "run")
    keras_mobattn.randomize_weights(load_model(run.model_file), 1).save(run.model_file)
    return run


@pytest.fixture(scope="module")
def made(run):
    return delivery.deliver(run.path, formats=FORMATS)


def test_rows(made, run):
    assert (made.metric, made.agreement, made.form) == ("miou", "same pixels", None)
    keras, *files = made.rows
    assert keras.score > 0.05
    for row in files:
        assert not row.error
        assert row.agreement >= 0.995
        assert row.score == pytest.approx(keras.score, abs=0.02)
    assert [row.file for row in files] == ["model_fp32.tflite", "model_fp32_image.mlpackage"]
    assert (files[0].partitions, files[0].gpu) == (1, True)
    assert delivery.load_delivery(run.path / "model_export.json") == made


def test_the_card(made, run):
    page = (run.path / "model_card.md").read_text(encoding="utf-8")
    for text in ("mIoU", "same pixels", "What the files give", "Examples", "a logit for each class", "class\\_map"):
        assert text in page
    for text in ("| 1 | disc | \\#800000 |", "| 2 | square | \\#008000 |"):
        assert text in page
    for program in ("ImageSegmenter.createFromOptions", "VNCoreMLRequest", "get_signature_runner"):
        assert program in page
    assert "litertjs" not in page  # there is no program for it
    model = load_model(run.model_file)
    logits = type(model)(model.input, model.output["logits"])
    assert f"{logits.count_params():,}" in page  # without the auxiliary head, as the files
    assert f"{count_macs(logits) / 1e6:,.0f} M" in page


def test_the_program_writes_the_mask_of_predict(made, run):
    source, row = export.load_trained(run.path), card.row_of("python", made)
    (run.path / "segment.py").write_text(card.snippet("python", row, source, run.view))
    photo = run.path.parent / "shapes" / "images" / "test" / "test1.png"
    done = subprocess.run(
        [sys.executable, "segment.py", photo], cwd=run.path, capture_output=True, text=True, check=True
    )
    with Image.open(photo) as image:
        pixels = np.asarray(image.convert("RGB").resize((64, 64), Image.Resampling.BILINEAR), np.float32)[None]
        sides = image.size[::-1]
    record = source.task.record(export.TFLiteModel(run.path / row.file).run(pixels), NAMES, 5, sides)
    with Image.open(run.path / "mask.png") as mask:
        assert np.mean(np.asarray(mask) == mask_of(record)[0]) > 0.999
    shares = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    assert len(shares) > 1
    assert {each["class"]: pytest.approx(each["share"], abs=1e-3) for each in record["classes"]} == {
        name: float(share) for name, share in shares.items()
    }


def test_another_form(run, tmp_path):
    """Of the kind that has it; the others are in their default."""
    made = delivery.deliver(run.path, tmp_path, FORMATS, wishes=delivery.Wishes(form="full_size"))
    assert [row.file for row in made.rows[1:]] == [
        "model_fp32_full_size.tflite",
        "model_fp32_full_size_image.mlpackage",
    ]
    assert made.rows[1].score == pytest.approx(made.rows[0].score, abs=0.02)
    page = (tmp_path / "model_card.md").read_text(encoding="utf-8")
    assert "Python" not in page  # the programs read the default
    assert "For each pixel the probability of each class" in page
    made = delivery.deliver(run.path, tmp_path / "map", FORMATS[:1], wishes=delivery.Wishes(form="class_map"))
    assert [row.file for row in made.rows[1:]] == ["model_fp32.tflite"]
    assert "Python" in (tmp_path / "map" / "model_card.md").read_text(encoding="utf-8")


def test_forms_of_others_are_refused(run, tmp_path, mobattn, capsys):
    with pytest.raises(InputError, match="Expected form for image segmenter: one of 'class_map', .*Received: 'nms'"):
        delivery.deliver(run.path, tmp_path / "new", wishes=delivery.Wishes(form="nms"))
    assert not (tmp_path / "new").exists()
    assert mobattn("export", run.path, "--form", "vision", "--output-dir", tmp_path / "new") == 2
    assert "Received: 'vision'" in capsys.readouterr().err
