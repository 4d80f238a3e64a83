"""Detectors trained on scenes and on folders of boxes: resumed, evaluated, exported, and by the commands."""

import dataclasses
import json
import os
import signal

import numpy as np
import pytest
import tf_keras as keras
from PIL import Image

import keras_mobattn
from helpers.annotated_folders import NAMES, write_coco, write_voc, write_yolo
from keras_mobattn import InputError, export
from keras_mobattn.data import take_images
from keras_mobattn.models import load_model
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.tasks import task_of
from keras_mobattn.tasks.detection import anchors_of
from keras_mobattn.training import Stopped, TrainSettings, evaluate, read_history, train
from keras_mobattn.training.build import build_model

FOLDERS = {"coco": write_coco, "voc": write_voc, "yolo": write_yolo}
EPOCHS = 3


def settings_for(folder, **options):
    base = {
        "dataset": str(folder), "task": "detection", "variant": "test", "width": 0.25, "image_size": 64,
        "label_smoothing": 0.0, "augment": "ssd", "epochs": EPOCHS, "batch_size": 4, "ema_decay": 0.9,
        "warmup_epochs": 0.0, "learning_rate": 1e-2,
    }  # fmt: skip
    return TrainSettings(**base | options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on a folder in COCO's format that nothing interrupted: (RunFolder, result)."""
    folder = tmp_path_factory.mktemp("boxes")
    result = train(settings_for(write_coco(folder / "coco")), folder / "run", progress=False)
    return RunFolder(folder / "run"), result


def test_a_run_on_a_folder(run):
    folder, result = run
    rows = read_history(folder.history_file)
    assert len(rows) == EPOCHS
    assert {"loss", "val_loss", "val_map", "val_map50", "val_recall"} <= set(rows[0])
    assert result["best_validation_map"] == max(row["val_map"] for row in rows)
    assert {"test_map", "test_map50", "best_test_map"} <= set(result)
    assert result["class_names"] == list(NAMES)
    facts = json.loads(folder.task_file.read_text())
    model = load_model(folder.model_file)
    np.testing.assert_array_equal(folder.task.anchors, anchors_of(model))
    assert facts["maps"][0] == [4, 4]
    assert folder.view == {"crop": None, "interpolation": "bilinear"}
    assert folder.curves_file.stat().st_size > 10_000


def test_it_is_evaluated_alike(run):
    folder, result = run
    model = load_model(folder.model_file)
    seen = evaluate(model, folder.open_source(), task=folder.task, **folder.view)
    assert seen["num_images"] == 3
    for name in ("map", "map50", "recall"):
        assert seen[name] == pytest.approx(result[f"test_{name}"], abs=1e-4)
    with pytest.raises(InputError, match="Expected a classifier of the 4 classes"):
        evaluate(model, folder.open_source())
    with pytest.raises(InputError, match="Expected a detector of the 4 classes"):
        evaluate(keras.Model(model.input, model.output["boxes"]), folder.open_source(), task=folder.task)


class StopAt(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.state.step.numpy()) == 1:  # of 3
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.slow
def test_it_resumes_to_the_same_bits(run, tmp_path):
    folder, _ = run
    with pytest.raises(Stopped):
        train(folder.settings, tmp_path / "run", progress=False, callbacks=[StopAt()])
    again = RunFolder(tmp_path / "run")
    facts = again.task_file.read_text()
    train(folder.settings, again.path, resume=True, progress=False)
    assert again.task_file.read_text() == facts == folder.task_file.read_text()
    for one, other in zip(load_model(folder.model_file).weights, load_model(again.model_file).weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_a_run_that_goes_on_keeps_its_anchors(run, tmp_path, monkeypatch):
    """They are read from the run's folder: fitting them anew, by another version, could come to others."""
    folder, _ = run
    with pytest.raises(Stopped):
        train(folder.settings, tmp_path / "run", progress=False, callbacks=[StopAt()])
    monkeypatch.setattr("keras_mobattn.tasks.detection.task.fit_sizes", lambda *given: 1 / 0)
    train(folder.settings, tmp_path / "run", resume=True, progress=False)


EXPORTED = {  # file and options -> the last axis of each output
    "raw tflite": ("tflite", {"form": "raw"}, {"boxes": 4, "scores": 5}),
    "tflite": ("tflite", {}, {"location": 4, "category": 100, "score": 100, "number": None}),
    "raw mlpackage": ("mlpackage", {}, {"boxes": 4, "scores": 5}),
    "mlpackage": ("mlpackage", {"input_type": "image"}, {"confidence": 80, "coordinates": 4}),
}


@pytest.mark.sampled
@pytest.mark.parametrize(("file", "options", "widths"), EXPORTED.values(), ids=EXPORTED)
def test_it_is_exported(run, tmp_path, file, options, widths):
    folder, result = run
    source = folder.open_source()
    images, _ = take_images(source, "test", 3, (64, 64), **folder.view)
    path = tmp_path / f"detector.{file}"
    convert = export.to_tflite if file == "tflite" else export.to_coreml
    exportable = export.load_trained(folder.model_file)
    assert exportable.output_names == ("boxes", "scores")
    report = convert(exportable, path, "fp32", check_images=images, **options)
    assert report.max_abs_error < 1e-3
    converted = export.FILE_MODELS[path.suffix](path)
    assert converted.labels == NAMES
    assert {name: shape[-1] for name, shape in converted.output_shape.items()} == widths
    seen = evaluate(converted, source, task=folder.task, **folder.view)
    assert seen["map50"] == pytest.approx(result["test_map50"], abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FOLDERS)
def test_the_commands(kind, tmp_path, call_script, capsys):
    """As a user types them: train a folder, evaluate, look at a batch and at boxes on an image."""
    folder, run = FOLDERS[kind](tmp_path / "boxes"), tmp_path / "run"
    flags = ("--variant", "test", "--width", "0.25", "--image-size", "64", "--epochs", "1", "--batch-size", "2")
    assert call_script("training/train.py", folder, "--output-dir", run, *flags) == 0
    printed = capsys.readouterr().out
    assert "Test mAP" in printed
    assert "of 4 classes" in printed
    assert RunFolder(run).settings.task == "detection"
    assert call_script("training/evaluate.py", run) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in (*NAMES, "AP50", "recall"))
    assert call_script("training/evaluate.py", run, "--report", tmp_path / "page.html") == 0
    page = (tmp_path / "page.html").read_text()
    assert all(text in page for text in ("By class", "Precision and recall", "The worst", "missed", *NAMES))
    assert call_script("training/evaluate.py", run, "--report", tmp_path / "page.txt") == 2
    image = next(path for path in folder.rglob("test0.png"))
    call_script("training/predict.py", image, "--model", run, "--min-score", "0.01", "--plot", tmp_path / "seen.png")
    assert "width" in capsys.readouterr().out
    with Image.open(tmp_path / "seen.png") as seen:
        assert min(seen.size) > 50
    assert call_script("training/predict.py", image, "--model", run, "--json-lines", "--min-score", "0.01") == 0
    record = json.loads(capsys.readouterr().out)
    for each in record["objects"]:
        x, y, width, height = each["bbox"]
        assert each["class"] in NAMES
        assert 0 <= x <= x + width <= 60.01
        assert 0 <= y <= y + height <= 40.01
    sheet = ("--task", "detection", "--dataset", folder, "--image-size", "64", "--count", "4")
    assert call_script("training/show_batch.py", *sheet, "--output", tmp_path / "batch.png") == 0
    assert "augmentation 'ssd'" in capsys.readouterr().out


@pytest.mark.slow
def test_the_head_first_and_other_classes(run, tmp_path):
    """A run starts from another one's detector: by names, with its anchors; and its own head's epochs."""
    folder, _ = run
    settings = dataclasses.replace(folder.settings, weights=str(folder.model_file), epochs=1, head_epochs=1)
    train(settings, tmp_path / "run", progress=False)
    again = RunFolder(tmp_path / "run")
    np.testing.assert_array_equal(again.task.anchors, folder.task.anchors)
    first, began = load_model(again.head.model_file), load_model(folder.model_file)
    for layer in first.layers:
        same = all(
            np.array_equal(*pair)
            for pair in zip(layer.get_weights(), began.get_layer(layer.name).get_weights(), strict=True)
        )
        if layer.name.endswith("_scores"):
            assert not same
        if not layer.name.startswith(("head", "extra")):
            assert same, layer.name


@pytest.mark.slow
def test_the_head_first_on_a_backbone_of_the_published_form(run, tmp_path):
    """The run takes over the form that its head's run has taken over from the file."""
    folder, _ = run
    options = {"variant": "test", "width": 0.25, "attention": "mobile_published"}
    classifier = keras_mobattn.MobileViTv2(input_shape=(64, 64, 3), classes=4, **options)
    keras_mobattn.randomize_weights(classifier, 5).save(tmp_path / "model.keras")
    start = {"attention": "mobile", "weights": str(tmp_path / "model.keras"), "epochs": 1, "head_epochs": 1}
    with pytest.warns(UserWarning, match="was trained with Mobile-Attention as published"):
        train(dataclasses.replace(folder.settings, **start), tmp_path / "run", progress=False)
    again = RunFolder(tmp_path / "run")
    assert again.settings.attention == again.head.settings.attention == "mobile_published"


@pytest.mark.slow
def test_a_backbone_from_a_classifier(run, tmp_path):
    """The weights of a classifier's run start the backbone; the detector's head starts anew, which is said."""
    folder, _ = run
    options = {"variant": "test", "width": 0.25, "attention": "mobile"}
    classifier = keras_mobattn.MobileViTv2(input_shape=(64, 64, 3), classes=4, **options)
    keras_mobattn.randomize_weights(classifier, 5)
    classifier.save(tmp_path / "model.keras")
    settings = dataclasses.replace(folder.settings, weights=str(tmp_path / "model.keras"), epochs=1)
    with pytest.warns(UserWarning, match="was loaded without its head") as said:
        model = build_model(settings, NAMES, folder.task)
    assert len(said) == 1
    for layer in classifier.layers:
        if layer.name in {each.name for each in model.layers}:
            for one, other in zip(layer.get_weights(), model.get_layer(layer.name).get_weights(), strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_scenes_are_learned(tmp_path_factory):
    """A minute's run: digits in scenes are found far better than by chance."""
    folder = tmp_path_factory.mktemp("scenes")
    settings = settings_for(
        "digit_scenes", data_dir=str(folder / "tfds"), variant=None, width=0.25, image_size=128, augment="ssd-upright",
        epochs=2, batch_size=16, learning_rate=3e-3, finest_stride=8,
    )  # fmt: skip
    result = train(settings, folder / "run", progress=False)
    assert result["test_map50"] > 0.1
    assert task_of(load_model(folder / "run" / "model.keras")).anchors is not None
