"""Training on real digits with the tiny variant, its parts against their formulas, and what is left after trouble."""

import csv
import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from keras_mobattn import InputError
from keras_mobattn.data import open_source
from keras_mobattn.export import to_tflite
from keras_mobattn.models import load_model
from keras_mobattn.training import TrainSettings, evaluate, load_settings, read_history, train
from keras_mobattn.training.average import AveragedWeights
from keras_mobattn.training.run import build_model, compile_model
from keras_mobattn.training.schedule import WarmupCosine

SCRIPTS = Path(__file__).parent.parent / "training"
LEFT_BY_A_RUN = {
    "settings.json",
    "labels.txt",
    "history.csv",
    "curves.png",
    "tensorboard",
    "checkpoints",
    "best.keras",
    "model.keras",
    "result.json",
}


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("tfds"))


@pytest.fixture
def tiny(data_dir):
    return TrainSettings(data_dir=data_dir, variant="test", epochs=2, batch_size=64, learning_rate=1e-2)


def test_schedule_equals_the_formula():
    schedule = WarmupCosine(peak=3.0, floor=0.5, warmup_steps=4, total_steps=20)
    steps = np.arange(30)
    cosine = 0.5 + 2.5 * (1 + np.cos(np.pi * np.clip((steps - 4) / 16, 0, 1))) / 2
    expected = np.where(steps < 4, 3.0 * (steps + 1) / 4, cosine)
    np.testing.assert_allclose([float(schedule(step)) for step in steps], expected, rtol=1e-6)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert float(again(7)) == float(schedule(7))
    assert float(WarmupCosine(1.0, 0.1, 0, 10)(0)) == 1.0


def test_average_equals_the_formula():
    model = keras.Sequential([keras.layers.Dense(3, input_shape=(2,)), keras.layers.BatchNormalization()])
    average = AveragedWeights(0.5)
    average.set_model(model)
    expected = [w.astype(np.float64) for w in model.get_weights()]
    rng = np.random.default_rng(0)
    for step in range(1, 12):
        weights = [rng.normal(size=w.shape) for w in expected]
        model.set_weights(weights)
        average.on_train_batch_end(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = [decay * e + (1 - decay) * w for e, w in zip(expected, weights, strict=True)]
    raw = model.get_weights()
    with average.applied(), average.applied():  # best.keras is saved while nothing else is; nesting changes nothing
        for received, e in zip(model.get_weights(), expected, strict=True):
            np.testing.assert_allclose(received, e, atol=1e-6)
    for received, before in zip(model.get_weights(), raw, strict=True):
        np.testing.assert_array_equal(received, before)


def test_one_dimensional_weights_are_not_decayed(tiny):
    model = build_model(tiny, 10)
    compile_model(model, tiny, 10)
    before = [w.numpy() for w in model.trainable_weights]
    model.optimizer.build(model.trainable_weights)
    model.optimizer.apply_gradients((tf.zeros_like(w), w) for w in model.trainable_weights)
    changed = [not np.array_equal(b, w) for b, w in zip(before, model.trainable_weights, strict=True)]
    assert changed == [w.shape.rank > 1 and bool(np.any(w)) for w in model.trainable_weights]


def test_a_run_leaves_everything(tiny, tmp_path):
    result = train(tiny, tmp_path / "run", verbose=0)
    folder = tmp_path / "run"
    assert {path.name for path in folder.iterdir()} == LEFT_BY_A_RUN
    assert load_settings(folder / "settings.json") == tiny
    assert (folder / "labels.txt").read_text().splitlines() == result["class_names"]
    assert json.loads((folder / "result.json").read_text()) == result
    history = read_history(folder / "history.csv")
    assert [row["epoch"] for row in history] == [1, 2]
    assert history[1]["loss"] < history[0]["loss"]
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert list(folder.glob("tensorboard/*/events*"))
    source = open_source("digits", tiny.data_dir)
    assert evaluate(load_model(folder / "model.keras"), source)["accuracy"] == pytest.approx(result["test_accuracy"])
    best = evaluate(load_model(folder / "best.keras"), source)
    assert best["accuracy"] == pytest.approx(max(row["val_accuracy"] for row in history))
    assert best["confusion"].sum() == best["num_images"] == 359
    with pytest.raises(InputError, match="without a run"):
        train(tiny, folder, verbose=0)


def test_same_seed_same_weights(tiny, tmp_path):
    one_epoch = dataclasses.replace(tiny, epochs=1, warmup_epochs=0.5)
    weights = []
    for name in ("a", "b"):
        train(one_epoch, tmp_path / name, verbose=0)
        weights.append(np.concatenate([w.ravel() for w in load_model(tmp_path / name / "model.keras").get_weights()]))
    np.testing.assert_array_equal(weights[0], weights[1])


def test_mixed_precision_trains(tiny, tmp_path):
    settings = dataclasses.replace(tiny, precision="mixed_float16", epochs=1, warmup_epochs=0.5)
    train(settings, tmp_path / "run", verbose=0)
    history = read_history(tmp_path / "run" / "history.csv")
    assert np.isfinite(history[0]["loss"])
    assert keras.mixed_precision.global_policy().name == "float32"


def run_script(name, *flags, **options):
    command = [sys.executable, SCRIPTS / name, *map(str, flags)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_interrupted_and_resumed(tiny, tmp_path):
    """Ctrl-C after the first epoch: exit code 130; --resume goes on with the second, without the file it began with."""
    build_model(tiny, 10).save(tmp_path / "start.keras")
    flags = ["--variant", "test", "--data-dir", tiny.data_dir, "--epochs", "40", "--output-dir", "run"]
    flags += ["--weights", "start.keras"]
    command = [sys.executable, SCRIPTS / "train.py", *flags]
    ours = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell's background jobs and their children ignore it
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, ours)
    checkpoint = tmp_path / "run" / "checkpoints" / "checkpoint"
    deadline = time.monotonic() + 180
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume run" in output
    assert "Traceback" not in errors
    (tmp_path / "start.keras").unlink()
    before = (tmp_path / "run" / "history.csv").read_text().splitlines()
    assert 2 <= len(before) < 41
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    (tmp_path / "run" / "settings.json").write_text(json.dumps({**settings, "epochs": len(before) + 1}))
    done = run_script("train.py", "--resume", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "run" / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(1, len(before) + 2))
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    accuracy = json.loads((tmp_path / "run" / "result.json").read_text())["test_accuracy"]
    to_tflite(tmp_path / "run" / "model.keras", tmp_path / "run" / "model_fp32.tflite")
    for model in ("run", "run/model_fp32.tflite"):
        evaluated = run_script("evaluate.py", model, cwd=tmp_path)
        assert evaluated.returncode == 0, evaluated.stderr
        assert f"{100 * accuracy:.2f}" in evaluated.stdout


BAD_SETTINGS = {
    "image_size": 16,
    "epochs": 0,
    "batch_size": 0,
    "learning_rate": 0.0,
    "warmup_epochs": 100.0,
    "label_smoothing": 1.0,
    "ema_decay": 1.0,
    "width": -1.0,
    "augment": "nope",
}


@pytest.mark.parametrize("name", BAD_SETTINGS)
def test_bad_settings(name):
    with pytest.raises(InputError, match=f"{name} expects .*Received: .*{BAD_SETTINGS[name]}"):
        TrainSettings(**{name: BAD_SETTINGS[name]})


def test_model_of_other_classes(tiny, tmp_path):
    model = build_model(tiny, 7)
    with pytest.raises(InputError, match="10 classes of 'digits'.*7"):
        evaluate(model, open_source("digits", tiny.data_dir))


def test_weights_to_start_from(tiny, tmp_path):
    """As a file fits: all of it; all but the head; all but the attention; or no run."""
    seven = build_model(tiny, 7)
    seven.save(tmp_path / "seven.keras")
    start = dataclasses.replace(tiny, weights=str(tmp_path / "seven.keras"))
    with pytest.warns(UserWarning, match="7 classes"):
        ten = build_model(start, 10)
    kernel, head = ("stem_conv", "predictions")
    np.testing.assert_array_equal(ten.get_layer(kernel).kernel, seven.get_layer(kernel).kernel)
    assert ten.get_layer(head).kernel.shape[-1] == 10

    start = dataclasses.replace(start, attention="separable")
    with pytest.raises(InputError, match="weights_skip"):
        train(start, tmp_path / "run", verbose=0)
    assert not (tmp_path / "run").exists()
    other = build_model(dataclasses.replace(start, weights_skip="attention"), 7)
    np.testing.assert_array_equal(other.get_layer(kernel).kernel, seven.get_layer(kernel).kernel)


BAD_FLAGS = {
    "style": (["train.py", "--attention", "nope"], "nope"),
    "width": (["train.py", "--width", "0"], "width expects"),
    "dataset": (["train.py", "--dataset", "./nowhere"], "nowhere"),
    "file as folder": (
        ["train.py", "--output-dir", "/dev/null/x", "--epochs", "1", "--warmup-epochs", "0"],
        "/dev/null",
    ),
    "resume nothing": (["train.py", "--resume", "nowhere"], "nowhere"),
    "resume and flags": (["train.py", "--resume", "nowhere", "--epochs", "3"], "other flags"),
    "head_dim without heads": (["train.py", "--attention", "hydra", "--head-dim", "8"], "with heads"),
    "evaluate nothing": (["evaluate.py", "nowhere.keras", "--dataset", "digits"], "nowhere.keras"),
}


@pytest.mark.parametrize("case", BAD_FLAGS)
def test_bad_flags(case, tmp_path, data_dir):
    (script, *flags), message = BAD_FLAGS[case]
    data = [] if "--resume" in flags else ["--data-dir", data_dir]
    done = run_script(script, *flags, *data, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_digits_accuracy(data_dir, tmp_path):
    assert train(TrainSettings(data_dir=data_dir), tmp_path / "run", verbose=0)["test_accuracy"] >= 0.985
