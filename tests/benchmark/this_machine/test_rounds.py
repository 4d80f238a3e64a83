"""Several files and rounds: their order, what is pooled, and that a file or a worker that fails costs no other."""

from pathlib import Path

import pytest

from helpers.made_up_rows import fake_row
from helpers.timed_files import QUICK
from keras_mobattn import benchmark
from keras_mobattn.benchmark import Statistics
from keras_mobattn.benchmark.this_machine import benchmark as tflite
from keras_mobattn.errors import InputError


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

    def stand_in(row):
        calls.append(row.name)
        return measure(row.name, len(calls))

    monkeypatch.setattr(tflite, "_timed", stand_in)
    monkeypatch.setattr(tflite, "_begin", lambda path, name, *_: fake_row(name, num_runs=1, min_secs=0, max_secs=1))
    return calls


def test_rounds_are_interleaved_and_pooled(monkeypatch):
    calls = _stand_in(monkeypatch, lambda name, count: fake_row(name, (float(count**2), 10.0 * count**2)))
    a, b = benchmark.benchmark_files(["x/a.tflite", "b.tflite"], rounds=3)
    assert calls == ["a", "b"] * 3
    assert a.samples_ms == (1, 10, 9, 90, 25, 250)
    assert b.samples_ms == (4, 40, 16, 160, 36, 360)
    assert (a.load_ms, a.first_ms, a.details.peak_memory_bytes) == (9, 90, 25)  # median, median, most


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
