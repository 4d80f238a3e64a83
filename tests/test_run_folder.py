"""A run's folder: wherever it is opened, its images are seen as the run's own evaluation saw them."""

import re
import shutil

import numpy as np
import pytest
import tf_keras as keras

from keras_mobattn import InputError
from keras_mobattn.commands import convert_tflite, predict
from keras_mobattn.commands.opened import open_model
from keras_mobattn.data import batches, resize_and_crop, take_images
from keras_mobattn.export.images import choose_images
from keras_mobattn.files import write_text
from keras_mobattn.models import load_model, model_file, randomize_weights
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.settings import save_settings
from keras_mobattn.training import TrainSettings, evaluate, read_history, train

VIEW = {"crop": 0.7, "interpolation": "bicubic"}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("tfds"))


@pytest.fixture(scope="module")
def trained(data_dir, tmp_path_factory):
    """(RunFolder, result) of a run whose test images are cropped and resized in another way than by default."""
    folder = tmp_path_factory.mktemp("cropped")
    settings = TrainSettings(
        data_dir=data_dir, variant="test", width=0.25, epochs=2, batch_size=64, learning_rate=1e-2,
        warmup_epochs=0.5, ema_decay=0.0, test_crop=VIEW["crop"], interpolation=VIEW["interpolation"],
    )  # fmt: skip
    return RunFolder(folder / "run"), train(settings, folder / "run", progress=False)


@pytest.fixture(scope="module")
def folder(data_dir, tmp_path_factory):
    """A run of that view, as if it had been trained: a model that tells images apart, in seconds."""
    run = RunFolder(tmp_path_factory.mktemp("made") / "run")
    settings = TrainSettings(data_dir=data_dir, test_crop=VIEW["crop"], interpolation=VIEW["interpolation"])
    run.write_start(settings, settings.open_source())
    image = keras.Input((32, 32, 3))
    x = keras.layers.AveragePooling2D(4)(keras.layers.Rescaling(1 / 128, -1)(image))
    x = keras.layers.Dense(10, activation="softmax")(keras.layers.Flatten()(x))
    model = randomize_weights(keras.Model(image, x), seed=1)
    for file in (run.model_file, run.best_file):
        model.save(file)
    return run


@pytest.mark.slow
def test_everything_of_a_run_by_one_class(trained):
    run, result = trained
    assert run.is_run
    assert run.has_trained
    assert run.settings.test_crop == 0.7
    assert run.task.title == "Image classifier"
    assert run.view == VIEW
    assert run.labels == tuple("0123456789")
    assert run.result == result
    assert [path.name for path in run.list_checkpoints()] == ["step-00000044", "step-00000022"]
    assert len(read_history(run.history_file)) == 2
    assert run.open_source().num_examples == {"train": 1438, "test": 359}
    assert run.curves_file.exists()
    assert run.board.is_dir()
    for file in (run.model_file, run.best_file):
        assert load_model(file).output_shape == (None, 10)
        assert RunFolder.of(file) == run


@pytest.mark.slow
def test_evaluation_is_what_the_run_said(trained, call_script, capsys):
    run, result = trained
    model, source = load_model(run.model_file), run.open_source()
    assert evaluate(model, source, **run.view)["accuracy"] == pytest.approx(result["test_accuracy"], abs=1e-6)
    assert evaluate(model, source)["accuracy"] != pytest.approx(result["test_accuracy"], abs=1e-3)  # the view matters
    assert call_script("training/evaluate.py", run.path) == 0
    assert f"Top-1 {100 * result['test_accuracy']:.2f} %" in capsys.readouterr().out


def test_the_run_that_a_file_lies_in(folder, monkeypatch):
    assert RunFolder.of(str(folder.path)) == RunFolder.of(folder.best_file) == folder
    assert RunFolder.of(folder.path.parent) is None
    assert RunFolder.of(folder.path / "16_epochs" / "model_int8.tflite") == folder
    assert RunFolder.of(folder.path / "16_epochs_2" / "model_int8.tflite") == folder
    assert RunFolder.of(folder.path / "app" / "model_int8.tflite") is None
    (folder.path / "16_epochs").mkdir()
    monkeypatch.chdir(folder.path / "16_epochs")
    assert RunFolder.of("model_int8.tflite").path.samefile(folder.path)


def test_exported_files_make_room_for_those_of_better_models(tmp_path):
    """What was made of a model does not stay beside another one, and replaces nothing where it goes."""
    run = RunFolder(tmp_path)
    names = ["best_int8.tflite", "best_card.html", "model_int8.tflite", "model_export.json", "labels.txt"]

    def put(content):
        for name in names:
            (run.path / name).write_text(content)
        (run.path / "best_fp16.mlpackage").mkdir(exist_ok=True)

    def found(folder):
        return sorted(path.name for path in (run.path / folder).iterdir())

    put("first")
    run.keep_exported(run.best_file, 5)
    best = ["best_card.html", "best_fp16.mlpackage", "best_int8.tflite"]
    assert found("5_epochs") == best
    assert {"model_int8.tflite", "model_export.json"} < set(found("."))
    run.keep_exported(run.best_file, 6)  # nothing is there
    assert not (run.path / "6_epochs").exists()
    put("second")
    run.keep_exported(run.best_file, 5)  # a run that was killed does an epoch again
    assert found("5_epochs_2") == best
    assert [(run.path / folder / best[0]).read_text() for folder in ("5_epochs", "5_epochs_2")] == ["first", "second"]

    put("third")
    save_settings(run.settings_file, TrainSettings(epochs=16))
    run.keep_result()  # of a run that hasn't ended
    assert "model_int8.tflite" in found(".")
    run.model_file.touch()
    run.keep_result()
    assert found("16_epochs") == ["model_export.json", "model_int8.tflite"]
    assert {"model_16_epochs.keras", *best} < set(found("."))  # best.keras is still the one that these are of


@pytest.mark.sampled
@pytest.mark.parametrize("file", ["", "model.keras", "model_fp32.tflite"])
def test_evaluate_finds_the_runs_view(folder, call_script, capsys, file):
    if file.endswith("tflite") and not (folder.path / file).exists():
        assert call_script("tflite/convert.py", folder.path) == 0
        capsys.readouterr()
    model, source = load_model(folder.model_file), folder.open_source()
    accuracy, otherwise = (100 * evaluate(model, source, **view)["accuracy"] for view in (VIEW, {}))
    assert abs(accuracy - otherwise) > 0.5  # the view matters
    for flags in ((), ("--dataset", "digits", "--data-dir", folder.settings.data_dir)):
        assert call_script("training/evaluate.py", folder.path / file, *flags) == 0
        (top1,) = re.findall(r"Top-1 ([\d.]+) %", capsys.readouterr().out)
        assert float(top1) == pytest.approx(accuracy, abs=0.01)


def test_predict_finds_the_runs_view(folder, tmp_path, monkeypatch):
    photo = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    keras.utils.save_img(tmp_path / "photo.png", photo, scale=False)
    opened, seen = open_model(folder.path), []
    assert opened.view == VIEW
    monkeypatch.setattr(opened.model, "predict_on_batch", lambda images: seen.append(images) or np.eye(1, 10))
    monkeypatch.setattr("keras_mobattn.commands.opened.open_model", lambda *_: opened)
    assert predict.main((tmp_path / "photo.png",), model=folder.path) == 0
    np.testing.assert_array_equal(seen[0][0], resize_and_crop(photo, (32, 32), **VIEW))


@pytest.mark.parametrize("inside", ["", "best.keras"])
def test_conversion_finds_the_runs_view(folder, inside, tmp_path):
    chosen = choose_images(folder.path / inside, None, (32, 32))
    assert "dataset 'digits'" in chosen.description
    expected, _ = take_images(folder.open_source(), "test", 32, (32, 32), **VIEW)
    np.testing.assert_array_equal(chosen.check, expected)
    photos = np.random.default_rng(0).integers(0, 256, (3, 40, 60, 3), np.uint8)
    for number, photo in enumerate(photos):
        keras.utils.save_img(tmp_path / f"{number}.png", photo, scale=False)
    chosen = choose_images(folder.path / inside, tmp_path, (32, 32))
    ways = [resize_and_crop(photo, (32, 32), **VIEW).numpy() for photo in photos]
    for image in (*chosen.check, *chosen.representative):
        assert any((image == way).all() for way in ways)


def test_conversion_has_the_runs_labels(folder, tmp_path, capsys):
    assert convert_tflite.main(folder.best_file, output=tmp_path / "best.tflite") == 0
    assert "Labels in the file: 0, 1, 2, 3, 4, ... (10 classes)" in capsys.readouterr().out
    names = tmp_path / "names.txt"
    write_text(names, "".join(f"digit {i}\n" for i in range(10)))
    assert convert_tflite.main(folder.path, output=tmp_path / "named.tflite", labels=names) == 0
    assert open_model(tmp_path / "named.tflite").class_names[3] == "digit 3"


def test_the_runs_evaluation_is_that_of_its_view(folder):
    """The accuracy after each epoch, too, is by the images that `view` says."""
    (first, *_) = batches(folder.open_source(), "test", image_size=(32, 32), batch_size=8, **folder.view)
    np.testing.assert_array_equal(first[0], take_images(folder.open_source(), "test", 8, (32, 32), **VIEW)[0])


def test_a_run_that_was_stopped_says_how_to_go_on(folder, tmp_path):
    """What takes a run's model names the command that ends the run, and the model that is there."""
    stopped = RunFolder(tmp_path / "run")
    shutil.copytree(folder.path, stopped.path)
    stopped.model_file.unlink()
    with pytest.raises(InputError, match=rf"--resume {stopped.path}`, or take .*: {stopped.best_file}\.$"):
        model_file(stopped.path)
    assert folder.new_start.endswith(f": weights={str(folder.model_file)!r}.")
    assert stopped.new_start.endswith(f": weights={str(stopped.best_file)!r}.")
    stopped.best_file.unlink()
    assert stopped.new_start == "start a new run in another folder."
    with pytest.raises(InputError, match=rf"--resume {stopped.path}`\.$"):
        model_file(stopped.path)


def test_a_split_that_is_not_there(folder):
    with pytest.raises(InputError, match="Expected split to be one of 'train', .*'test'. Received: 'nowhere'"):
        evaluate(load_model(folder.model_file), folder.open_source(), "nowhere")


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
