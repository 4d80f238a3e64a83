"""Benchmarks of real .tflite files, of files that are none, and of workers that die."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from made_up_rows import fake_row

from keras_mobattn import benchmark, gpu
from keras_mobattn.benchmark import Statistics
from keras_mobattn.benchmark.this_machine import benchmark as tflite
from keras_mobattn.benchmark.this_machine import worker
from keras_mobattn.commands import benchmark_tflite
from keras_mobattn.errors import InputError

SCRIPT = Path(__file__).parents[1] / "tflite" / "benchmark.py"
QUICK = {"warmup_runs": 1, "num_runs": 4, "min_secs": 0.0, "max_secs": 20.0}


def _convert(layers, path, int8=False):
    """A network on [1, 16, 16, 3] as .tflite."""
    model = keras.Sequential([keras.Input((16, 16, 3)), *layers])
    function = tf.function(lambda image: model(image, training=False))
    concrete = function.get_concrete_function(tf.TensorSpec((1, 16, 16, 3), tf.float32, name="image"))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], model)
    if int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: iter([[np.random.rand(1, 16, 16, 3).astype("float32")]] * 3)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
    path.write_bytes(converter.convert())
    return path


def _conv():
    return keras.layers.Conv2D(4, 3, activation="swish")


def _mirror():
    return keras.layers.Lambda(lambda image: tf.pad(image, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="REFLECT"))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tflite")
    pool = keras.layers.GlobalAveragePooling2D
    return {
        "plain": _convert([_conv(), _conv(), pool()], folder / "plain.tflite"),
        "mirrored": _convert([_conv(), _mirror(), _conv(), _mirror(), _conv(), pool()], folder / "mirrored.tflite"),
        "bytes": _convert([_conv(), pool()], folder / "bytes.tflite", int8=True),
        "normalized": _convert([_conv(), keras.layers.UnitNormalization()], folder / "normalized.tflite"),
        "heavy": _convert([keras.layers.Flatten(), keras.layers.Dense(13_000)], folder / "heavy.tflite"),  # 40 MB
    }


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
    assert row.python.count(".") == 2
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
    assert (row.operators, row.partitions, row.undelegated) == DELEGATION[name, backend]
    assert row.backend == backend
    assert row.runtime.startswith("ai-edge-litert ")


@pytest.mark.usefixtures("needs_gpu")
@pytest.mark.parametrize("backend", ["gpu", "gpu-fp16"])
def test_the_gpu_is_timed_until_its_outputs_are_read(files, backend):
    row = benchmark.benchmark_tflite(files["plain"], backend=backend, **QUICK)
    assert row.error is None
    assert (row.backend, row.num_threads, row.undelegated) == (benchmark.BACKENDS[backend], None, {})
    assert row.runtime.endswith(f" on {gpu.gpu_adapter()}")
    assert row.inputs == ("float32[1,16,16,3]",)
    assert len(row.samples_ms) == 4
    assert row.statistics.min_ms > 0
    assert row.first_ms > 0


def test_the_gpu_without_a_driver_is_a_row(files, monkeypatch):
    monkeypatch.setattr(gpu.driver, "FOLDERS", ())
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
    small, heavy = (benchmark.benchmark_tflite(files[name], **QUICK).peak_memory_bytes for name in ("plain", "heavy"))
    weights = files["heavy"].stat().st_size
    assert 0 < small < 25e6
    assert weights < heavy < 3 * weights + 25e6


def test_the_process_that_times_loads_nothing_heavy(files):
    job = json.dumps({"path": str(files["plain"]), "num_threads": 1, "backend": "xnnpack", "seed": 0, **QUICK})
    code = f"""import runpy, sys
sys.argv = ["worker", {job!r}]
runpy.run_module({tflite.WORKER!r}, run_name="__main__")
assert "ai_edge_litert" in sys.modules
heavy = ("tensorflow", "tf_keras", "coremltools", "matplotlib", "rich", "wrapt", "keras_mobattn.errors")
print([name for name in heavy if name in sys.modules])"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "['keras_mobattn.errors']"  # which comes with the package itself


def test_the_processes_find_this_package_and_no_files_beside_them(files, tmp_path, monkeypatch):
    """Wherever they are started: names of the current folder hide no package's."""
    for name in ("numpy.py", "ai_edge_litert.py", "json.py"):
        (tmp_path / name).write_text("raise ImportError('the wrong one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert benchmark.benchmark_tflite(files["plain"], **QUICK).error is None


def test_configurations_in_order_with_pooled_samples(files):
    limits = {**QUICK, "num_runs": 7}
    paths = files["plain"], files["mirrored"]
    rows = benchmark.benchmark_files(paths, num_threads=(1, 2), backends=("xnnpack", "builtin"), rounds=2, **limits)
    expected = [(path.stem, threads, use) for path in paths for threads in (1, 2) for use in ("xnnpack", "builtin")]
    assert [(row.name, row.num_threads, row.backend) for row in rows] == expected
    for row in rows:
        assert (row.statistics.count, row.rounds, row.num_runs) == (8, 2, 7)  # 2 rounds of ceil(7 / 2)
        assert row.statistics == Statistics.of(row.samples_ms)


def _stand_in(monkeypatch, measure):
    """Replace the timing; return the list in which the names of its calls appear."""
    calls = []

    def stand_in(path, name, num_threads, backend, protocol):
        calls.append(name)
        return measure(name, len(calls))

    monkeypatch.setattr(tflite, "_measure", stand_in)
    return calls


def test_rounds_are_interleaved_and_pooled(monkeypatch):
    calls = _stand_in(monkeypatch, lambda name, count: fake_row(name, (float(count**2), 10.0 * count**2)))
    a, b = benchmark.benchmark_files(["x/a.tflite", "b.tflite"], rounds=3)
    assert calls == ["a", "b"] * 3
    assert a.samples_ms == (1, 10, 9, 90, 25, 250)
    assert b.samples_ms == (4, 40, 16, 160, 36, 360)
    assert (a.load_ms, a.first_ms, a.peak_memory_bytes) == (9, 90, 25)  # median, median, most


def test_a_failed_configuration_is_not_tried_again(monkeypatch):
    calls = _stand_in(
        monkeypatch, lambda name, count: fake_row(name, error="no") if name == "a" else fake_row(name, (1.0,))
    )
    a, b = benchmark.benchmark_files(["a.tflite", "b.tflite"], rounds=3)
    assert calls == ["a", "b", "b", "b"]
    assert a.error == "no"
    assert b.statistics.count == 3


def test_ctrl_c_keeps_the_rows_so_far(monkeypatch):
    def measure(name, count):
        if count == 5:
            raise KeyboardInterrupt
        return fake_row(name, (float(count),))

    _stand_in(monkeypatch, measure)
    with pytest.raises(benchmark.BenchmarkInterrupted) as stop:
        benchmark.benchmark_files(["a.tflite", "b.tflite", "c.tflite"], rounds=3)
    assert [(row.name, row.samples_ms, row.rounds) for row in stop.value.measurements] == [
        ("a", (1, 4), 2),
        ("b", (2,), 1),
        ("c", (3,), 1),
    ]


def test_files_of_one_stem_are_told_apart(monkeypatch):
    _stand_in(monkeypatch, lambda name, count: fake_row(name, (1.0,)))
    rows = benchmark.benchmark_files(["a/m.tflite", "b/m.tflite"], rounds=1)
    assert [row.name for row in rows] == [str(Path("a/m.tflite")), str(Path("b/m.tflite"))]


BROKEN = {  # file's content (None: no such file) -> part of the reason
    "missing": (None, "No such file or directory"),
    "empty": (b"", "Not a TFLite file"),
    "text": (b"Dear reader, this is no model.", "Not a TFLite file"),
    "identifier only": (b"\x1c\0\0\0TFL3" + b"\xff" * 4000, "not a valid Flatbuffer"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_a_row_and_the_others_are_kept(files, tmp_path, name):
    content, reason = BROKEN[name]
    broken = tmp_path / "broken.tflite"
    if content is not None:
        broken.write_bytes(content)
    bad, good = benchmark.benchmark_files([broken, files["plain"]], rounds=1, **QUICK)
    assert reason in bad.error
    assert bad.statistics is None
    assert bad.name == "broken"
    assert good.error is None
    assert good.statistics.count == 4


def test_a_truncated_file_and_a_folder_are_rows(files, tmp_path):
    truncated = tmp_path / "truncated.tflite"
    truncated.write_bytes(files["plain"].read_bytes()[:2000])
    assert benchmark.benchmark_tflite(truncated, **QUICK).error
    assert "Is a directory" in benchmark.benchmark_tflite(tmp_path, **QUICK).error


DEATHS = {  # what the worker does -> part of the reason
    "crash": ("os.kill(os.getpid(), signal.SIGSEGV)", "crashed (signal SIGSEGV)"),
    "out of memory": ("os.kill(os.getpid(), signal.SIGKILL)", "memory"),
    "abort": ("sys.stderr.write('loading\\nbad op 17\\n'); sys.stderr.flush(); os.abort()", "last words: bad op 17"),
    "exit": ("sys.exit(3)", "exit code 3"),
    "hang": ("time.sleep(60)", "hung"),
}


@pytest.mark.parametrize("name", DEATHS)
def test_a_dying_worker_is_a_row(files, tmp_path, monkeypatch, name):
    code, reason = DEATHS[name]
    (tmp_path / "stand_in.py").write_text(f"import os, signal, sys, time\n{code}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(tflite, "WORKER", "stand_in")
    monkeypatch.setattr(tflite, "LOAD_SECS", 0.5 if name == "hang" else 30)
    row = benchmark.benchmark_tflite(files["plain"], **{**QUICK, "max_secs": 0.25})
    assert reason in row.error
    assert row.statistics is None
    assert row.samples_ms == ()
    assert row.size_bytes == files["plain"].stat().st_size  # what was known is kept


BAD_ARGUMENTS = {
    "num_threads": 0,
    "backend": "tpu",
    "warmup_runs": -1,
    "num_runs": 0,
    "min_secs": -1.0,
    "max_secs": 0.0,
}


@pytest.mark.parametrize("name", BAD_ARGUMENTS)
def test_bad_arguments(files, name):
    with pytest.raises(InputError, match=rf"{name}.*Received: '?{BAD_ARGUMENTS[name]}'?\."):
        benchmark.benchmark_tflite(files["plain"], **{name: BAD_ARGUMENTS[name]})


def test_bad_sets_of_configurations():
    with pytest.raises(InputError, match="at least one .tflite file"):
        benchmark.benchmark_files([])
    with pytest.raises(InputError, match="rounds to be a whole number from 1 up. Received: 0"):
        benchmark.benchmark_files(["a.tflite"], rounds=0)


def test_script_writes_both_files_and_tells_failures(files, tmp_path, capfd):
    main = benchmark_tflite.main
    assert main((files["plain"],), rounds=1, output_dir=tmp_path, **QUICK) == 0
    assert (
        main(
            (files["plain"], Path("gone.tflite")),
            backend=("xnnpack", "builtin"),
            rounds=1,
            output_dir=tmp_path,
            **QUICK,
        )
        == 1
    )
    rows = benchmark.load_measurements(tmp_path / "benchmark.json")
    assert [(row.name, row.backend) for row in rows] == [
        (name, backend) for name in ("plain", "gone") for backend in ("xnnpack", "builtin")
    ]
    assert len((tmp_path / "benchmark.csv").read_text().splitlines()) == 5
    assert "gone failed: No such file or directory: gone.tflite." in capfd.readouterr().out


def test_script_interrupted_writes_what_it_has(monkeypatch, tmp_path):
    main = benchmark_tflite.main
    kept = tmp_path / "benchmark.json"
    for rows in ([], [fake_row("a", (1.0,))]):

        def stop(*args, rows=rows, **kwargs):
            raise benchmark.BenchmarkInterrupted(rows)

        monkeypatch.setattr(benchmark, "benchmark_files", stop)
        kept.write_text("[]")
        with pytest.raises(KeyboardInterrupt):
            main((Path("a.tflite"),), output_dir=tmp_path)
        assert benchmark.load_measurements(kept) == rows


def test_script_without_files_is_one_sentence(tmp_path):
    command = [sys.executable, str(SCRIPT), "--output-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Expected .tflite files, or the folder of a run. Received: none." in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_script_survives_ctrl_c_for_real(files, tmp_path):
    command = [sys.executable, str(SCRIPT), str(files["plain"]), str(files["mirrored"])]
    command += ["--min-secs", "60", "--max-secs", "60", "--rounds", "40", "--output-dir", str(tmp_path)]
    listening = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731 (a parent in the background ignores it)
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=listening
    )
    try:
        process.wait(timeout=13)  # TensorFlow's import, then rounds of 1.5 s each
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "Interrupted" in err
    rows = benchmark.load_measurements(tmp_path / "benchmark.json")
    assert rows[0].name == "plain"
    assert rows[0].statistics.count > 0
    assert "plain" in out
