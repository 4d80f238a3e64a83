"""Several devices and machines: what a strategy needs, and two workers over loopback against one."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tf_keras as keras

from helpers import ROOT
from helpers.annotated_folders import write_coco
from helpers.shapes import write_shapes
from helpers.worker import train_flags
from keras_mobattn import InputError
from keras_mobattn.models import load_model
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.tasks.detection import anchors_of
from keras_mobattn.training import TrainSettings, evaluate, read_history, train
from keras_mobattn.training.cluster import Cluster

WORKER = ROOT / "tests" / "helpers" / "worker.py"
# Both start from a model that was trained for some epochs: from fresh weights, whose batch norms divide by next to
# nothing, rounding alone (fused or synchronised batch norm, on one device) moves the loss by 2e-3 in 20 steps.
SETTINGS = {"variant": "test", "attention": "separable", "augment": "none", "epochs": 1, "batch_size": 64}
SETTINGS |= {"learning_rate": 1e-3, "warmup_epochs": 0.0}

BAD_CLUSTERS = {
    "neither": ({}, "Expected the cluster in TF_CONFIG.*Received: neither"),
    "no json": ({"TF_CONFIG": "hosts"}, "Received: hosts"),
    "no task": ({"TF_CONFIG": '{"cluster": {"worker": ["a:1"]}}'}, "Expected TF_CONFIG to be "),
    "index": (
        {"TF_CONFIG": '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}'},
        "an index into the hosts",
    ),
}


@pytest.mark.parametrize("case", BAD_CLUSTERS)
def test_bad_clusters(case, monkeypatch):
    variables, message = BAD_CLUSTERS[case]
    for name in ("TF_CONFIG", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=message):
        Cluster("multi-worker")


def test_what_is_not_here():
    with pytest.raises(InputError, match="one of 'auto', 'one', 'mirrored', 'multi-worker', 'tpu'"):
        Cluster("many")
    assert (Cluster("auto").replicas, Cluster("auto").workers, Cluster("auto").chief) == (1, 1, True)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("localhost", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def start(tmp_path, settings, execution=None, index=None, ports=(), script=WORKER):
    environment = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
    if index is not None:
        cluster = {"worker": [f"localhost:{port}" for port in ports]}
        environment["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
    name = "one" if index is None else f"two{index}"
    folder = tmp_path / name[:3]
    arguments = [folder, tmp_path / f"{name}.json", json.dumps(settings), json.dumps(execution or {})]
    with open(tmp_path / f"{name}.log", "a", encoding="utf-8") as log:
        return subprocess.Popen([sys.executable, script, *arguments], env=environment, stdout=log, stderr=log)


def finish(processes, tmp_path, seconds=300):
    try:
        codes = [process.wait(seconds) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert codes == [0] * len(codes), "\n".join(log.read_text()[-3000:] for log in tmp_path.glob("*.log"))


JOINED = """
import tensorflow as tf
from keras_mobattn.training.cluster import Cluster

cluster = Cluster("auto")
one = lambda: tf.distribute.get_replica_context().all_reduce("SUM", tf.constant(1.0))
total = cluster.strategy.experimental_local_results(tf.function(lambda: cluster.strategy.run(one))())[0]
print(cluster.workers, cluster.replicas, cluster.chief, float(total))
"""


@pytest.mark.slow
def test_slurm():
    """Two tasks as srun starts them, on ports that Slurm's resolver picks."""
    job = {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NODEID": "0"}
    job |= {"SLURM_STEP_NODELIST": "localhost", "SLURM_STEP_TASKS_PER_NODE": "2"}
    tasks = [
        subprocess.Popen(
            [sys.executable, "-c", JOINED],
            env={**os.environ, **job, "SLURM_PROCID": str(task), "SLURM_LOCALID": str(task)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for task in range(2)
    ]
    printed = [task.communicate(timeout=300) for task in tasks]
    assert [out.strip() for out, _ in printed] == ["2 2 True 2.0", "2 2 False 2.0"], printed


@pytest.mark.slow
def test_two_workers_are_one(tmp_path):
    """The loss of 22 steps within 1e-4, with synchronised batch norm, which the files don't have."""
    settings = {**SETTINGS, "data_dir": str(tmp_path / "tfds")}
    train(TrainSettings(**{**settings, "epochs": 4, "learning_rate": 1e-2}), tmp_path / "begun", progress=False)
    settings["weights"] = str(tmp_path / "begun" / "model.keras")
    finish([start(tmp_path, settings)], tmp_path)
    ports = free_ports(2)
    finish([start(tmp_path, settings, None, index, ports) for index in range(2)], tmp_path)
    one, first, second = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two0", "two1"))
    assert len(one) == 22
    first_half, second_half = one[10], 2 * one[21] - one[10]  # logs are means since the epoch's begin
    assert second_half < first_half - 0.02  # one batch alone says little: the weights do move
    np.testing.assert_allclose(first, one, atol=1e-4)
    np.testing.assert_allclose(second, first, atol=1e-6)
    rows = [read_history(tmp_path / name / "history.csv")[0] for name in ("one", "two")]
    assert rows[0]["loss"] == pytest.approx(rows[1]["loss"], abs=1e-4)
    # Keras's fused batch norm corrects the moving variance by n / (n - 1), the synchronised one doesn't.
    assert rows[0]["val_loss"] == pytest.approx(rows[1]["val_loss"], abs=5e-3)
    model = load_model(tmp_path / "two" / "model.keras")
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert norms
    assert not any(norm.synchronized for norm in norms)


EVALUATED_WHOLE = {  # task -> (writer of a folder, further settings, the figure that picks the best epoch)
    "detection": (write_coco, {"augment": "ssd"}, "map50"),
    "segmentation": (write_shapes, {"augment": "segmentation", "head_width": 8}, "miou"),
}


@pytest.mark.slow
@pytest.mark.parametrize("task", EVALUATED_WHOLE)
def test_two_workers_train_what_is_evaluated_whole(task, tmp_path):
    """Anchors are fitted by each worker alike, and each evaluates all images: both end with the same weights, and with
    the figures of one process that goes on from them."""
    write, options, figure = EVALUATED_WHOLE[task]
    settings = {
        "dataset": str(write(tmp_path / "folder")), "task": task, "variant": "test", "width": 0.25, "image_size": 64,
        "label_smoothing": 0.0, "epochs": 2, "batch_size": 4, **options,
    }  # fmt: skip
    ports = free_ports(2)
    finish([start(tmp_path, settings, None, index, ports) for index in range(2)], tmp_path)
    first, second = (json.loads((tmp_path / f"two{index}.json").read_text()) for index in range(2))
    np.testing.assert_allclose(second, first, atol=1e-6)
    run = RunFolder(tmp_path / "two")
    rows = read_history(run.history_file)
    assert [0 <= row[f"val_{figure}"] <= 1 for row in rows] == [True, True]
    model = load_model(run.model_file)
    if task == "detection":
        np.testing.assert_array_equal(run.task.anchors, anchors_of(model))
    seen = evaluate(model, run.open_source(), "validation", task=run.task, **run.view)
    assert seen[figure] == pytest.approx(rows[-1][f"val_{figure}"], abs=1e-4)


@pytest.mark.slow
def test_a_worker_is_killed_and_comes_back(tmp_path):
    """The other one notices, starts itself again, waits, and both end with what an undisturbed pair ends with."""
    script = ROOT / "training" / "train.py"
    settings = TrainSettings(**{**SETTINGS, "epochs": 2, "data_dir": str(tmp_path / "tfds")})
    folders = {}
    for name, kill in (("calm", False), ("disturbed", True)):
        folders[name] = tmp_path / name
        ports = free_ports(2)
        processes = [start_script(script, settings, folders[name], index, ports) for index in range(2)]
        if kill:
            wait_for_checkpoint(folders[name], processes[1])
            processes[1].send_signal(signal.SIGKILL)
            processes[1].wait()
            time.sleep(5)
            processes[1] = start_script(script, settings, folders[name], 1, ports)
        finish(processes, tmp_path)
    results = [json.loads((folder / "result.json").read_text()) for folder in folders.values()]
    assert [result["steps"] for result in results] == [44, 44]
    calm, disturbed = (load_model(folder / "model.keras").get_weights() for folder in folders.values())
    for a, b in zip(calm, disturbed, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert "Another worker is gone" in (tmp_path / "disturbed0.log").read_text()


def start_script(script, settings, folder, index, ports):
    cluster = {"worker": [f"localhost:{port}" for port in ports]}
    task = {"type": "worker", "index": index}
    environment = {**os.environ, "TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}
    command = [
        sys.executable,
        script,
        *train_flags(settings),
        "--output-dir",
        folder,
        "--checkpoint-steps",
        "5",
        "--auto-resume",
    ]
    with open(folder.parent / f"{folder.name}{index}.log", "a", encoding="utf-8") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def wait_for_checkpoint(folder, process):
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        if list((folder / "checkpoints").glob("step-*1[05]")):
            return
        time.sleep(0.1)
    raise AssertionError("no checkpoint of step 10 or 15")
