"""`mobattn serve`: what it prints, takes and leaves; how it ends; and what it refuses."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import urllib.parse

import pytest
import tf_keras as keras

from helpers import small_models
from helpers.made_up_site import record
from helpers.served_models import litert, make_file
from keras_mobattn import benchmark, export
from keras_mobattn.commands.served import served_files
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.settings import TrainSettings, save_settings

ADDRESS = re.compile(r"https?://[\w.]+:\d+/[\w-]+/")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return [make_file(folder, name) for name in ("classifier_fp32", "segmenter_fp32")]


@contextlib.contextmanager
def serving(*words):
    """Run the command; yield (the process, a function that waits for a line with a pattern, all lines so far)."""
    litert()
    command = [sys.executable, "-m", "keras_mobattn", "serve", *map(str, words)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", env=environment
    )
    lines, came = [], threading.Condition()

    def read():
        for line in process.stdout:
            with came:
                lines.append(line)
                came.notify_all()
        with came:
            lines.append("")  # the end
            came.notify_all()

    threading.Thread(target=read, daemon=True).start()

    def wait_for(pattern):
        with came:
            came.wait_for(lambda: re.search(pattern, "".join(lines)) or lines[-1:] == [""], timeout=120)
        found = re.search(pattern, "".join(lines))
        assert found, "".join(lines)
        return found

    try:
        yield process, wait_for, lines
    finally:
        process.kill()
        process.wait()


def ask(address, path="", method="GET", body=None):
    parts = urllib.parse.urlsplit(address)
    if parts.scheme == "https":  # as a person accepts it
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=30, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    with contextlib.closing(connection):
        connection.request(method, parts.path + path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()


def post(address, **changes):
    return ask(address, "results", "POST", json.dumps(record(**changes)))


@pytest.mark.sampled
def test_results_of_two_phones_and_the_end_when_all_is_there(files, tmp_path):
    with serving(*files, "--address", "localhost", "--require", "all", "--output-dir", tmp_path) as (
        process,
        wait,
        lines,
    ):
        address = wait(r"On this machine: (http\S+)")[1]
        manifest = json.loads(ask(address, "manifest.json")[1])
        assert manifest["title"] == f"2 models of {files[0].parent.name}"
        assert [model["name"] for model in manifest["models"]] == ["classifier_fp32", "segmenter_fp32"]
        assert ask(address)[0] == 200
        wait("Opened by")
        assert post(address, done=False, samples_ms=[1.0]) == (204, b"")
        assert post(address)[0] == 204
        wait(r"iPhone, Safari 26.1: classifier_fp32, webgpu fp16: 3.75 ms \(median of 4\), right")
        wrong = {"right": False, "images": 8}
        assert post(address, model="1", client="other", backend="wasm", error="Not as Keras.", proof=wrong)[0] == 204
        wait("segmenter_fp32, wasm, 1 thread: Not as Keras.")
        status, sentence = post(address, model="7")
        assert (status, sentence) == (400, b"Expected model to be one of 0, 1. Received: '7'. Load the page again.")
        assert post(address, model="1", client="other", run=2, backend="webgpu-fp32", samples_ms=[8.0, 8.0])[0] == 204
        assert post(address, client="gone", run=9, done=False, samples_ms=[])[0] == 204  # a tab that says no more
        assert process.wait(90) == 1  # one backend was wrong
    screen = "".join(lines)
    assert "Traceback" not in screen
    assert re.search(r"classifier_fp32 +webgpu fp16 +3.75 +1.00", screen)
    assert "segmenter_fp32, wasm, failed: Not as Keras." in screen
    rows = benchmark.load_measurements(tmp_path / "benchmark.json")
    assert [(row.name, row.backend, row.details.client) for row in rows[:3]] == [
        ("classifier_fp32", "webgpu fp16", "abc"),
        ("segmenter_fp32", "wasm", "other"),
        ("segmenter_fp32", "webgpu fp32", "other"),
    ]
    assert rows[0].samples_ms == (3.0, 4.0, 5.0, 3.5)
    assert (tmp_path / "benchmark.csv").read_text().count("\n") == 5


@pytest.mark.sampled
@pytest.mark.parametrize(("require", "code"), [("none", 0), ("all", 130)])
def test_ctrl_c_keeps_what_came(require, code, files, tmp_path):
    with serving(*files, "--require", require, "--output-dir", tmp_path, "--usb", "no") as (process, wait, lines):
        address = wait(r"On this machine: (http\S+)")[1]
        found = ADDRESS.findall("".join(lines))
        assert post(address, done=False, samples_ms=[1.0, 3.0])[0] == 204
        if found[0].startswith("https"):  # where this machine has a network card
            assert ask(found[0], "manifest.json")[0] == 200
            assert ask(found[0].replace(found[0].split("/")[3], "guess"))[0] == 404
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == code
    screen = "".join(lines)
    assert "the browser sent the first 2 runs and no end: was the tab closed?" in screen
    assert "Traceback" not in screen
    (row,) = benchmark.load_measurements(tmp_path / "benchmark.json")
    assert (row.samples_ms, row.details.finished) == ((1.0, 3.0), False)


def test_nothing_came(files, tmp_path):
    (tmp_path / "benchmark.json").write_text("an earlier one")
    with serving(files[0], "--output-dir", tmp_path, "--address", "localhost") as (process, wait, lines):
        wait("Ctrl-C ends it")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert "No results came." in "".join(lines)
    assert (tmp_path / "benchmark.json").read_text() == "an earlier one"


def test_a_folder_for_any_host(files, tmp_path, mobattn, capsys):
    litert()
    assert mobattn("serve", *files, "--static", tmp_path / "site", "--num-runs", 7) == 0
    assert "Put it on any HTTPS host" in capsys.readouterr().out
    manifest = json.loads((tmp_path / "site" / "manifest.json").read_text())
    assert manifest["static"]
    assert manifest["protocol"]["num_runs"] == 7
    assert manifest["models"][0]["proof"]["source"].startswith("Keras (")
    assert (tmp_path / "site" / manifest["models"][1]["path"]).read_bytes() == files[1].read_bytes()


def test_a_file_without_its_keras_model(files, tmp_path, mobattn, capsys):
    litert()
    alone = tmp_path / "alone.tflite"
    alone.write_bytes(files[0].read_bytes())
    assert mobattn("serve", alone, "--static", tmp_path / "site") == 0
    said = "alone.tflite: no Keras model is beside it; it is compared with LiteRT on this computer."
    assert said in capsys.readouterr().out
    other = tmp_path / "segmenter_fp32.tflite"  # its neighbour is another model
    other.write_bytes(files[0].read_bytes())
    (tmp_path / "segmenter.keras").write_bytes((files[1].parent / "segmenter.keras").read_bytes())
    assert mobattn("serve", other, "--static", tmp_path / "site") == 0
    assert "segmenter_fp32.tflite takes images of another size than segmenter.keras" in capsys.readouterr().out


def test_two_files_of_one_name(files, tmp_path, mobattn):
    litert()
    other = tmp_path / files[0].name
    other.write_bytes(files[0].read_bytes())
    assert mobattn("serve", files[0], other, "--static", tmp_path / "site") == 0
    names = [model["name"] for model in json.loads((tmp_path / "site" / "manifest.json").read_text())["models"]]
    assert names == [str(files[0]), str(other)]


BAD = {  # words after the file -> a part of the sentence
    ("--address", "8.8.8.8"): "an IPv4 address of this machine, or the name of a network card",
    ("--port", "70000"): "from 0 to 65535. Received: 70000",
    ("--num-runs", "0"): "Expected num_runs to be",
    ("--litert-js", "nowhere"): "which is not there",
    ("--images", "nowhere"): "a folder of images",
    ("--usb", "yes"): "Expected",  # no phone here
    ("--max-secs", "0.1"): "must not be below",
}


@pytest.mark.parametrize("words", BAD, ids=" ".join)
def test_bad_words(words, files, tmp_path, mobattn, capsys, monkeypatch):
    if "--litert-js" not in words:
        litert()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANDROID_SERIAL", "nothing")
    assert mobattn("serve", files[0], *words) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert BAD[words] in said
    assert "Received" in said


def test_files_that_are_none(tmp_path, mobattn, capsys):
    litert()
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(b"no model at all")
    for path, sentence in {
        damaged: "Expected",
        tmp_path: "damaged",
        tmp_path / "a.keras": "Expected .tflite files",
    }.items():
        assert mobattn("serve", path, "--static", tmp_path / "site") == 2
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "site").exists()


def test_a_port_that_is_taken(files, tmp_path, mobattn, capsys):
    litert()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        words = ("--address", "localhost", "--port", port, "--output-dir", tmp_path, "--usb", "no")
        assert mobattn("serve", files[0], *words) == 2
    assert f"127.0.0.1, port {port}" in capsys.readouterr().err


def test_one_probability_is_compared_with_its_keras_model(tmp_path):
    """Outside of a run, where no settings tell that the task is binary, too."""
    model = small_models.small_model(lambda x: keras.layers.Dense(1, activation="sigmoid")(x))
    model.save(tmp_path / "binary.keras")
    path = tmp_path / "binary_fp32_single.tflite"
    export.to_tflite(model, path, check_images=small_models.photos(), single_output=True)
    ((served, note),) = served_files([path])
    assert served.proof["source"].startswith("Keras (")
    assert not note


def test_a_file_with_another_kind_of_model_beside_it(tmp_path):
    """By its name a detector's is made of the binary classifier."""
    binary = small_models.small_model(lambda x: keras.layers.Dense(1, activation="sigmoid")(x))
    binary.save(tmp_path / "detector.keras")
    path = make_file(tmp_path, "detector_fp32")
    ((served, note),) = served_files([path])
    assert served.proof["source"] == "LiteRT on this computer"
    assert note.startswith("detector_fp32.tflite ")


def test_a_keras_model_that_does_not_tell_its_range(tmp_path):
    model = small_models.small_model(lambda x: keras.layers.Dense(3, activation="softmax")(x))
    path = tmp_path / "mine_fp32.tflite"
    export.to_tflite(model, path, check_images=small_models.photos())
    image = keras.Input((48, 64, 3))
    keras.Model(image, keras.layers.GlobalAveragePooling2D()(image)).save(tmp_path / "mine.keras")
    ((served, note),) = served_files([path])
    assert served.proof["source"] == "LiteRT on this computer"
    assert "mine.keras can't be asked (Expected to know which numbers the model takes" in note


def test_a_file_that_made_room_for_a_longer_run(tmp_path):
    """Its Keras model was renamed, and lies one folder above."""
    made = make_file(tmp_path, "classifier_fp32")
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    save_settings(run.settings_file, TrainSettings())
    (tmp_path / "classifier.keras").rename(run.path / "model_16_epochs.keras")
    for name in ("model_fp32", "best_fp32"):
        path = run.path / "16_epochs" / f"{name}.tflite"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(made.read_bytes())
        ((served, _),) = served_files([path])
        assert served.proof["source"].startswith("Keras (" if name == "model_fp32" else "LiteRT on")
