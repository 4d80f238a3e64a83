"""tflite/benchmark.py as a user runs it: its files, its exit codes, Ctrl-C."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import ROOT
from helpers.made_up_rows import fake_row
from helpers.timed_files import QUICK
from keras_mobattn import benchmark
from keras_mobattn.commands import benchmark_tflite

SCRIPT = ROOT / "tflite" / "benchmark.py"


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
