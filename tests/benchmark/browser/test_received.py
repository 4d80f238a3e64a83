"""What a browser posts: as a row, and whatever else it may be, as a sentence."""

import hashlib
import json

import pytest

from helpers.made_up_site import SAMPLES, made_up_site, record
from keras_mobattn import benchmark
from keras_mobattn.benchmark.browser.received import MOST_SAMPLES, read_row
from keras_mobattn.errors import InputError


def body(**changes):
    return json.dumps(record(**changes)).encode()


@pytest.fixture
def files(tmp_path):
    return made_up_site(tmp_path).files


def test_a_row(files, tmp_path):
    key, row = read_row(body(), files)
    assert key == ("abc", 1)
    assert (row.name, row.file, row.target, row.backend) == ("model0", str(files[0].path), "browser", "webgpu fp16")
    assert (row.device.name, row.device.os, row.device.cores) == ("iPhone", "iOS 26.1", 6)
    assert row.runtime == "LiteRT.js 2.5.3, Safari 26.1"
    assert row.samples_ms == tuple(SAMPLES)
    assert (row.statistics.median_ms, row.statistics.count, row.load_ms, row.first_ms) == (3.75, 4, 200.5, 30)
    assert (row.num_threads, row.size_bytes, row.inputs) == (None, 108, ("float32[1,4,4,3]",))
    details = row.details
    assert (details.adapter, details.whole, details.right, details.proof_images) == ("apple / metal-3", True, True, 8)
    assert (details.max_abs_error, details.spread, details.snr_db, details.agreement) == (1e-3, 0.9, 60.5, 1)
    assert (details.finished, details.note, details.isolated, details.pressure) == (True, "", True, "fair")
    assert (details.battery, details.battery_after, details.charging) == (0.8, 0.7, False)
    benchmark.save_json(tmp_path / "benchmark.json", [row])
    assert benchmark.load_measurements(tmp_path / "benchmark.json") == [row]
    benchmark.save_csv(tmp_path / "benchmark.csv", [row])
    assert "webgpu fp16" in (tmp_path / "benchmark.csv").read_text()


def test_threads_and_adapter_of_the_cpu(files):
    _, one = read_row(body(backend="wasm", whole=None), files)
    _, several = read_row(body(backend="wasm-threads", whole=None, threads=4), files)
    assert (one.backend, one.num_threads, one.details.adapter) == ("wasm", 1, None)
    assert (several.backend, several.num_threads) == ("wasm", 4)


def test_a_later_row_replaces_the_same_one(files):
    key, first = read_row(body(done=False, samples_ms=[1.0, 2.0]), files)
    assert read_row(body(), files)[0] == key
    assert not first.details.finished
    assert "first 2 runs and no end" in first.details.note
    assert first.details.note in " ".join(benchmark.remarks([first]))
    assert all(read_row(body(**changes), files)[0] != key for changes in ({"client": "other"}, {"run": 2}))


@pytest.mark.parametrize("changes", [{"error": "Not as Keras: no."}, {"samples_ms": []}, {"samples_ms": None}])
def test_a_row_without_figures(files, changes):
    _, row = read_row(body(**changes), files)
    assert row.error == changes.get("error", "Nothing was timed yet.")
    assert row.statistics is None


def test_what_fell_back_is_said(files):
    _, row = read_row(body(fell_back="It ran on the CPU."), files)
    assert (row.details.note, row.backend) == ("It ran on the CPU.", "wasm, webgpu fp16 refused")


BAD = {  # what is wrong -> (a body, a part of the sentence)
    "no JSON": (b"{", "record in JSON"),
    "no text": (b"\xff\xfe\x00", "record in JSON"),
    "deep": (b"[" * 100_000, "record in JSON"),
    "a list": (b"[1]", "an object"),
    "nothing": (b"{}", "one of 0, 1"),
    "another file": (body(model="2"), "model to be one of 0, 1. Received: '2'"),
    "a path": (body(model="../../etc/passwd"), "one of 0, 1"),
    "a file by number": (body(model=0), "one of 0, 1"),
    "a backend": (body(backend="cuda"), "backend to be one of wasm"),
    "no host": (body(host=3), "host to be an object"),
    "a text": (body(client=["a"]), "client to be a text"),
    "NaN": (body(first_ms=float("nan")), "first_ms to be a number"),
    "infinity": (body(load_ms=1e300), "load_ms to be a number"),
    "a large number": (b'{"model": "0", "backend": "wasm", "load_ms": 1' + b"0" * 400 + b"}", "load_ms to be a number"),
    "a huge number": (b'{"model": "0", "backend": "wasm", "load_ms": ' + b"9" * 5000 + b"}", "Expected"),
    "a negative time": (body(samples_ms=[1, -1]), "a time in ms"),
    "a time of NaN": (body(samples_ms=[float("nan")]), "a time in ms"),
    "a time as a text": (body(samples_ms=["1"]), "a time in ms"),
    "true as a time": (body(samples_ms=[True]), "a time in ms"),
    "many times": (body(samples_ms=[1] * (MOST_SAMPLES + 1)), "at most 200000 times"),
    "a flag": (body(whole=1), "whole to be true or false"),
    "threads": (body(backend="wasm-threads", threads=-1), "threads to be a whole number"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_records(name, files):
    content, sentence = BAD[name]
    with pytest.raises(InputError, match="Expected") as caught:
        read_row(content, files)
    assert sentence in str(caught.value)
    assert len(str(caught.value)) < 400


def test_texts_do_nothing_to_a_terminal(files):
    host = record()["host"] | {"device": "\x1b[31mred\x07\u202e" + "x" * 500, "browser": "a\nb"}
    _, row = read_row(body(host=host), files)
    assert row.device.name.startswith("[31mred")
    assert len(row.device.name) <= 200
    assert row.details.browser == "a b"
    assert all(letter.isprintable() for letter in row.device.name)


def test_a_file_that_was_replaced_meanwhile(files, tmp_path):
    """The row is of the bytes that the phone got."""
    was = hashlib.sha256(files[0].path.read_bytes()).hexdigest()[:16]
    files[0].path.write_bytes(b"another model")
    _, row = read_row(body(), files)
    assert (row.sha256, row.size_bytes, row.error) == (was, 108, None)
    assert made_up_site(tmp_path / "other").contents()["models/0.tflite"] == files[0].content
