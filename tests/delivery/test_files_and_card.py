"""`mobattn export`: every format in one table, and a card whose facts and programs are true."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from helpers.chromium import hosted, launched, page_of
from helpers.served_models import litert
from keras_mobattn import delivery, export
from keras_mobattn.about import About
from keras_mobattn.catalog import FORMATS
from keras_mobattn.data import open_source, take_images
from keras_mobattn.delivery import card
from keras_mobattn.delivery.format_table import cells
from keras_mobattn.describe import describe_coreml
from keras_mobattn.errors import InputError
from keras_mobattn.formats.kinds import TFLITE
from keras_mobattn.models import load_model
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.settings import TrainSettings
from keras_mobattn.training import evaluate, train

SETTINGS = TrainSettings(
    variant="test", width=0.5, head_dim=4, epochs=2, batch_size=64, learning_rate=1e-2, warmup_epochs=0.5, ema_decay=0.5
)
IMAGES = 24
ABOUT = About(name="Digits <1>", author="Me | you", license="MIT")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "digits"
    train(SETTINGS, folder, progress=False)
    return RunFolder(folder)


@pytest.fixture(scope="module")
def made(run):
    told = []
    result = delivery.deliver(
        run.path,
        num_test_images=IMAGES,
        wishes=delivery.Wishes(about=ABOUT),
        progress=lambda what, done, total: told.append((done, total)),
    )
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (told[-1][1],) * 2
    return result


def test_a_row_for_each_format(made, run):
    keras, *rows = made.rows
    assert [(row.format, row.precision) for row in rows] == [(kind.name, name) for kind, name in FORMATS.values()]
    assert (made.metric, made.num_images, made.num_checked) == ("accuracy", IMAGES, 32)
    assert delivery.load_delivery(run.path / "model_export.json") == made
    for row, (kind, precision) in zip(rows, FORMATS.values(), strict=True):
        assert row.file == f"model_{precision}{'' if kind is TFLITE else '_image'}{kind.suffix}"
        if row.error:
            assert not (run.path / row.file).exists()
            continue
        assert (row.partitions == 1) if kind is TFLITE else row.partitions is None
        assert (row.latency_ms > 0) if kind is TFLITE else "mobattn benchmark" in row.missing["latency_ms"]
        assert isinstance(row.gpu if kind is TFLITE else row.neural_engine, bool)
        assert abs(row.score - keras.score) <= 3 / IMAGES
        in_half = precision in (("fp32", "fp16") if kind is TFLITE else ("fp16",))
        assert (row.headroom > 1) if in_half else row.headroom is None
    assert all(not row.error for row in rows if row.precision == "fp32")


def test_scores_are_those_of_the_first_test_images(made, run):
    source = open_source("digits")
    images, labels = take_images(source, "test", IMAGES, (32, 32))
    guesses = load_model(run.model_file).predict(np.float32(images), verbose=0).argmax(-1)
    assert made.rows[0].score == pytest.approx(np.mean(guesses == labels))
    assert evaluate(load_model(run.model_file), source.first("test", IMAGES))["num_images"] == IMAGES


def test_the_table_has_a_reason_for_every_gap(made):
    failed = dataclasses.replace(
        made.rows[-1], score=None, neural_engine=None, error="Expected a thing. Received: none."
    )
    broken = dataclasses.replace(made, rows=(*made.rows[:-1], failed))
    headings, rows, notes = cells(broken)
    assert len(headings) == len(set(headings)) == 11
    gaps = {
        (heading, " ".join(row[:2])) for row in rows for heading, cell in zip(headings, row, strict=True) if cell == "-"
    }
    told = set()
    for note in notes:
        where, _, reason = note.partition(": ")
        assert reason
        if where.startswith("No "):
            told |= {(heading, name) for name in where[3:].split(", ") for heading in headings}
        else:
            empty, _, names = where.partition(" of ")
            told |= {(heading, name) for heading in empty.split(", ") for name in names.split(", ")}
    assert gaps <= told
    assert "No Core ML fp32: Expected a thing. Received: none." in notes


@pytest.mark.sampled
def test_a_format_that_fails_costs_no_other(run, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise InputError("Expected luck. Received: none.")

    opened, open_run = [], RunFolder.open_source
    monkeypatch.setattr(RunFolder, "open_source", lambda *args, **how: opened.append(how) or open_run(*args, **how))
    monkeypatch.setattr(export, "to_coreml", refuse)
    made = delivery.deliver(run.path, tmp_path, ("tflite-fp32", "coreml-fp16"), num_test_images=4, on_corrupt="skip")
    assert opened == [{"on_corrupt": "skip"}]  # once, for the check and the scores
    assert made.num_images == 4
    assert [row.error for row in made.rows] == [None, None, "Expected luck. Received: none."]
    assert {path.name for path in tmp_path.iterdir()} >= {"model_fp32.tflite", "model_export.json", "model_card.html"}
    (tmp_path / "model_fp16_image.mlpackage").mkdir()
    again = delivery.deliver(run.path, tmp_path, ("coreml-fp16",), num_test_images=4)
    told = "Expected luck. Received: none. model_fp16_image.mlpackage is there all the same, from before."
    assert again.rows[1].error == told


@pytest.mark.sampled
def test_compressed_packages(run, tmp_path):
    made = delivery.deliver(run.path, tmp_path, ("coreml-w8a8", "coreml-palettized6_a8"), num_test_images=8)
    keras, *rows = made.rows
    assert [(row.precision, row.file) for row in rows] == [
        ("w8a8", "model_fp16_w8a8_image_iOS18.mlpackage"),
        ("palettized6_a8", "model_fp16_palettized6_a8_image.mlpackage"),
    ]
    for row in rows:
        assert not row.error
        assert row.neural_engine
        assert row.score == pytest.approx(keras.score, abs=0.3)
        assert "quantize" in describe_coreml(tmp_path / row.file).operators


@pytest.mark.sampled
def test_a_model_without_a_run(run, tmp_path):
    shutil.copy(run.model_file, tmp_path / "model.keras")
    (tmp_path / "model.keras").rename(tmp_path / "other.keras")
    made = delivery.deliver(tmp_path / "other.keras", formats=("tflite-fp16",))
    assert [row.file for row in made.rows] == ["other.keras", "other_fp16.tflite"]
    assert made.metric is None
    assert [row.score for row in made.rows] == [None, None]
    assert "mobattn evaluate" in made.rows[1].missing["score"]
    assert "trained on" not in (tmp_path / "other_card.md").read_text()


def test_bad_input(run, tmp_path):
    for words, expected in (
        ({"formats": ()}, "Expected formats: tflite-fp32, .*Received: none"),
        ({"formats": ("onnx",)}, "Expected format to be one of 'tflite-fp32'"),
        ({"num_test_images": 0}, "Expected num_test_images"),
        ({"wishes": delivery.Wishes(num_threads=0)}, "Expected num_threads"),
        ({"wishes": delivery.Wishes(input_scale=0.0)}, "Expected input_scale"),
        ({"wishes": delivery.Wishes(float32_layers=("nowhere",))}, "Expected float32_layers to be names of layers"),
        ({"images": tmp_path / "none"}, "Expected a folder of images"),
    ):
        with pytest.raises(InputError, match=expected):
            delivery.deliver(run.path, tmp_path, **words)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "export.json").write_text("[1]")
    with pytest.raises(InputError, match="Expected the JSON file of a delivery"):
        delivery.load_delivery(tmp_path / "export.json")


@pytest.mark.sampled
def test_images_that_changed_score_nothing(run, tmp_path):
    """Of another order of classes or other files the figures would be wrong."""
    other = RunFolder(tmp_path / "run")
    shutil.copytree(run.path, other.path)
    data = json.loads(other.data_file.read_text())
    other.data_file.write_text(json.dumps({**data, "class_names": data["class_names"][::-1]}))
    made = delivery.deliver(other.path, tmp_path / "out", ("tflite-fp32",))
    assert (made.metric, made.rows[1].score) == (None, None)
    assert "class names" in made.rows[1].missing["score"]
    assert "Examples" not in (tmp_path / "out" / "model_card.md").read_text()


@pytest.mark.sampled
def test_the_best_epoch_has_no_result_of_the_last(run, tmp_path):
    delivery.deliver(run.best_file, tmp_path, ("tflite-fp32",), num_test_images=4)
    text = (tmp_path / "best_card.md").read_text()
    assert "on all 359 test images" not in text
    assert "up to 2 epochs (best.keras may be of an earlier one)" in text.replace("\\", "")
    assert "best\\_fp32.tflite" in text


def test_tensor_packages_have_no_program_for_vision(made):
    assert card.row_of("swift", made).file.endswith(".mlpackage")
    assert card.row_of("swift", dataclasses.replace(made, input_type="tensor")) is None


def test_the_command(run, mobattn, capsys, tmp_path):
    assert (
        mobattn("export", run.path, "--formats", "tflite-fp32", "--output-dir", tmp_path, "--num-test-images", 4) == 0
    )
    printed = " ".join(capsys.readouterr().out.split())
    assert "TFLite fp32" in printed
    assert "accuracy on 4 of the run's test images" in printed
    assert "ANE of TFLite fp32: of .mlpackage folders alone" in printed
    assert "before half precision overflows: TFLite fp32 " in printed


def test_the_card_tells_what_is_in_the_files(made, run):
    text = (run.path / "model_card.md").read_text()
    page = (run.path / "model_card.html").read_text()
    plain = text.replace("\\", "")
    result = json.loads(run.result_file.read_text())
    facts = ["# Digits <1>", "Author: Me | you", "Licence of this model: MIT", "1,438 train, 359 test"]
    facts += ["from random weights", "32 x 32 pixels", f"{100 * result['test_accuracy']:.2f} %"]
    for fact in [*facts, f"{load_model(run.model_file).count_params():,}"]:
        assert fact in plain, fact
        assert fact.strip("# ").replace("<", "&lt;").replace(">", "&gt;") in page, fact
    for _, cells_of_row, _ in [cells(made)]:
        for row in cells_of_row:
            assert f"| {' | '.join(row)} |" in text
    assert "<script" not in page
    assert re.findall(r"!\[.*?\]\((.*?)\)", text) == ["model_card_1.png"]
    assert (run.path / "model_card_1.png").read_bytes().startswith(b"\x89PNG")
    for language, (heading, *_) in card.LANGUAGES.items():
        assert heading in text, language


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """An oblong test image, and a run's answer: its classes, the best first, by the exported file itself."""
    path = tmp_path_factory.mktemp("photo") / "digit.png"
    pixels = take_images(open_source("digits"), "test", 1, (32, 32))[0][0]
    Image.fromarray(pixels).resize((60, 48)).save(path)
    return path


def snippet_of(language, run, made):
    row = card.row_of(language, made)
    assert row.precision == "int8"  # what the card has
    return row, card.snippet(language, row, export.load_trained(run.path), run.view)


def expected_of(photo, run, row, mobattn, capsys):
    mobattn("predict", photo, "--model", run.path / row.file, "--json-lines", "--top", 5)
    (line,) = capsys.readouterr().out.splitlines()
    return [(each["class"], each["score"]) for each in json.loads(line)["classes"]]


def test_the_python_program_runs(photo, run, made, mobattn, capsys):
    row, program = snippet_of("python", run, made)
    expected = expected_of(photo, run, row, mobattn, capsys)
    done = subprocess.run(
        [sys.executable, "-c", program, photo], cwd=run.path, capture_output=True, text=True, check=True
    )
    told = [line.rsplit(" ", 1) for line in done.stdout.splitlines()]
    assert [name for name, _ in told] == [name for name, _ in expected]
    assert [float(score) for _, score in told] == pytest.approx([score for _, score in expected], abs=0.02)


PAGE = """<!doctype html><script type="importmap">{"imports": {
"@litertjs/core": "/litert.js"}}</script>"""
RUN = """async () => {
  const {loadModel, classify} = await import('./program.js');
  const picture = new Image();
  picture.src = 'photo.png';
  await picture.decode();
  return classify(await loadModel(), picture);
}"""


def test_the_javascript_program_runs(photo, run, made, mobattn, capsys, tmp_path):
    # int8's steps are rounded otherwise in WebAssembly than here, by how much hangs on the processor: not those of fp32
    row = next(row for row in made.rows if (row.format, row.precision) == ("TFLite", "fp32"))
    program = card.snippet("javascript", row, export.load_trained(run.path), run.view)
    expected = expected_of(photo, run, row, mobattn, capsys)
    (tmp_path / "page.html").write_text(PAGE)
    (tmp_path / "program.js").write_text(program)
    shutil.copy(photo, tmp_path / "photo.png")
    shutil.copy(run.path / row.file, tmp_path / row.file)
    shutil.copytree(litert(), tmp_path, dirs_exist_ok=True)
    with hosted(tmp_path) as address, launched("--disable-gpu") as browser, page_of(browser) as page:
        page.goto(f"{address}/page.html")
        told = page.evaluate(RUN)
    scores = {each["label"]: each["score"] for each in told}
    assert list(scores) == sorted(scores, key=scores.get, reverse=True)
    assert scores[expected[0][0]] == pytest.approx(told[0]["score"], abs=0.01)
    # a browser resizes otherwise than TensorFlow does, which may turn the order of classes that are as unlikely
    assert [scores[name] for name, _ in expected] == pytest.approx([score for _, score in expected], abs=0.01)


def test_whose_licence(run):
    """Of published weights the licence is known, of classifiers and of segmenters."""
    for weights, told in (
        ("timm/mobilevitv2_050.cvnets_in1k", "timm/mobilevitv2_050.cvnets_in1k: "),
        ("apple/deeplabv3-mobilevit-small", "apple/deeplabv3-mobilevit-small, licence: Apple's"),
        ("own.keras", "own.keras, whose licence is not stated"),
    ):
        trained = SimpleNamespace(settings=dataclasses.replace(run.settings, weights=weights))
        assert f"It was trained from {told}" in card._licence(trained, ABOUT)


def test_what_was_not_run_is_said(run, made):
    text = (run.path / "model_card.md").read_text()
    for heading, _, _, tested in card.LANGUAGES.values():
        section = text.split(f"## {heading}")[1].split("```")[0]
        assert ("and not run" in section) is not tested
