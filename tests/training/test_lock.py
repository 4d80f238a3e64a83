"""One run in a folder at a time: two processes, two machines, and a process that starts itself again."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from helpers import ROOT
from keras_mobattn.errors import InputError
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.training import TrainSettings, train
from keras_mobattn.training.cluster import is_chief
from keras_mobattn.training.lock import RunLock
from keras_mobattn.training.stop import WorkerLost

FAST = {"renew_seconds": 0.2, "stale_seconds": 1.5}
HOLDER = """
import sys, time
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.training.lock import RunLock
import socket
host = sys.argv[2] or socket.gethostname()
socket.gethostname = lambda: host
with RunLock(RunFolder(sys.argv[1]), renew_seconds=0.2, stale_seconds=1.5):
    print("held", flush=True)
    time.sleep(600)
"""


def told(sentences):
    return lambda sentence: sentences.append(sentence)


@pytest.fixture
def hold(tmp_path):
    """hold(host): another process that holds the folder, on a machine of that name ("" for this one)."""
    processes = []

    def start(host=""):
        process = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path, host], stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_the_second_is_told_who_has_it(hold, tmp_path):
    process = hold()
    with (
        pytest.raises(InputError, match=f"no other run is writing to.*process {process.pid} on .* is training.*Wait"),
        RunLock(RunFolder(tmp_path), **FAST),
    ):
        pass


def test_a_killed_run_leaves_nothing_in_the_way(hold, tmp_path):
    process = hold()
    process.send_signal(signal.SIGKILL)
    process.wait()
    started, sentences = time.monotonic(), []
    with RunLock(RunFolder(tmp_path), told(sentences), **FAST) as lock:
        assert not lock.lost
    assert time.monotonic() - started < 1.0
    assert not sentences


def test_another_machine_is_watched_and_refused_while_it_renews(hold, tmp_path):
    hold("other-host")
    (tmp_path / ".lock").unlink(missing_ok=True)  # an operating system's lock that does not reach over the network
    sentences, started = [], time.monotonic()
    with (
        pytest.raises(InputError, match=r"process \d+ on other-host\S* is training"),
        RunLock(RunFolder(tmp_path), told(sentences), **FAST),
    ):
        pass
    assert time.monotonic() - started < FAST["stale_seconds"]
    assert "Seeing whether process" in sentences[0]
    assert "on other-host" in sentences[0]


def test_a_machine_that_is_gone_is_taken_over_from(hold, tmp_path):
    process = hold("other-host")
    (tmp_path / ".lock").unlink(missing_ok=True)
    process.send_signal(signal.SIGSTOP)  # it neither renews nor ends
    sentences, started = [], time.monotonic()
    with RunLock(RunFolder(tmp_path), told(sentences), **FAST):
        assert time.monotonic() - started >= FAST["stale_seconds"]
        assert len(sentences) == 1


def test_who_was_taken_over_from_notices(tmp_path, monkeypatch):
    with RunLock(RunFolder(tmp_path), **FAST) as lock:
        lock.expect_held()
        (tmp_path / ".lease").unlink()
        deadline = time.monotonic() + 5
        while not lock.lost and time.monotonic() < deadline:
            time.sleep(0.1)
        with pytest.raises(InputError, match="the only run in .*Stop one of them"):
            lock.expect_held()


AGAIN = """
import os, sys
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.training.lock import RunLock
from keras_mobattn.training.stop import WorkerLost
try:
    with RunLock(RunFolder(sys.argv[1]), keep_on=(WorkerLost,)):
        if len(sys.argv) == 2:
            raise WorkerLost("gone")
        print("again", flush=True)
except WorkerLost:
    os.execv(sys.executable, [sys.executable, "-c", open(0).read(), sys.argv[1], "again"])
"""


@pytest.mark.sampled
def test_a_process_that_starts_itself_again_keeps_it(tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", AGAIN, tmp_path], input=AGAIN, capture_output=True, text=True, check=False, timeout=60
    )
    assert result.stdout == "again\n", result.stderr
    assert not (tmp_path / ".lease").exists()


def test_it_is_kept_for_the_new_process_alone(tmp_path):
    lock = RunLock(RunFolder(tmp_path), keep_on=(WorkerLost,), **FAST)
    with pytest.raises(WorkerLost), lock:
        raise WorkerLost("gone")
    assert (tmp_path / ".lease").exists()
    lock.__exit__(None, None, None)
    assert not (tmp_path / ".lease").exists()


def test_nothing_is_left_behind(tmp_path):
    with RunLock(RunFolder(tmp_path / "run"), **FAST):
        assert (tmp_path / "run" / ".lease").exists()
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    with RunLock(RunFolder(tmp_path / "run"), **FAST):
        pass
    assert not any((tmp_path / "run").iterdir())


CHIEFS = {
    "alone": ({}, True),
    "first of two": ({"TF_CONFIG": json.dumps({"task": {"type": "worker", "index": 0}})}, True),
    "second of two": ({"TF_CONFIG": json.dumps({"task": {"type": "worker", "index": 1}})}, False),
    "Slurm's first": ({"SLURM_NTASKS": "2", "SLURM_PROCID": "0"}, True),
    "Slurm's second": ({"SLURM_NTASKS": "2", "SLURM_PROCID": "1"}, False),
    "nonsense": ({"TF_CONFIG": "{"}, True),
}


@pytest.mark.parametrize("case", CHIEFS)
def test_the_chief_alone_locks(case, monkeypatch):
    environment, chief = CHIEFS[case]
    for name in ("TF_CONFIG", "SLURM_NTASKS", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert is_chief("auto") is is_chief("multi-worker") is chief
    assert is_chief("one")


def test_training_takes_the_lock_first(hold, tmp_path):
    """Before the images are looked for, and whether or not it goes on."""
    hold()
    before = sorted(tmp_path.iterdir())
    for resume in (False, True):
        with pytest.raises(InputError, match="no other run is writing to"):
            train(TrainSettings(dataset="./nowhere"), tmp_path, resume=resume)
    assert sorted(tmp_path.iterdir()) == before


def test_bad_input_gives_it_back(tmp_path):
    for _ in range(2):
        with pytest.raises(InputError, match="not there"):
            train(TrainSettings(dataset="./nowhere"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


SCRIPT = ROOT / "training" / "train.py"


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["--auto-resume"]])
def test_two_runs_into_one_folder(flags, tmp_path):
    """Both are started before the first checkpoint: one of them trains, the other one says who does."""
    command = [sys.executable, SCRIPT, "--output-dir", tmp_path / "run", "--data-dir", tmp_path / "tfds"]
    command += ["--variant", "test", "--epochs", "2", *flags]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [run.communicate(timeout=300) for run in runs]
    assert sorted(run.returncode for run in runs) == [0, 2]
    lost, won = ((run, out) for run, out in sorted(zip(runs, outputs, strict=True), key=lambda x: -x[0].returncode))
    assert f"process {won[0].pid} on {socket.gethostname()}" in " ".join(lost[1][1].split())
    assert os.path.exists(tmp_path / "run" / "result.json")
