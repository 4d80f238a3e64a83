"""Segmenters trained on a folder of masks and on scenes: resumed, evaluated, exported, and by the commands."""

import dataclasses
import json
import os
import signal

import numpy as np
import pytest
import tf_keras as keras
from PIL import Image

from helpers.shapes import NAMES, SIZE, write_shapes
from keras_mobattn import InputError, data, export, segment
from keras_mobattn.models import load_model
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.tasks.segmentation.evaluation import confusion_of, iou_of
from keras_mobattn.training import Stopped, TrainSettings, evaluate, read_history, train
from keras_mobattn.training.build import build_model

EPOCHS = 3


def settings_for(folder, **options):
    base = {
        "dataset": str(folder), "task": "segmentation", "variant": "test", "width": 0.5, "image_size": 64,
        "head_width": 16, "output_stride": 8, "label_smoothing": 0.0, "augment": "segmentation", "epochs": EPOCHS,
        "batch_size": 4, "ema_decay": 0.9, "warmup_epochs": 0.0, "learning_rate": 1e-2, "interpolation": "bicubic",
    }  # fmt: skip
    return TrainSettings(**base | options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on a folder that nothing interrupted: (RunFolder, result)."""
    folder = tmp_path_factory.mktemp("masks")
    result = train(settings_for(write_shapes(folder / "shapes")), folder / "run", progress=False)
    return RunFolder(folder / "run"), result


def test_a_run_on_a_folder(run):
    folder, result = run
    rows = read_history(folder.history_file)
    assert len(rows) == EPOCHS
    assert {"loss", "val_loss", "val_miou", "val_pixel_accuracy", "val_mean_accuracy"} <= set(rows[0])
    assert result["best_validation_miou"] == max(row["val_miou"] for row in rows)
    assert {"test_miou", "test_pixel_accuracy", "best_test_miou"} <= set(result)
    assert result["class_names"] == list(NAMES)
    head = {"head": "deeplabv3", "output_stride": 8, "width": 16, "auxiliary": True}
    assert json.loads(folder.task_file.read_text()) == {"head": head}
    assert set(load_model(folder.model_file).output_shape) == {"logits", "auxiliary"}
    assert folder.view == {"crop": None, "interpolation": "bicubic"}


def test_it_is_evaluated_at_the_size_of_the_masks(run):
    """As `segment` sees each image: the figures are those of its masks."""
    folder, result = run
    model, source = load_model(folder.model_file), folder.open_source()
    seen = evaluate(model, source, task=folder.task, **folder.view)
    confusion = np.zeros((len(NAMES),) * 2, np.int64)
    for example in source.open("test").as_numpy_iterator():
        confusion += confusion_of(example["mask"][..., 0], segment(model, example["image"]), len(NAMES))
    np.testing.assert_array_equal(seen["pixel_confusion"], confusion)
    assert confusion.sum() == 4 * (SIZE[0] - 1) * SIZE[1]
    assert seen["miou"] == pytest.approx(np.nanmean(iou_of(confusion)))
    assert seen["miou"] == pytest.approx(result["test_miou"], abs=1e-4)
    with pytest.raises(InputError, match="Expected a classifier of the 3 classes"):
        evaluate(model, source)
    with pytest.raises(InputError, match="Expected a segmenter of the 3 classes"):
        evaluate(build_model(settings_for("x"), ("a", "b"), folder.task), source, task=folder.task)


class StopAt(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.state.step.numpy()) == 4:  # of 9
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.slow
def test_it_resumes_to_the_same_bits(run, tmp_path):
    """Dropout, augmentation and the auxiliary head go on where they were."""
    folder, _ = run
    with pytest.raises(Stopped):
        train(folder.settings, tmp_path / "run", progress=False, callbacks=[StopAt()])
    again = RunFolder(tmp_path / "run")
    train(folder.settings, again.path, resume=True, progress=False)
    for one, other in zip(load_model(folder.model_file).weights, load_model(again.model_file).weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["pspnet", "lraspp"])
def test_other_heads_and_weights_of_classes(head, run, tmp_path):
    folder, _ = run
    settings = dataclasses.replace(folder.settings, head=head, class_weights=True, auxiliary_weight=0.0, epochs=1)
    result = train(settings, tmp_path / "run", progress=False)
    assert load_model(tmp_path / "run" / "model.keras").name.startswith(head)
    assert isinstance(load_model(tmp_path / "run" / "model.keras").output_shape, tuple)
    assert 0 <= result["test_miou"] <= 1


@pytest.mark.slow
def test_the_head_first_and_from_another_run(run, tmp_path):
    """A run starts from another one's segmenter; in the head's own epochs the backbone stays."""
    folder, _ = run
    settings = dataclasses.replace(folder.settings, weights=str(folder.model_file), epochs=1, head_epochs=1)
    train(settings, tmp_path / "run", progress=False)
    first, began = load_model(RunFolder(tmp_path / "run").head.model_file), load_model(folder.model_file)
    moved = set()
    for layer in first.layers:
        pairs = zip(layer.get_weights(), began.get_layer(layer.name).get_weights(), strict=True)
        moved |= set() if all(np.array_equal(*pair) for pair in pairs) else {layer.name.split("_")[0]}
    assert moved == {"aspp", "pixel", "auxiliary"}


EXPORTED = {
    "tflite": ("tflite", {}, (None, 8, 8, 3)),
    "full size tflite": ("tflite", {"form": "full_size"}, (None, 64, 64, 3)),
    "mlpackage": ("mlpackage", {}, (None, 64, 64)),
    "logits mlpackage": ("mlpackage", {"form": "logits", "input_type": "image"}, (None, 8, 8, 3)),
}


@pytest.mark.sampled
@pytest.mark.parametrize(("file", "options", "shape"), EXPORTED.values(), ids=EXPORTED)
def test_it_is_exported(run, tmp_path, file, options, shape):
    folder, result = run
    source = folder.open_source()
    images, _ = data.take_images(source, "test", 3, (64, 64), **folder.view)
    path = tmp_path / f"segmenter.{file}"
    convert = export.to_tflite if file == "tflite" else export.to_coreml
    report = convert(export.load_trained(folder.model_file), path, "fp32", check_images=images, **options)
    assert report.agreement >= 0.995
    converted = export.FILE_MODELS[path.suffix](path)
    assert converted.labels == NAMES
    assert converted.output_shape == shape
    seen = evaluate(converted, source, task=folder.task, **folder.view)
    assert seen["miou"] == pytest.approx(result["test_miou"], abs=0.02)


@pytest.mark.slow
def test_the_commands(tmp_path, call_script, capsys):
    """As a user types them: train a folder, evaluate, look at a batch, at masks and at a photo under its mask."""
    folder, run = write_shapes(tmp_path / "shapes"), tmp_path / "run"
    flags = ("--variant", "test", "--width", "0.5", "--image-size", "64", "--epochs", "1", "--batch-size", "4")
    assert call_script("training/train.py", folder, "--output-dir", run, *flags, "--head-width", "16") == 0
    printed = capsys.readouterr().out
    assert "Test mIoU" in printed
    assert "of 3 classes" in printed
    assert RunFolder(run).settings.task == "segmentation"
    assert call_script("training/evaluate.py", run, "--report", tmp_path / "page.html") == 0
    page = (tmp_path / "page.html").read_text()
    assert all(text in page for text in ("By class", "IoU of each class", "The worst", *NAMES))
    image = folder / "images" / "test" / "test0.png"
    plotted = ("--plot", tmp_path / "seen.png", "--masks", tmp_path / "masks")
    assert call_script("training/predict.py", image, "--model", run, *plotted) == 0
    assert "share of the pixels" in capsys.readouterr().out
    expected = segment(load_model(run / "model.keras"), data.read_image(image))
    with Image.open(tmp_path / "masks" / "test0.png") as mask, Image.open(tmp_path / "seen.png") as seen:
        assert mask.mode == "P"
        np.testing.assert_array_equal(np.asarray(mask), expected)
        assert min(seen.size) > 50
    assert call_script("training/predict.py", image, "--model", run, "--json-lines") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["size"] == list(SIZE)
    assert {each["class"] for each in record["classes"]} <= set(NAMES)
    assert call_script("training/predict.py", image, image.parent, "--model", run, "--masks", image.parent) == 2
    assert "another folder for --masks" in capsys.readouterr().err
    assert call_script("training/predict.py", image, "--model", run, "--masks", image) == 2
    assert "Expected a folder for --masks" in capsys.readouterr().err
    twice = folder / "images" / "val" / "test0.png"
    twice.write_bytes(image.read_bytes())
    assert call_script("training/predict.py", image, twice, "--model", run, "--masks", tmp_path / "masks") == 2
    assert "different names for --masks" in capsys.readouterr().err
    twice.unlink()
    sheet = ("--task", "segmentation", "--dataset", folder, "--image-size", "64", "--count", "4")
    assert call_script("training/show_batch.py", *sheet, "--output", tmp_path / "batch.png") == 0
    assert "augmentation 'segmentation'" in capsys.readouterr().out


@pytest.mark.slow
def test_scenes_are_learned(tmp_path_factory):
    """A few minutes' run: the pixels of digits are told from the canvas, and some digits from one another."""
    folder = tmp_path_factory.mktemp("scenes")
    settings = settings_for(
        "digit_scenes", data_dir=str(folder / "tfds"), variant=None, width=0.5, image_size=96, augment="none",
        head="lraspp", head_width=64, output_stride=16, epochs=2, batch_size=16, learning_rate=4e-3, ema_decay=0.98,
    )  # fmt: skip
    result = train(settings, folder / "run", progress=False)
    assert result["test_miou"] > 0.11  # .15 with this seed; .084 is background everywhere
