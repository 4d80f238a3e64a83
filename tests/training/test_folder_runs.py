"""A run on somebody's folder: oblong images, three splits, more epochs, and evaluation by the names of classes."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
import tf_keras as keras
from PIL import Image

from keras_mobattn.commands import evaluate as evaluate_command, train as train_command
from keras_mobattn.data import batches, open_source
from keras_mobattn.errors import InputError
from keras_mobattn.models import load_model
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.tasks.classification.distillation import open_teacher
from keras_mobattn.training import TrainSettings, evaluate, read_history, train
from keras_mobattn.training.build import build_model

COLOURS = {"blue": (20, 30, 220), "green": (10, 200, 30), "red": (230, 20, 10)}


def paint(folder, count, names=COLOURS, seed=0):
    rng = np.random.default_rng(seed)
    for name in names:
        (folder / name).mkdir(parents=True)
        for k in range(count):
            noise = rng.integers(-20, 21, (20, 30, 3)) + COLOURS.get(name, (128, 128, 128))
            Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(folder / name / f"{k}.jpg", quality=90)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    for seed, (split, count) in enumerate({"Train": 8, "Valid": 4, "Test": 3}.items()):
        paint(root / split, count, seed=seed)
    return root


@pytest.fixture(scope="module")
def settings(photos):
    return TrainSettings(
        dataset=str(photos), variant="test", width=0.25, image_size=(32, 64), epochs=2, batch_size=12,
        learning_rate=1e-2, augment="imagenet", warmup_epochs=0.5, ema_decay=0.5,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(settings, tmp_path_factory):
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "run")
    return folder, train(settings, folder.path, progress=False)


@pytest.mark.sampled
def test_oblong_images_and_three_splits(run, photos):
    folder, result = run
    model, best = load_model(folder.model_file), load_model(folder.best_file)
    assert model.input_shape == best.input_shape == (None, 32, 64, 3)
    assert folder.settings.image_size == (32, 64)
    assert result["num_examples"] == {"train": 24, "validation": 12, "test": 9}
    assert result["best_picked_on"] == "validation"
    source = open_source(photos)
    assert result["test_accuracy"] == pytest.approx(evaluate(model, source, "test")["accuracy"])
    assert result["best_test_accuracy"] == pytest.approx(evaluate(best, source, "test")["accuracy"])
    validated = evaluate(best, source, "validation")["accuracy"]
    history = read_history(folder.history_file)
    assert result["best_validation_accuracy"] == pytest.approx(validated)
    assert validated == pytest.approx(max(row["val_accuracy"] for row in history))
    assert not (folder.path / ".lock").exists()
    assert not (folder.path / ".lease").exists()


def test_the_last_line_says_what_picked_the_best(tmp_path):
    common = {"dataset": "x", "num_examples": {"train": 9, "test": 4}, "epochs": 2, "seconds": 1.0, "teacher": None}
    for picked, told in (
        ("test", "did best on these same images, which flatters it, is best.keras: test accuracy 75.00 %."),
        ("validation", "did best on 5 validation images is best.keras: test accuracy 75.00 % here."),
    ):
        result = common | {"test_accuracy": 0.5, "best_test_accuracy": 0.75, "best_picked_on": picked}
        result["num_examples"] = {**result["num_examples"], "validation": 5}
        for seconds, took in ((1.2, "2 epochs, 1 s."), (None, "2 epochs. ")):  # of the chief, and of other workers
            last = train_command.ending(TrainSettings(), result | {"seconds": seconds}, tmp_path)
            assert took in last
            assert told in last


@pytest.mark.sampled
def test_more_epochs(run, settings, tmp_path, capfd):
    """The longer run ends as one that had so many epochs from the start would, but for the schedule up to there."""
    folder = RunFolder(tmp_path / "run")
    shutil.copytree(run[0].path, folder.path)
    longer = dataclasses.replace(settings, epochs=3)
    exported = ["model_int8.tflite", "model_export.json", "model_card.md", "model_card_1.png"]
    own = ["model_notes.txt", "model_1_epochs_int8.tflite", "best.keras"]
    for name in (*exported, "model_notes.txt", "model_1_epochs_int8.tflite"):
        (folder.path / name).write_text("")
    (folder.path / "model_fp16.mlpackage").mkdir()
    exported.append("model_fp16.mlpackage")
    result = train(longer, folder.path, resume=True, progress=False)
    told = " ".join(capfd.readouterr().err.split())
    was, now = (train_schedule(each)(4) for each in (settings, longer))
    assert (
        f"3 epochs, was 2: from epoch 3 on the learning rate is that of a schedule over 3 epochs, here {now:.3g}"
        in told
    )
    assert f"was {was:.3g}." in told
    assert (result["epochs"], result["steps"]) == (3, 6)
    assert folder.settings == longer
    history = read_history(folder.history_file)
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert history[2]["learning_rate"] == pytest.approx(train_schedule(longer)(5), rel=1e-5)
    assert result["seconds"] == pytest.approx(sum(row["seconds"] for row in history))
    assert sorted(path.name for path in (folder.path / "2_epochs").iterdir()) == sorted(exported)
    assert not any((folder.path / name).exists() for name in exported)
    assert all((folder.path / name).exists() for name in own)
    assert RunFolder.of(folder.path / "2_epochs" / "model_int8.tflite") == folder
    kept = folder.path / "model_2_epochs.keras"
    assert load_model(kept).count_params() == load_model(folder.model_file).count_params()
    assert json.loads((folder.path / "result_2_epochs.json").read_text())["epochs"] == 2


@pytest.mark.sampled
def test_files_of_an_earlier_best_epoch(settings, tmp_path, monkeypatch):
    """They do not stay beside another best.keras."""
    from keras_mobattn.tasks.task import Task

    folder = RunFolder(tmp_path / "run")

    def export(epoch, logs):
        if epoch == 1:
            (folder.path / "best_int8.tflite").write_text("of epoch 1")

    monkeypatch.setattr(Task, "is_better", lambda self, value, best: True)
    exporting = keras.callbacks.LambdaCallback(on_epoch_begin=export)
    train(settings, folder.path, progress=False, callbacks=(exporting,))
    assert not (folder.path / "best_int8.tflite").exists()
    assert (folder.path / "1_epochs" / "best_int8.tflite").read_text() == "of epoch 1"


def train_schedule(settings):
    from keras_mobattn.training.optimizer import schedule

    return lambda step: float(schedule(settings, 2)(step))


REFUSED = {
    "learning_rate": ({"learning_rate": 2e-2}, r"learning_rate=0.02 \(was 0.01\).*weights=.*model.keras"),
    "fewer epochs": ({"epochs": 1}, r"or more epochs. Received: epochs=1 \(was 2\)"),
    "image_size": ({"image_size": 32}, r"image_size=32 \(was \(32, 64\)\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_settings_are_refused(case, run, settings):
    change, message = REFUSED[case]
    before = sorted(path.name for path in run[0].path.iterdir())
    with pytest.raises(InputError, match=message):
        train(dataclasses.replace(settings, **change), run[0].path, resume=True, progress=False)
    assert sorted(path.name for path in run[0].path.iterdir()) == before


def test_resume_by_flags(run, call_script, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(train_command, "train_and_tell", lambda *arguments: seen.append(arguments) or 0)
    for flags, epochs in (((), 2), (("--epochs", "16"), 16), (("--epochs", "5"), 5)):
        assert call_script("training/train.py", "--resume", run[0].path, *flags) == 0
        assert seen.pop()[0] == dataclasses.replace(run[0].settings, epochs=epochs)
    monkeypatch.undo()
    assert call_script("training/train.py", "--resume", run[0].path, "--learning-rate", "0.5") == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "learning_rate" in told or "--learning-rate 0.5" in told
    assert f"--weights {run[0].model_file}" in told
    assert call_script("training/train.py", "--resume", run[0].path, "--recipe", "deit_in1k") == 2
    assert "--resume without --output-dir, --auto-resume and --recipe" in " ".join(capsys.readouterr().err.split())


def test_other_images_than_the_run_began_with(run, settings, photos):
    extra = photos / "Train" / "red" / "new.jpg"
    Image.new("RGB", (9, 9)).save(extra)
    try:
        with pytest.raises(InputError, match="images that the run .* began with. Received: .*'train': 25.*was .*24"):
            train(settings, run[0].path, resume=True, progress=False)
    finally:
        extra.unlink()


BAD_SIZES = {
    (64,): "one number, or two",
    (64, 16): "image_size to be a whole number from 32 up. Received: 16",
    (32, 64, 3): "one number, or two",
    16: "from 32 up. Received: 16",
}


@pytest.mark.parametrize("size", BAD_SIZES)
def test_bad_image_sizes(size):
    with pytest.raises(InputError, match=BAD_SIZES[size]):
        TrainSettings(image_size=size)


def test_oblong_images_have_no_other_sizes():
    with pytest.raises(InputError, match="one number for image_size beside sizes"):
        TrainSettings(image_size=(32, 64), sizes=(32, 64))


def test_image_size_by_flags(call_script, tmp_path, capsys):
    for flags, value in ((("64", "96"), "(64, 96)"), (("64",), "64")):
        assert call_script("training/train.py", "--image-size", *flags, "--print-settings") == 0
        (line,) = re.findall(r".*image_size.*", capsys.readouterr().out)
        assert f" {value} " in line


def colour_model():
    """A classifier that knows COLOURS, in another order than the alphabet's, without training."""
    image = keras.Input((32, 32, 3))
    mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 64)(image))
    head = keras.layers.Dense(3, activation="softmax")
    model = keras.Model(image, head(mean))
    head.set_weights([np.eye(3), np.zeros(3)])  # red, green, blue: the channels
    return model


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """A run folder whose model gives red, green, blue in this order."""
    folder = RunFolder(tmp_path_factory.mktemp("named"))
    colour_model().save(folder.model_file)
    folder.settings_file.write_text(json.dumps({"dataset": str(folder.path / "gone")}))
    folder.labels_file.write_text("red\ngreen\nblue\n")
    return folder


def evaluated(capsys):
    """{class: its other cells} of the table that was printed."""
    rows = [re.findall(r"[\w.-]+", line) for line in capsys.readouterr().out.splitlines()]
    return {row[0]: row[1:] for row in rows if len(row) == 3 and row[0] in (*COLOURS, "all")}


def test_evaluation_goes_by_names(named, tmp_path, capsys):
    evaluate_command.main(named.path, dataset=str(paint(tmp_path / "photos", 4)))
    assert evaluated(capsys) == dict.fromkeys(("red", "green", "blue"), ["4", "100.00"]) | {"all": ["12", "100.00"]}


def test_a_class_without_images_has_no_accuracy(named, tmp_path, capsys):
    evaluate_command.main(named.path, dataset=str(paint(tmp_path / "photos", 2, ("green", "red"))))
    assert evaluated(capsys) == {
        "red": ["2", "100.00"], "green": ["2", "100.00"], "blue": ["0", "-"], "all": ["4", "100.00"],
    }  # fmt: skip


def test_other_names_are_an_error(named, tmp_path):
    with pytest.raises(InputError, match="classes of the model: red, green, blue. Received: .*with above, links .2 of"):
        evaluate_command.main(named.path, dataset=str(paint(tmp_path / "photos", 2, ("above", "links"))))


def test_a_model_that_names_no_classes_is_said_to(tmp_path, capsys):
    colour_model().save(tmp_path / "alone.keras")
    with pytest.warns(UserWarning, match="does not name its classes: they are taken to be those of photos, in that"):
        evaluate_command.main(tmp_path / "alone.keras", dataset=str(paint(tmp_path / "photos", 2)))
    assert evaluated(capsys)["all"] == ["6", "33.33"]  # blue and red are the wrong way round: by position


@pytest.mark.sampled
def test_the_runs_own_folder_has_the_runs_own_split(run, photos, capsys):
    for dataset in (None, str(photos)):
        evaluate_command.main(run[0].path, dataset=dataset)
        assert "test: 9 images" in " ".join(capsys.readouterr().out.split())
    evaluate_command.main(run[0].path, split="validation")
    assert "validation: 12 images" in " ".join(capsys.readouterr().out.split())


def test_what_a_run_was_trained_on_is_no_test(settings, tmp_path, monkeypatch):
    """The run's own folder, by whatever path, has the fifth that was held out; another one is tested whole."""
    photos, other = paint(tmp_path / "photos", 5), paint(tmp_path / "other", 5, seed=1)
    settings = dataclasses.replace(settings, dataset=str(photos))
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.write_start(settings, settings.open_source())
    monkeypatch.chdir(tmp_path)
    for dataset in (None, str(photos), f"{photos}/", "./photos", "photos"):
        source = evaluate_command._open_source(run, None, dataset, None, "error")
        assert source.num_examples == {"train": 12, "test": 3}, dataset
    assert evaluate_command._open_source(run, None, str(other), None, "error").num_examples == {"test": 15}
    shutil.copytree(photos, tmp_path / "copy")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    copied = evaluate_command._open_source(run, None, "../copy", None, "error")
    assert copied.fingerprint == settings.open_source().fingerprint
    monkeypatch.chdir(tmp_path)
    run.write_start(dataclasses.replace(settings, dataset="photos"), settings.open_source())  # where it began
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert evaluate_command._open_source(run, None, "../photos", None, "error").num_examples == {"train": 12, "test": 3}
    run.write_start(settings, settings.open_source())
    kept = (photos / "red" / "4.jpg").read_bytes()
    (photos / "red" / "4.jpg").write_bytes((other / "red" / "4.jpg").read_bytes())
    with pytest.warns(UserWarning, match="began: other files. Where"):
        evaluate_command._open_source(run, None, None, None, "error")
    (photos / "red" / "4.jpg").write_bytes(kept)
    assert run.changes_in(settings.open_source()) == ""
    (photos / "red" / "4.jpg").unlink()  # another fifth is held out from now on
    with pytest.warns(UserWarning, match="'train': 11, 'test': 3}, was {'train': 12, 'test': 3}.*trained on"):
        evaluate_command._open_source(run, None, None, None, "error")


def test_a_teachers_scores_go_by_names(named):
    images = np.zeros((3, 32, 32, 3), np.float32)
    images[0, ..., 0] = images[1, ..., 1] = images[2, ..., 2] = 255
    by_name = open_teacher(str(named.path), ("blue", "green", "red"), (32, 32))(images)
    same = open_teacher(str(named.path), ("red", "green", "blue"), (32, 32))(images)
    assert np.argmax(same, -1).tolist() == [0, 1, 2]
    np.testing.assert_allclose(by_name, np.asarray(same)[:, ::-1], rtol=1e-6)
    with pytest.raises(InputError, match="does not know cyan"):
        open_teacher(str(named.path), ("cyan", "green", "red"), (32, 32))


def test_relabelled_sources_read_alike_in_every_way(tmp_path):
    source = open_source(paint(tmp_path / "photos", 4)).with_classes(("red", "grey", "green", "blue"))
    assert source.class_names == ("red", "grey", "green", "blue")
    seen = []
    for images, labels in batches(source, "train", image_size=(8, 8), batch_size=4):
        seen += list(zip(images.numpy().mean((1, 2)).argmax(-1), labels.numpy().argmax(-1), strict=True))
    assert {(channel, label) for channel, label in seen} == {(0, 0), (1, 2), (2, 3)}


@pytest.mark.sampled
@pytest.mark.parametrize("names", [("red", "blue", "green"), ("red", "blue", "pink")], ids=["another order", "others"])
def test_a_head_is_loaded_by_names(names, run, settings, recwarn):
    """In another order each score stays with its class; with other classes the head starts anew, and that is said."""
    folder, _ = run
    images = np.random.default_rng(0).uniform(0, 255, (4, 32, 64, 3)).astype(np.float32)
    expected = load_model(folder.model_file).predict(images, verbose=0)
    start = dataclasses.replace(settings, weights=str(folder.model_file))
    scores = build_model(start, names).predict(images, verbose=0)
    said = [str(warning.message) for warning in recwarn if "without its head" in str(warning.message)]
    same = [folder.labels.index(name) for name in names if name in folder.labels]
    if len(same) == len(names):
        np.testing.assert_allclose(scores, expected[:, same], atol=1e-6)
        assert not said
    else:
        assert np.abs(scores[:, :2] - expected[:, same]).max() > 0.01
        assert "green (1 of 3)" in said[0]
