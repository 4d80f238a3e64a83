"""Timings of real .tflite files: statistics, when to stop, delegates, the GPU, inputs, memory."""

import json
import subprocess
import sys

import numpy as np
import pytest

from helpers.timed_files import QUICK
from keras_mobattn import benchmark, gpu
from keras_mobattn.benchmark import Statistics
from keras_mobattn.benchmark.this_machine import benchmark as timing, worker
from keras_mobattn.benchmark.this_machine.benchmark import WORKER
from keras_mobattn.gpu import driver


def test_statistics_are_those_of_the_formulas():
    assert Statistics.of(range(1, 11)) == Statistics(10, 1.0, 5.5, 9.1, 5.5, 2.872281, 9.55, 10.0)  # sqrt(99 / 12)
    samples = np.random.default_rng(0).gamma(2, size=101)
    of = Statistics.of(samples)
    assert of.p90_ms == pytest.approx(sorted(samples)[90], abs=1e-6)
    assert of.p95_ms == pytest.approx(sorted(samples)[95], abs=1e-6)
    assert of.median_ms == pytest.approx(sorted(samples)[50], abs=1e-6)


STOPS = {  # num_runs, min_secs, max_secs -> runs, when every run takes 1/8 s
    "num_runs alone": ((5, 0, 100), 5),
    "min_secs asks for more": ((5, 1, 100), 8),
    "max_secs ends it": ((100, 0, 0.3), 3),
    "max_secs goes before min_secs": ((1, 50, 0.5), 4),
    "no warm-up": ((0, 0, 100), 0),
}


@pytest.mark.parametrize("name", STOPS)
def test_stop_rule(name):
    limits, runs = STOPS[name]
    now = [0.0]

    def run():
        now[0] += 0.125

    assert worker.timed_runs(run, *limits, clock=lambda: now[0]) == [125.0] * runs


def test_time_limit_holds(files):
    limits = {**QUICK, "num_runs": 10**9, "max_secs": 0.4}
    (row,) = benchmark.benchmark_files([files["plain"]], rounds=2, **limits)
    assert row.error is None
    assert row.rounds == 2
    assert 200 < sum(row.samples_ms) < 600  # less than 400 by what lies between the runs; more by two last runs


def test_a_file_that_is_replaced_while_it_is_timed(files, tmp_path, monkeypatch):
    """Figures of two files in one row would be those of none."""
    path, other, run = tmp_path / "model.tflite", files["mirrored"].read_bytes(), timing._run_worker
    path.write_bytes(files["plain"].read_bytes())
    monkeypatch.setattr(timing, "_run_worker", lambda job: path.write_bytes(other) and run(job))
    told = "The file was replaced or removed while it was timed."
    assert benchmark.benchmark_tflite(path, **QUICK).error == told
    monkeypatch.setattr(timing, "_run_worker", lambda job: (run(job), path.unlink())[0])
    assert benchmark.benchmark_tflite(path, **QUICK).error == told


def test_the_whole_record(files):
    row = benchmark.benchmark_tflite(files["plain"], **QUICK)
    assert row.error is None
    assert (row.name, row.backend, row.num_threads) == ("plain", "xnnpack", 1)
    assert len(row.samples_ms) == 4
    assert row.statistics == Statistics.of(row.samples_ms)
    assert 0 < row.statistics.min_ms <= row.statistics.median_ms <= row.statistics.p95_ms < 1000
    assert row.load_ms > 0
    assert row.first_ms > 0
    assert row.size_bytes == files["plain"].stat().st_size
    assert row.inputs == ("float32[1,16,16,3]",)
    assert len(row.sha256) == 16
    assert row.runtime.startswith("ai-edge-litert ")
    assert row.device.cores >= 1
    assert row.device.name
    assert row.details.python.count(".") == 2
    assert row.date[4] == "-"
    assert row.command


def test_first_is_the_first_of_all_runs(files):
    row = benchmark.benchmark_tflite(files["plain"], **{**QUICK, "warmup_runs": 0})
    assert row.first_ms == row.samples_ms[0]


DELEGATION = {  # file, backend -> operators, partitions, left out. A swish is LOGISTIC and MUL.
    ("plain", "xnnpack"): (7, 1, {}),
    ("mirrored", "xnnpack"): (12, 3, {"MIRROR_PAD": 2}),
    ("mirrored", "builtin"): (12, None, None),
}


@pytest.mark.parametrize(("name", "backend"), DELEGATION)
def test_partitions_and_what_was_left_out(files, name, backend):
    row = benchmark.benchmark_tflite(files[name], backend=backend, **QUICK)
    assert (row.details.operators, row.details.partitions, row.details.undelegated) == DELEGATION[name, backend]
    assert row.backend == backend
    assert row.runtime.startswith("ai-edge-litert ")


@pytest.mark.usefixtures("needs_gpu")
@pytest.mark.parametrize("backend", ["gpu", "gpu-fp16"])
def test_the_gpu_is_timed_until_its_outputs_are_read(files, backend):
    row = benchmark.benchmark_tflite(files["plain"], backend=backend, **QUICK)
    assert row.error is None
    assert (row.backend, row.num_threads, row.details.undelegated) == (benchmark.BACKENDS[backend], None, {})
    assert row.runtime.endswith(f" on {gpu.gpu_adapter()}")
    assert row.inputs == ("float32[1,16,16,3]",)
    assert len(row.samples_ms) == 4
    assert row.statistics.min_ms > 0
    assert row.first_ms > 0


def test_the_gpu_without_a_driver_is_a_row(files, monkeypatch):
    monkeypatch.setattr(driver, "FOLDERS", ())
    monkeypatch.setenv("VK_DRIVER_FILES", "/nowhere.json")
    row = benchmark.benchmark_tflite(files["plain"], backend="gpu", **QUICK)
    assert "python -m keras_mobattn.gpu" in row.error
    assert row.statistics is None


@pytest.mark.usefixtures("needs_gpu")
def test_what_the_gpu_refuses_is_a_row_and_threads_are_the_cpus(files):
    paths, backends = (files["normalized"], files["plain"]), ("gpu", "xnnpack")
    rows = benchmark.benchmark_files(paths, num_threads=(1, 2), backends=backends, rounds=1, **QUICK)
    configurations = [(None, "gpu fp32"), (1, "xnnpack"), (2, "xnnpack")]
    assert [(row.num_threads, row.backend) for row in rows] == configurations * 2
    assert "L2_NORMALIZATION: Operation is not supported" in rows[0].error
    assert [row.error for row in rows[1:]] == [None] * 5


def test_inputs_of_bytes(files):
    row = benchmark.benchmark_tflite(files["bytes"], **QUICK)
    assert row.error is None
    assert row.inputs == ("uint8[1,16,16,3]",)


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "int8", "int32", "int64", "bool", "complex64"])
def test_inputs_are_random_and_seeded(dtype):
    details = {7: {"shape": np.array([2, 50]), "dtype": np.dtype(dtype).type}}
    first, same, other = (worker.random_inputs(details, np.random.default_rng(seed))[7] for seed in (1, 1, 2))
    assert first.dtype == dtype
    assert first.shape == (2, 50)
    assert len(np.unique(first)) >= 2
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


def test_peak_memory_is_the_files_own(files):
    assert "tensorflow" in sys.modules  # this process is large: some hundreds of MB must not show up, nor hide the rest
    rows = (benchmark.benchmark_tflite(files[name], **QUICK) for name in ("plain", "heavy"))
    small, heavy = (row.details.peak_memory_bytes for row in rows)
    weights = files["heavy"].stat().st_size
    assert 0 < small < 25e6
    assert weights < heavy < 3 * weights + 25e6


def test_the_process_that_times_loads_nothing_heavy(files):
    job = json.dumps({"path": str(files["plain"]), "num_threads": 1, "backend": "xnnpack", "seed": 0, **QUICK})
    code = f"""import runpy, sys
sys.argv = ["worker", {job!r}]
runpy.run_module({WORKER!r}, run_name="__main__")
assert "ai_edge_litert" in sys.modules
heavy = ("tensorflow", "tf_keras", "coremltools", "matplotlib", "rich", "wrapt", "keras_mobattn.errors")
print([name for name in heavy if name in sys.modules])"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "['keras_mobattn.errors']"  # which comes with the package itself


def test_files_beside_the_process_hide_no_package(files, tmp_path, monkeypatch):
    for name in ("numpy.py", "ai_edge_litert.py", "json.py"):
        (tmp_path / name).write_text("raise ImportError('the wrong one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)  # the process finds this package all the same
    assert benchmark.benchmark_tflite(files["plain"], **QUICK).error is None
