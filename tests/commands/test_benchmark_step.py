"""training/benchmark_step.py: turns, ratios, failures and interruptions with stand-in steps; one run of real ones."""

import csv
import json
import sys

import pytest

from helpers import ROOT
from keras_mobattn.commands import benchmark_step

SCRIPTS = ROOT / "training"
# A step that sleeps for a ms per image, ours for two; image_size 33 fails at once, 34 at its second turn.
STAND_IN = f"""
import sys, time
sys.path.insert(0, {str(SCRIPTS / "step")!r})
from serve import serve
def make_step(batch_size, image_size, **job):
    if image_size == 33:
        raise ValueError("no such size")
    calls = []
    def step():
        calls.append(0)
        if image_size == 34 and len(calls) > 3:
            sys.exit("MemoryError: too large")
        time.sleep(batch_size / 1000 * (2 if "width" in job else 1))  # ours have one
    return step, "stand-in", lambda: 123456789
serve(make_step)
"""


@pytest.fixture(name="script")
def script_fixture(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield benchmark_step
    for name in ("peers", "peers.build"):
        sys.modules.pop(name, None)


@pytest.fixture(name="stand_in")
def stand_in_fixture(script, monkeypatch, tmp_path):
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    monkeypatch.setattr(script, "command_of", lambda row, environments: [sys.executable, tmp_path / "stand_in.py"])
    return script


def test_rows_take_turns_and_are_compared_within_a_round(stand_in, tmp_path, capsys):
    options = {"peers": ("timm",), "batch_sizes": (10, 20), "attentions": ("separable",), "num_threads": 1}
    code = stand_in.main(rounds=3, num_steps=2, output_dir=tmp_path, **options)
    assert code == 0
    record = json.loads((tmp_path / "benchmark.json").read_text())
    rows = record["rows"]
    assert [(row["package"], row["batch_size"]) for row in rows] == [
        ("timm", 10),
        ("ours", 10),
        ("timm", 20),
        ("ours", 20),
    ]
    assert all([len(samples) for samples in row["rounds_ms"]] == [2, 2, 2] for row in rows)
    assert all(row["statistics"]["median_ms"] >= row["batch_size"] for row in rows)
    assert record["host"]["cores"] >= 1
    with open(tmp_path / "benchmark.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [float(line["ratio"]) for line in lines] == pytest.approx([1, 2, 1, 2], rel=0.3)  # ours sleep twice as long
    assert float(lines[0]["images_per_second"]) == pytest.approx(1e4 / float(lines[0]["median_ms"]), rel=1e-3)
    printed = capsys.readouterr().out
    assert "mobilevitv2_100, 128 x 128 pixels, batch 20" in printed
    assert "stand-in" in printed
    assert " 123" in printed  # MB
    assert all(len(line.rstrip()) <= 80 for line in printed.splitlines() if "float32" in line)


@pytest.mark.parametrize(("size", "reason"), [(33, "ValueError: no such size"), (34, "MemoryError: too large")])
def test_a_row_that_fails_gives_its_reason(stand_in, tmp_path, capsys, size, reason):
    code = stand_in.main(rounds=3, num_steps=2, image_sizes=(size, 128), output_dir=tmp_path, batch_sizes=(2,))
    assert code == 1
    rows = json.loads((tmp_path / "benchmark.json").read_text())["rows"]
    assert [row["error"] for row in rows] == [reason, reason, None, None]
    assert [len(row["rounds_ms"]) for row in rows] == ([0, 0, 3, 3] if size == 33 else [1, 1, 3, 3])
    assert f"ours, separable: {reason}" in capsys.readouterr().out


def test_an_interruption_keeps_what_was_measured(stand_in, tmp_path, monkeypatch):
    turns = []

    def time(self, num_steps, original=stand_in.Worker.time):
        turns.append(self)
        if len(turns) == 4:
            raise KeyboardInterrupt
        original(self, num_steps)

    monkeypatch.setattr(stand_in.Worker, "time", time)
    with pytest.raises(KeyboardInterrupt):
        stand_in.main(rounds=3, num_steps=1, output_dir=tmp_path, batch_sizes=(2,))
    rows = json.loads((tmp_path / "benchmark.json").read_text())["rows"]
    assert [len(row["rounds_ms"]) for row in rows] == [2, 1]
    assert all(worker._process.poll() is not None for worker in turns)


def test_a_peer_whose_environment_cannot_be_made_is_a_row(script, tmp_path, monkeypatch, capsys):
    build = script.peer_builder()

    def fail(peer, folder):
        raise build.BuildError("no network")

    monkeypatch.setattr(build, "make_environment", fail)
    code = script.main(peers=("kecam",), attentions=(), rounds=1, output_dir=tmp_path)
    assert (code, "kecam: no network" in capsys.readouterr().out) == (1, True)


def test_bad_numbers(script, tmp_path):
    with pytest.raises(script.InputError, match="Expected rounds to be a whole number from 1 up. Received: 0"):
        script.main(rounds=0, output_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_outside_a_checkout(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "STEPS", tmp_path / "step")
    with pytest.raises(script.InputError, match="in its checkout .pip install -e"):
        script.main(output_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_real_steps(precision, script, tmp_path, monkeypatch):
    """Of one precision each: a row has a process of its own, of a GB and a half."""
    monkeypatch.setenv("PYTHONPATH", str(SCRIPTS.parent))
    options = {"models": ("test",), "image_sizes": (32,), "batch_sizes": (4,), "attentions": ("mobile",)}
    options |= {"precisions": (precision,), "jit": ("off", "on"), "rounds": 1, "num_steps": 2}
    assert script.main(output_dir=tmp_path, **options) == 0
    rows = json.loads((tmp_path / "benchmark.json").read_text())["rows"]
    assert [(row["precision"], row["jit"]) for row in rows] == [(precision, jit) for jit in (False, True)]
    assert all(row["peak_memory_bytes"] > 1e6 and row["first_secs"] > 0 for row in rows)
