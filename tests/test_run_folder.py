"""A run's folder: wherever it is opened, its images are seen as the run's own evaluation saw them."""

import re

import numpy as np
import pytest
import tf_keras as keras

from keras_mobattn import InputError
from keras_mobattn.commands import convert_tflite, predict
from keras_mobattn.commands.opened import open_model
from keras_mobattn.data import batches, fit_image, take_images
from keras_mobattn.export.images import choose_images
from keras_mobattn.files import write_text
from keras_mobattn.models import load_model
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.training import TrainSettings, evaluate, read_history, train

VIEW = {"crop": 0.7, "interpolation": "bicubic"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(RunFolder, result) of a run whose test images are cropped and resized in another way than by default."""
    folder = tmp_path_factory.mktemp("cropped")
    settings = TrainSettings(
        data_dir=str(folder / "tfds"), variant="test", width=0.25, epochs=2, batch_size=64, learning_rate=1e-2,
        warmup_epochs=0.5, ema_decay=0.0, test_crop=VIEW["crop"], interpolation=VIEW["interpolation"],
    )  # fmt: skip
    return RunFolder(folder / "run"), train(settings, folder / "run", progress=False)


def test_everything_of_a_run_by_one_class(run):
    folder, result = run
    assert folder.is_run
    assert folder.has_trained
    assert folder.settings.test_crop == 0.7
    assert folder.task.title == "Image classifier"
    assert folder.view == VIEW
    assert folder.labels == tuple("0123456789")
    assert folder.result == result
    assert [path.name for path in folder.list_checkpoints()] == ["step-00000044", "step-00000022"]
    assert len(read_history(folder.history_file)) == 2
    assert folder.open_source().num_examples == {"train": 1438, "test": 359}
    assert folder.curves_file.exists()
    assert folder.board.is_dir()
    for file in (folder.model_file, folder.best_file):
        assert load_model(file).output_shape == (None, 10)
        assert RunFolder.of(file) == folder
    assert RunFolder.of(str(folder.path)) == folder
    assert RunFolder.of(folder.path.parent) is None


def test_evaluation_is_what_the_run_said(run):
    folder, result = run
    model, source = load_model(folder.model_file), folder.open_source()
    assert evaluate(model, source, **folder.view)["accuracy"] == pytest.approx(result["test_accuracy"], abs=1e-6)
    assert evaluate(model, source)["accuracy"] != pytest.approx(result["test_accuracy"], abs=1e-3)  # the view matters


@pytest.mark.parametrize("file", ["", "model.keras", "model_fp32.tflite"])
def test_evaluate_finds_the_runs_view(run, call_script, capsys, file):
    folder, result = run
    if file.endswith("tflite") and not (folder.path / file).exists():
        assert call_script("tflite/convert.py", folder.path) == 0
        capsys.readouterr()
    for flags in ((), ("--dataset", "digits", "--data-dir", folder.settings.data_dir)):
        assert call_script("training/evaluate.py", folder.path / file, *flags) == 0
        (top1,) = re.findall(r"Top-1 ([\d.]+) %", capsys.readouterr().out)
        assert float(top1) == pytest.approx(100 * result["test_accuracy"], abs=0.01)


def test_predict_finds_the_runs_view(run, tmp_path, monkeypatch):
    folder, _ = run
    photo = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    keras.utils.save_img(tmp_path / "photo.png", photo, scale=False)
    opened, seen = open_model(folder.path), []
    assert opened.view == VIEW
    monkeypatch.setattr(opened.model, "predict_on_batch", lambda images: seen.append(images) or np.eye(1, 10))
    monkeypatch.setattr(predict, "open_model", lambda *_: opened)
    assert predict.main((tmp_path / "photo.png",), model=folder.path) == 0
    np.testing.assert_array_equal(seen[0][0], fit_image(photo, (32, 32), **VIEW))


@pytest.mark.parametrize("inside", ["", "best.keras"])
def test_conversion_finds_the_runs_view(run, inside, tmp_path):
    folder, _ = run
    chosen = choose_images(folder.path / inside, None, (32, 32))
    assert "dataset 'digits'" in chosen.description
    expected, _ = take_images(folder.open_source(), "test", 32, (32, 32), **VIEW)
    np.testing.assert_array_equal(chosen.check, expected)
    photos = np.random.default_rng(0).integers(0, 256, (3, 40, 60, 3), np.uint8)
    for number, photo in enumerate(photos):
        keras.utils.save_img(tmp_path / f"{number}.png", photo, scale=False)
    chosen = choose_images(folder.path / inside, tmp_path, (32, 32))
    ways = [fit_image(photo, (32, 32), **VIEW).numpy() for photo in photos]
    for image in (*chosen.check, *chosen.representative):
        assert any((image == way).all() for way in ways)


def test_conversion_has_the_runs_labels(run, tmp_path, capsys):
    folder, _ = run
    assert convert_tflite.main(folder.best_file, output=tmp_path / "best.tflite") == 0
    assert "Labels in the file: 0, 1, 2, 3, 4, ... (10 classes)" in capsys.readouterr().out
    names = tmp_path / "names.txt"
    write_text(names, "".join(f"digit {i}\n" for i in range(10)))
    assert convert_tflite.main(folder.path, output=tmp_path / "named.tflite", labels=names) == 0
    assert open_model(tmp_path / "named.tflite").class_names[3] == "digit 3"


def test_the_runs_evaluation_is_that_of_its_view(run):
    """The accuracy after each epoch, too, is by the images that `view` says."""
    folder, _ = run
    (first, *_) = batches(folder.open_source(), "test", image_size=(32, 32), batch_size=8, **folder.view)
    np.testing.assert_array_equal(first[0], take_images(folder.open_source(), "test", 8, (32, 32), **VIEW)[0])


def test_what_is_no_run(tmp_path):
    folder = RunFolder(tmp_path / "nothing")
    assert not folder.is_run
    assert not folder.has_trained
    assert folder.labels == ()
    assert folder.list_checkpoints() == []
    with pytest.raises(InputError, match="settings.json"):
        _ = folder.settings
    with pytest.raises(InputError, match="a run that has ended"):
        _ = folder.result
