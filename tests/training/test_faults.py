"""What a run leaves, and no lost work: killed, stopped, out of disk, with a damaged checkpoint, it ends the same."""

import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tf_keras as keras

from helpers import ROOT
from helpers.worker import train_flags
from keras_mobattn import InputError
from keras_mobattn.data import open_source
from keras_mobattn.models import load_model
from keras_mobattn.training import (
    Diverged,
    Execution,
    Stopped,
    TrainSettings,
    evaluate,
    load_settings,
    read_history,
    train,
)
from keras_mobattn.training.history import History
from keras_mobattn.training.stop import SignalWatch

SCRIPT = ROOT / "training" / "train.py"
LEFT_BY_A_RUN = {
    "settings.json",
    "labels.txt",
    "data.json",
    "history.csv",
    "curves.png",
    "tensorboard",
    "checkpoints",
    "best.keras",
    "model.keras",
    "result.json",
}
STEPS = 22  # an epoch of 1438 digits in batches of 64
TIMES = {"seconds"}  # a row's columns that may differ


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Mobile-Attention with its dropout, augmented: everything that is random takes part."""
    return TrainSettings(
        data_dir=str(tmp_path_factory.mktemp("tfds")), variant="test", epochs=2, batch_size=64, learning_rate=1e-2
    )


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
    """The folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(tiny, folder, progress=False)
    return folder


def weights(folder):
    return np.concatenate([weight.ravel() for weight in load_model(folder / "model.keras").get_weights()])


def rows(folder):
    history = read_history(folder / "history.csv")
    return [{name: value for name, value in row.items() if name not in TIMES} for row in history]


def expect_same(folder, whole):
    """The run ended with the weights of the other, bit for bit, the same history, and the right number of steps."""
    np.testing.assert_array_equal(weights(folder), weights(whole))
    assert rows(folder) == rows(whole)
    results = [json.loads((each / "result.json").read_text()) for each in (folder, whole)]
    assert results[0]["steps"] == 2 * STEPS
    assert {**results[0], "seconds": 0} == {**results[1], "seconds": 0}


def at_step(step, action):
    """A callback that acts after a step of an epoch, once."""
    done = []

    def act(batch, logs):
        if batch == step and not done:
            done.append(True)
            action()

    return keras.callbacks.LambdaCallback(on_train_batch_end=act)


@pytest.mark.slow
def test_a_run_leaves_everything(tiny, whole):
    folder = whole
    result = json.loads((folder / "result.json").read_text())
    assert {path.name for path in folder.iterdir()} == LEFT_BY_A_RUN
    assert load_settings(folder / "settings.json") == tiny
    assert (folder / "labels.txt").read_text().splitlines() == result["class_names"]
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
        train(tiny, folder, progress=False)


@pytest.mark.slow
def test_stopped_and_resumed_is_the_same(tiny, whole, tmp_path):
    """SIGTERM in the middle of the first epoch."""
    folder = tmp_path / "run"
    stop = at_step(7, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Stopped, match="SIGTERM.*step-00000008"):
        train(tiny, folder, progress=False, callbacks=[stop])
    assert not (folder / "history.csv").exists()
    train(tiny, folder, resume=True, progress=False)
    expect_same(folder, whole)
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["step-00000022", "step-00000044"]


@pytest.mark.slow
def test_stopped_while_evaluating(tiny, whole, tmp_path):
    """The evaluation is done when the run goes on."""
    folder = tmp_path / "run"
    stop = at_step(STEPS - 1, lambda: threading.Timer(0.0, os.kill, (os.getpid(), signal.SIGTERM)).start())
    with pytest.raises(Stopped, match="step-00000022"):
        train(tiny, folder, progress=False, callbacks=[stop])
    assert not (folder / "history.csv").exists()
    train(tiny, folder, resume=True, progress=False)
    expect_same(folder, whole)


@pytest.fixture(name="delivered")
def delivered_fixture(tmp_path):
    """What SIGTERM's handler of before the run got: whether there was a result."""
    seen = []
    before = signal.signal(signal.SIGTERM, lambda number, _: seen.append((tmp_path / "run" / "result.json").exists()))
    yield seen
    signal.signal(signal.SIGTERM, before)


@pytest.mark.slow
def test_stopped_after_the_last_step(tiny, whole, tmp_path, monkeypatch, delivered):
    """The run ends whole, and what it is a part of learns of the signal."""
    plot = History.plot
    monkeypatch.setattr(History, "plot", lambda self: (signal.raise_signal(signal.SIGTERM), plot(self)))
    train(tiny, tmp_path / "run", progress=False)
    expect_same(tmp_path / "run", whole)
    assert delivered == [True]


def test_a_signal_is_sent_again_unless_it_was_acted_upon(delivered):
    watch = SignalWatch()
    with pytest.raises(Stopped), watch.listening():
        signal.raise_signal(signal.SIGTERM)
        raise Stopped(watch.number, "here")
    assert delivered == []
    watch = SignalWatch()
    with watch.listening():
        signal.raise_signal(signal.SIGTERM)
        assert delivered == []
    assert delivered == [False]


@pytest.mark.slow
def test_a_damaged_checkpoint_is_passed_over(tiny, whole, tmp_path, capfd):
    """The newest is cut in several ways, the one before is used and it is said; none whole is an error."""
    folder = tmp_path / "run"
    for name, damage in DAMAGES.items():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        damage(folder / "checkpoints" / "step-00000044")
        train(tiny, folder, resume=True, progress=False)
        assert "step-00000044" in capfd.readouterr().err, name
        expect_same(folder, whole)
        break_all = [DAMAGES["cut data"](path) for path in (folder / "checkpoints").iterdir()]
        assert len(break_all) == 2
    with pytest.raises(InputError, match="none of 2"):
        train(tiny, folder, resume=True, progress=False)


def cut(name, share):
    def damage(folder):
        (file,) = folder.glob(name)
        file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])

    return damage


def flip_a_bit(folder):
    (file,) = folder.glob("*.data-*")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


DAMAGES = {"cut data": cut("*.data-*", 0.5), "no index": lambda folder: (folder / "state.index").unlink()}
MORE_DAMAGES = {
    **DAMAGES,
    "cut index": cut("*.index", 0.9),
    "cut state": cut("state.json", 0.5),
    "a flipped bit": flip_a_bit,
}


@pytest.mark.slow
def test_a_value_that_is_not_finite_ends_or_is_skipped(tiny, tmp_path):
    settings = dataclasses.replace(tiny, learning_rate=1e30, warmup_epochs=0.0, clip_norm=None, epochs=1)
    with pytest.raises(Diverged, match=r"step \d+ \(epoch 1\), at learning rate 1e\+30.*no checkpoint.*on_nan='skip'"):
        train(settings, tmp_path / "run", progress=False)
    result = train(settings, tmp_path / "run", True, Execution(on_nan="skip"), progress=False)
    assert result["steps"] == STEPS
    assert result["skipped_steps"] > STEPS // 2
    assert rows(tmp_path / "run")[0]["skipped_steps"] == result["skipped_steps"]


def start(settings, folder, *more, **options):
    command = [sys.executable, SCRIPT, *train_flags(settings), "--output-dir", folder, "--auto-resume", *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def wait_for(what, process, seconds=300):
    """Wait until `what` is true, or the process has ended."""
    deadline = time.monotonic() + seconds
    while not what() and process.poll() is None:
        assert time.monotonic() < deadline, f"nothing for {seconds} s"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("damage", MORE_DAMAGES)
def test_damages(damage, tiny, whole, tmp_path, capfd):
    shutil.copytree(whole, tmp_path / "run")
    MORE_DAMAGES[damage](tmp_path / "run" / "checkpoints" / "step-00000044")
    train(tiny, tmp_path / "run", resume=True, progress=False)
    assert "step-00000044" in capfd.readouterr().err
    expect_same(tmp_path / "run", whole)


@pytest.mark.slow
def test_killed_twenty_times(tiny, whole, tmp_path):
    """SIGKILL at random moments, half of them soon after a checkpoint began or ended, with a checkpoint every 2
    steps."""
    folder, draw = tmp_path / "run", random.Random(0)
    kills = 0
    while kills < 20:
        process = start(tiny, folder, "--checkpoint-steps", "2")
        before = set((folder / "checkpoints").glob("*"))
        if kills % 2:
            wait_for(lambda: set((folder / "checkpoints").glob("*")) != before, process)  # noqa: B023
            time.sleep(draw.uniform(0, 0.3))
        else:
            time.sleep(draw.uniform(1, 25))
        if process.poll() is not None:  # it ended before it could be killed: begin anew, the twenty are what counts
            assert process.returncode == 0, process.communicate()
            expect_same(folder, whole)
            shutil.rmtree(folder)
        process.kill()
        process.communicate()
        kills += 1
    done = start(tiny, folder, "--checkpoint-steps", "2")
    output, errors = done.communicate(timeout=300)
    assert done.returncode == 0, errors
    expect_same(folder, whole)
    assert not list((folder / "checkpoints").glob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_told_to_stop(number, code, tiny, whole, tmp_path):
    """It saves where it is, says how to go on, and leaves with the documented code."""
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs and children ignore it
    process = start(tiny, tmp_path / "run", "--checkpoint-steps", "5")
    signal.signal(signal.SIGINT, ours)
    wait_for((tmp_path / "run" / "checkpoints" / "step-00000005").exists, process)
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert "Error: " not in errors
    assert "Traceback" not in errors
    assert f"--resume {tmp_path / 'run'}" in output
    newest = max(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert newest > "step-00000005"
    resumed = subprocess.run(
        [sys.executable, SCRIPT, "--resume", tmp_path / "run"], capture_output=True, text=True, check=False
    )
    assert resumed.returncode == 0, resumed.stderr
    expect_same(tmp_path / "run", whole)


@pytest.mark.slow
@pytest.mark.parametrize("room", [300, 1500, 2500])
def test_disk_full(room, tiny, whole, tmp_path):
    """A disk of `room` kB: one sentence, the earlier checkpoint is whole, and with room the run ends the same."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room}k", "none", disk], check=False).returncode:
        pytest.skip("a disk of our own needs the right to mount one")
    try:
        process = start(tiny, disk / "run", "--checkpoint-steps", "5", "--keep-checkpoints", "50")
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 2, errors
        assert "Traceback" not in errors
        shutil.copytree(disk / "run", tmp_path / "run")
    finally:
        subprocess.run(["umount", disk], check=True)
    done = start(load_settings_or(tmp_path / "run", tiny), tmp_path / "run")
    output, errors = done.communicate(timeout=300)
    assert done.returncode == 0, errors
    assert "damaged" not in errors
    expect_same(tmp_path / "run", whole)


def load_settings_or(folder, settings):
    """Those in the folder are these, if they were written at all."""
    path = folder / "settings.json"
    assert not path.exists() or load_settings(path) == settings
    return settings
