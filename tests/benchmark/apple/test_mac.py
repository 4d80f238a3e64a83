"""Benchmarks of Core ML packages with coremltools' own MLModelBenchmarker; a stand-in takes Core ML's place behind it.

tests/helpers/apple.py says what stands in; the phone has test_iphone.py.
"""

import asyncio
import io
import platform
import shutil
import signal
import time
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import rich.console

from helpers.apple import QUICK
from keras_mobattn import benchmark, cli, report
from keras_mobattn._quiet import import_coremltools
from keras_mobattn.benchmark.apple import benchmark as coreml
from keras_mobattn.benchmark.measurement import Device, Statistics
from keras_mobattn.benchmark.this_machine import host
from keras_mobattn.commands import benchmark_coreml, benchmark_report
from keras_mobattn.errors import InputError
from keras_mobattn.formats.identity import identify_mlpackage

ct = import_coremltools()
from coremltools.models.ml_program.experimental import perf_utils, remote_device  # noqa: E402 (quietly)

on_linux = pytest.mark.skipif(platform.system() == "Darwin", reason="what is told where Core ML doesn't run")


def _bench(paths, **options):
    return benchmark.benchmark_coreml(paths, **{**QUICK, **options})


def test_the_whole_record(package, mac):
    (row,) = _bench([package("good")], rounds=1, seed=3)
    assert row.error is None
    assert (row.name, row.backend, row.num_threads) == ("good", "coreml all", None)
    assert (row.load_ms, row.details.load_samples_ms) == (100.0, (100.0,))
    assert row.first_ms == 1.0  # the very first, of the warm-up
    assert row.samples_ms == (3.0, 4.0, 5.0, 6.0)
    assert row.statistics == Statistics.of((3, 4, 5, 6))
    assert row.inputs == ("float32[1,3,8,8]",)
    assert row.runtime == f"Core ML via coremltools {ct.__version__}"
    assert row.device == Device("Apple M2 (Mac14,2)", f"macOS 15.1 {platform.machine()}", host.describe_host().cores)
    assert row.size_bytes == sum(file.stat().st_size for file in package("good").rglob("*") if file.is_file())
    assert len(row.sha256) == 16
    assert (row.warmup_runs, row.num_runs, row.max_secs, row.seed, row.rounds) == (2, 4, 20.0, 3, 1)
    assert row.date[4] == "-"
    assert mac == [("load", "y", "ALL"), *[("predict", "y", "ALL")] * 6, ("unload", "y", "ALL")]


def test_without_warm_up_the_first_is_the_first_sample(package, mac):
    (row,) = _bench([package("good")], rounds=1, warmup_runs=0)
    assert (row.first_ms, row.samples_ms) == (1.0, (1.0, 2.0, 3.0, 4.0))


def test_every_choice_of_units_is_coremltools_own(package, mac):
    rows = _bench([package("good")], rounds=1, units=tuple(benchmark.COREML_UNITS))
    assert [row.backend for row in rows] == ["coreml all", "coreml cpu", "coreml cpu-gpu", "coreml cpu-ane"]
    units = [unit for what, _, unit in mac if what == "load"]
    assert units == ["ALL", "CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE"]
    assert set(units) == {unit.name for unit in ct.ComputeUnit}


def test_rounds_are_interleaved_and_pooled(package, mac):
    paths = package("good"), package("rank_5")
    first, second = _bench(paths, rounds=3, num_runs=4, load_runs=2)
    assert (first.rounds, first.num_runs, first.statistics.count) == (3, 4, 6)  # 3 rounds of ceil(4 / 3)
    assert first.samples_ms == (3.0, 4.0) * 3
    # Two loads each turn about: 1, 2 and 5, 6 and 9, 10 are the first one's.
    assert first.details.load_samples_ms == (100.0, 200.0, 500.0, 600.0, 900.0, 1000.0)
    assert (first.load_ms, second.load_ms) == (550.0, 750.0)
    assert mac.count_of("load") == mac.count_of("unload") == 12


STOPS = {  # num_runs, min_secs, max_secs -> predictions, when every one takes 1/8 s
    "num_runs alone": ((5, 0, 100), 5),
    "min_secs asks for more": ((5, 1, 100), 8),
    "max_secs ends it": ((100, 0, 0.3), 3),
    "no warm-up": ((0, 0, 100), 0),
}


@pytest.mark.parametrize("name", STOPS)
def test_stop_rule(name):
    limits, runs = STOPS[name]
    now, real = [0.0], perf_utils.MLModelBenchmarker

    async def predict(inputs=None, iterations=1, warmup=False):
        now[0] += 0.125
        return real.Measurement.from_samples([7.0] * iterations)

    stand_in = mock.create_autospec(real, instance=True)
    stand_in.benchmark_predict.side_effect = predict
    found = asyncio.run(coreml.timed_predictions(stand_in, {"x": 1}, *limits, clock=lambda: now[0]))
    assert found == [7.0] * runs


def test_cool_down_is_before_every_measurement_but_the_first(package, mac, monkeypatch):
    slept, real = [], time.sleep

    def sleep(seconds):
        slept.append(seconds)
        real(seconds)

    monkeypatch.setattr(time, "sleep", sleep)
    _bench([package("good")], rounds=3, cool_down=0.05)
    assert 0.08 < sum(slept) <= 0.11


def test_inputs_are_random_seeded_and_accepted_by_coremltools(package):
    for name in ("good", "classifier", "enumerated"):
        model = ct.models.MLModel(str(package(name)), skip_model_load=True)
        first, same, other = (
            coreml.random_features(model.get_spec().description.input, seed)["x"] for seed in (1, 1, 2)
        )
        model._verify_input_dict({"x": first})  # raises where names or Pillow's modes don't fit
        assert np.array_equal(first, same)
        assert not np.array_equal(first, other)
        shape = (8, 8, 3) if name == "classifier" else (1, 3, 8, 8)
        assert np.shape(first) == shape


COLOURS = {"RGB": "RGB", "BGR": "RGB", "GRAYSCALE": "L", "GRAYSCALE_FLOAT16": "F"}
DTYPES = {"FLOAT32": np.float32, "FLOAT16": np.float16, "DOUBLE": np.float64, "INT32": np.int32}


def test_inputs_of_every_kind():
    proto = ct.proto
    description = proto.Model_pb2.ModelDescription()
    for colour in COLOURS:
        image = description.input.add(name=colour).type.imageType
        image.width, image.height = 5, 4
        image.colorSpace = proto.FeatureTypes_pb2.ImageFeatureType.ColorSpace.Value(colour)
    for dtype in DTYPES:
        array = description.input.add(name=dtype).type.multiArrayType
        array.shape.extend([2, 3])
        array.dataType = proto.FeatureTypes_pb2.ArrayFeatureType.ArrayDataType.Value(dtype)
    made = coreml.random_features(description.input, 0)
    assert {name: (made[name].mode, made[name].size) for name in COLOURS} == {
        name: (mode, (5, 4)) for name, mode in COLOURS.items()
    }
    assert {name: (made[name].dtype, made[name].shape) for name in DTYPES} == {
        name: (np.dtype(dtype), (2, 3)) for name, dtype in DTYPES.items()
    }
    description.input.add(name="text").type.stringType.SetInParent()
    with pytest.raises(InputError, match=r"Expected inputs that can be made up.* Received: 'text' \(string\)"):
        coreml.random_features(description.input, 0)


def test_the_hash_is_of_all_files_and_their_names(package, tmp_path):
    path = shutil.copytree(package("good"), tmp_path / "a.mlpackage")
    size, sha256, wrong = identify_mlpackage(path)
    assert wrong is None
    copy = shutil.copytree(path, tmp_path / "b.mlpackage")
    assert identify_mlpackage(copy)[1].digest() == sha256.digest()
    (copy / "note").write_bytes(b"1")
    assert identify_mlpackage(copy)[0] == size + 1
    with_note = identify_mlpackage(copy)[1].digest()
    (copy / "note").rename(copy / "other")
    assert len({sha256.digest(), with_note, identify_mlpackage(copy)[1].digest()}) == 3


def test_a_bad_package_is_a_row_and_the_others_are_kept(package, mac, tmp_path):
    (tmp_path / "file.mlpackage").write_text("no folder")
    (tmp_path / "empty.mlpackage").mkdir()
    paths = [tmp_path / "gone.mlpackage", tmp_path / "file.mlpackage", tmp_path / "empty.mlpackage", package("good")]
    *bad, good = _bench(paths, rounds=2)
    for row, why in zip(bad, ("there is nothing", "it is a file", "no Manifest.json"), strict=True):
        assert why in row.error
        assert (row.statistics, row.samples_ms) == (None, ())
    assert (good.error, good.statistics.count) == (None, 4)


def _fails_at(what, number, error):
    """A hook that raises the `number`th time of `what`."""
    seen = []

    def hook(now, model):
        seen.append(now)
        if now == what and seen.count(what) == number:
            raise error

    return hook


def test_what_core_ml_says_is_the_reason(package, mac):
    def refuse(what, model):
        if what == "load" and len(mac) == 1:
            warnings.warn("Underlying exception message was: Error compiling\nmodel.", RuntimeWarning, stacklevel=2)
            raise ValueError("Failed to load model")

    mac.hook = refuse
    bad, good = _bench([package("good")], units=("cpu", "all"), rounds=2)
    assert bad.error == "Failed to load model. Underlying exception message was: Error compiling model."
    assert good.statistics.count == 4
    assert [entry[0] for entry in mac].count("load") == 3  # what failed is not tried again
    mac.hook = _fails_at("predict", 4, RuntimeError("Unable to compute\nthe prediction"))
    (row,) = _bench([package("good")], rounds=1)
    assert row.error == "Unable to compute the prediction."


@pytest.mark.parametrize("how", ["raised", "signal"])
def test_ctrl_c_keeps_the_rows_so_far(package, mac, monkeypatch, how):
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background

    def hook(what, model):
        if mac.count_of("load") == 4 and mac[-2][0] == "load":  # once: asyncio lets a second one through at once
            if how == "raised":
                raise KeyboardInterrupt
            signal.raise_signal(signal.SIGINT)

    mac.hook = hook
    try:
        with pytest.raises(benchmark.BenchmarkInterrupted) as stop:
            _bench([package("good")], units=("cpu", "cpu-gpu", "all"), rounds=3)
    finally:
        signal.signal(signal.SIGINT, handler)
    rows = stop.value.measurements
    assert [(row.backend, row.rounds, row.statistics.count) for row in rows] == [
        ("coreml cpu", 1, 2), ("coreml cpu-gpu", 1, 2), ("coreml all", 1, 2),
    ]  # fmt: skip


BAD_ARGUMENTS = {
    "units": (("gpu",), "Expected compute units to be one of 'all', 'cpu', 'cpu-gpu', 'cpu-ane'. Received: 'gpu'"),
    "device": ("ipad", "Expected device to be one of 'mac', 'iphone'. Received: 'ipad'"),
    "rounds": (0, "Expected rounds to be a whole number from 1 up. Received: 0"),
    "load_runs": (0, "Expected load_runs to be a whole number from 1 up. Received: 0"),
    "cool_down": (-1, "Expected cool_down to be a number from 0 up. Received: -1"),
    "num_runs": (0, "Expected num_runs to be a whole number from 1 up. Received: 0"),
    "max_secs": (0, "Expected max_secs to be a number above 0"),
}


@pytest.mark.parametrize("name", BAD_ARGUMENTS)
def test_bad_arguments(mac, name):
    value, message = BAD_ARGUMENTS[name]
    with pytest.raises(InputError, match=message):
        _bench(["a.mlpackage"], **{name: value})


def test_nothing_to_time(mac):
    for paths, units in (((), ("all",)), (("a.mlpackage",), ())):
        with pytest.raises(InputError, match="at least one .mlpackage and one choice of compute units"):
            _bench(paths, units=units)


@on_linux
def test_off_macos_it_is_one_sentence(package):
    for device, what in (("mac", "Core ML"), ("iphone", "timing on an iPhone")):
        with pytest.raises(InputError, match=f"Expected macOS, which {what} needs. Received: Linux. Copy the packages"):
            _bench([package("good")], device=device)


@on_linux
def test_what_coremltools_itself_says_here(package, monkeypatch):
    """With nothing in its place: the errors that our sentences come before, and rows that have them."""
    monkeypatch.setattr(coreml, "expect_mac", lambda what: None)
    (row,) = _bench([package("good")], rounds=1)
    assert row.error == "Failed to load model."
    with pytest.raises(ValueError, match="The 'devicectl' command is required"):
        remote_device.Device.get_connected_devices(remote_device.DeviceType.IPHONE)
    model = ct.models.MLModel(str(package("good")), skip_model_load=True)
    assert perf_utils.MLModelBenchmarker(model, device=None)._loaded_model is None  # private, and unloaded by us


def test_the_table_has_no_columns_that_core_ml_leaves_empty(package, mac):
    out = io.StringIO()
    rows = _bench([package("good"), package("rank_5")], rounds=1, units=("cpu", "cpu-ane"))
    benchmark.print_table(rows, rich.console.Console(file=out, width=80, force_terminal=True, color_system=None))
    header = out.getvalue().splitlines()[0]
    assert header.split() == ["model", "backend", "median", "ms", "ratio", "p95", "min", "first", "load", "file", "MB"]


def test_json_csv_and_table_beside_other_rows(package, mac, tmp_path):
    rows = _bench([package("good"), tmp_path / "gone.mlpackage"], rounds=1)
    tflite = benchmark.Measurement(
        "good", "good.tflite", Device("Pixel", "Android 14"), "benchmark_model", "xnnpack", num_threads=2,
        statistics=Statistics.of([9.0]), samples_ms=(9.0,), load_ms=3.0, first_ms=10.0,
    )  # fmt: skip
    benchmark.save_json(tmp_path / "rows.json", [*rows, tflite])
    assert benchmark.load_measurements(tmp_path / "rows.json") == [*rows, tflite]
    benchmark.save_csv(tmp_path / "rows.csv", [*rows, tflite])
    assert "coreml all" in (tmp_path / "rows.csv").read_text()
    header, cells = benchmark.header_and_rows([*rows, tflite])
    table = [dict(zip(header, row, strict=True)) for row in cells]
    assert [row["median ms"] for row in table] == ["4.50", "failed", "9.00"]
    assert [row["ratio"] for row in table] == ["1.00", "", "2.00"]
    assert [row["device"] for row in table] == ["Apple M2 (Mac14,2)", "Apple M2 (Mac14,2)", "Pixel"]
    assert [row["threads"] for row in table] == ["", "", "2"]


def test_one_report_of_core_ml_and_tflite(package, mac, tmp_path, monkeypatch, capsys):
    tflite = benchmark.Measurement(
        "good", "good.tflite", Device("Pixel", "Android 14"), "benchmark_model", "xnnpack", num_threads=1,
        statistics=Statistics.of([9.0]), samples_ms=(9.0,), load_ms=3.0, first_ms=10.0,
    )  # fmt: skip
    benchmark.save_json(tmp_path / "tflite.json", [tflite])
    benchmark.save_json(tmp_path / "coreml.json", _bench([package("good")], rounds=1))
    pages = {}
    monkeypatch.setattr(report, "write_report", lambda path, page: pages.update({path.name: page}))
    main = benchmark_report.main
    main((tmp_path / "tflite.json", tmp_path / "coreml.json"), output=tmp_path / "both.html")
    main((tmp_path / "tflite.json",), output=tmp_path / "tflite.html")
    main((tmp_path / "coreml.json",), output=tmp_path / "coreml.html")
    assert {name: page.title for name, page in pages.items()} == {
        "both.html": "Latency of exported files",
        "tflite.html": "Latency of .tflite files",
        "coreml.html": "Latency of .mlpackage files",
    }
    table = pages["both.html"].sections[0].table
    assert [row[:2] for row in table.rows] == [("good", "xnnpack"), ("good", "coreml all")]
    assert "Core ML via coremltools" in table.caption
    assert ("devices", "Pixel, Apple M2 (Mac14,2)") in pages["both.html"].summary


def test_script_writes_both_files_and_tells_failures(package, mac, tmp_path, capfd):
    main = benchmark_coreml.main
    assert main((package("good"),), rounds=1, output_dir=tmp_path, **QUICK) == 0
    assert main((package("good"), Path("gone.mlpackage")), rounds=1, output_dir=tmp_path, **QUICK) == 1
    rows = benchmark.load_measurements(tmp_path / "benchmark.json")
    assert [(row.name, bool(row.error)) for row in rows] == [("good", False), ("gone", True)]
    assert len((tmp_path / "benchmark.csv").read_text().splitlines()) == 3
    assert "gone failed: Expected an .mlpackage" in capfd.readouterr().out


def test_script_interrupted_writes_what_it_has(package, mac, tmp_path):
    mac.hook = _fails_at("load", 2, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        benchmark_coreml.main((package("good"),), units=("all", "cpu"), output_dir=tmp_path, **QUICK)
    (row,) = benchmark.load_measurements(tmp_path / "benchmark.json")
    assert (row.backend, row.statistics.count) == ("coreml all", 2)


@on_linux
def test_script_off_macos_is_one_sentence_and_exit_code_2(package, call_script, tmp_path, capsys):
    for device in benchmark.COREML_DEVICES:
        flags = ("--device", device, "--output-dir", tmp_path)
        assert call_script("coreml/benchmark.py", package("good"), *flags) == cli.BAD_INPUT
        error = capsys.readouterr().err
        assert error.startswith("Error: Expected macOS")
        assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
