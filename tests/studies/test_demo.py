"""The demo from end to end, with the tiny variant and two resolutions."""

import json
import signal
from pathlib import Path

import pytest

from keras_mobattn.attention import ATTENTIONS
from keras_mobattn.benchmark import load_measurements
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.settings import save_settings
from keras_mobattn.studies import demo
from keras_mobattn.training import Diverged, Stopped, TrainSettings


def test_the_first_free_folder(tmp_path):
    for expected in ("demo", "demo-2", "demo-3"):
        folder = demo._free_folder(tmp_path / "demo")
        assert folder == tmp_path / expected
        folder.mkdir()


ENDS = {  # exit code -> what training raises
    130: Stopped(signal.SIGINT, Path("checkpoints/step-00000003")),
    3: Diverged("The loss is not finite."),
}


@pytest.mark.parametrize("code", ENDS)
def test_a_training_that_does_not_end(code, mobattn, capsys, monkeypatch):
    def train(*_):
        raise ENDS[code]

    monkeypatch.setattr(demo, "train", train)
    assert mobattn("demo") == code
    said = "".join(capsys.readouterr())
    assert {130: "saved as checkpoints/step-00000003", 3: "The loss is not finite."}[code] in said
    assert "Traceback" not in said


@pytest.mark.parametrize("inside", [".", "head"])
def test_the_run_to_go_on_with_is_the_whole(inside, mobattn, tmp_path, capsys, monkeypatch):
    """Where it stopped while its head alone learned, too."""

    def train(*_):
        raise Stopped(signal.SIGINT, tmp_path / "run" / inside / "checkpoints" / "step-00000003")

    for run in (tmp_path / "run", tmp_path / "run" / "head"):
        save_settings(RunFolder(run).settings_file, TrainSettings())
    monkeypatch.setattr(demo, "train", train)
    assert mobattn("demo") == 130
    assert capsys.readouterr().out.replace("\n", "").endswith(f"mobattn train --resume {tmp_path / 'run'}")


@pytest.mark.slow
def test_demo(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "RESOLUTIONS", (64, 128))
    settings = TrainSettings(data_dir=str(tmp_path / "tfds"), variant="test", epochs=3, learning_rate=1e-2)
    demo.demo(tmp_path / "run", settings)
    rows = json.loads((tmp_path / "run" / "conversions.json").read_text())
    assert [row["precision"] for row in rows] == ["fp32", "fp16", "dynamic", "int8", "fp32", "fp16"]
    timed = load_measurements(tmp_path / "run" / "benchmark.json")
    assert [row.name for row in timed[4:]] == [
        f"{style}, {tokens} tokens" for style in ATTENTIONS for tokens in (16, 64)
    ]
    assert not any(row.error for row in timed)
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    for text in ("Test accuracy", "Conversions", "Latency by attention style", "Latency against the number of tokens"):
        assert text in page
    accuracy = json.loads((tmp_path / "run" / "result.json").read_text())["test_accuracy"]
    assert f"{100 * accuracy:.2f} %" in page
