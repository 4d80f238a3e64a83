"""An attention comparison as a whole: runs and timed files that are kept, failures as rows, going on after Ctrl-C."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers import ROOT
from helpers.compared import cost_of
from keras_mobattn import benchmark
from keras_mobattn.benchmark import Statistics
from keras_mobattn.benchmark.rows import begin_row
from keras_mobattn.data.digit_crops import DigitCrops
from keras_mobattn.data.digit_scenes import DigitScenes
from keras_mobattn.errors import InputError
from keras_mobattn.studies import compare_attention, comparison
from keras_mobattn.studies.comparison import STAGES, Cost, StudyPlan

SCRIPT = ROOT / "training" / "compare_attention.py"


@pytest.fixture(name="faked")
def faked_fixture(monkeypatch):
    """The study without training, conversion and timing: `faked` holds the jobs that ran; seed 1 fails at first."""
    jobs = []

    class Pool(comparison.Pool):
        def run(self, wanted):
            for index, job in enumerate(wanted):
                failing = job["seed"] == 1 and job not in jobs
                jobs.append(job)
                sizes = {"fashion": {str(side): 0.25 for side in STAGES["fashion"].sides}}
                reached = {"accuracies": dict.fromkeys(STAGES, 0.5), "sizes": sizes, "seconds": 1}
                yield index, {"error": "no luck"} if failing else reached

    monkeypatch.setattr(comparison, "Pool", Pool)
    monkeypatch.setattr(StudyPlan, "prepare", lambda plan: None)
    monkeypatch.setattr(comparison, "convert", lambda host, style, side, *_: (cost_of(host, style, side, 1.0), Path()))
    monkeypatch.setattr(comparison, "measure", lambda pairs, known, **protocol: [cost for cost, _ in pairs])
    return jobs


def test_runs_are_kept_and_failed_ones_tried_again(faked, tmp_path, capfd):
    given = dict(hosts=("MobileViT",), styles=("own", "separable"), variant="test", sides=(96,), output_dir=tmp_path)
    assert compare_attention.main(seeds=(0, 1), **given) == 1
    assert [(job["seed"], job["style"]) for job in faked] == [(s, style) for s in (0, 1) for style in given["styles"]]
    assert len({job["folder"] for job in faked}) == 4
    assert "50.0, 1 failed" in capfd.readouterr().out
    assert compare_attention.main(seeds=(0, 1), **given) == 0
    assert faked[4:] == faked[2:4]
    assert compare_attention.main(seeds=(0, 1, 2), **given) == 0
    assert [job["seed"] for job in faked[6:]] == [2, 2]
    with pytest.raises(InputError, match="another --output-dir"):
        compare_attention.main(**{**given, "variant": "xs"})
    assert {path.name for path in tmp_path.iterdir()} >= {"comparison.csv", "comparison.md", "runs.json", "cost.json"}
    for name in ("accuracy_crops", "accuracy_scenes", "accuracy_fashion", "fashion_by_size", "latency", "memory"):
        assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    assert (
        (tmp_path / "comparison.csv")
        .read_text()
        .splitlines()[1]
        .startswith("MobileViT,own,50.0,0.0,3,50.0,0.0,3,50.0,0.0,3,25.0")
    )
    assert comparison.load_costs(tmp_path / "cost.json") == [cost_of("MobileViT", s, 96, 1.0) for s in given["styles"]]


def test_timed_files_are_kept_as_a_group(monkeypatch, tmp_path):
    timed = []

    def benchmark_files(paths, *, num_threads, **protocol):
        timed.append([path.name for path in paths])
        begun = [begin_row(path, path.stem, *num_threads, device=benchmark.describe_host(), runtime="rt",
                           backend="xnnpack", **protocol) for path in paths]  # fmt: skip
        return [row.filled(statistics=Statistics.of([2.0]), peak_memory_bytes=1) for row in begun]

    monkeypatch.setattr(benchmark, "benchmark_files", benchmark_files)
    pairs = [(Cost("A", style, 96, 1, 2), tmp_path / f"{style}.tflite") for style in ("own", "separable")]
    pairs.insert(1, (Cost("A", "mobile d=2", 96, error="no operator"), None))
    for path in (path for _, path in pairs if path):
        path.write_bytes(b"\0\0\0\0TFL3" + path.name.encode())
    protocol = {"num_threads": (1,), "rounds": 2, "num_runs": 4, "min_secs": 0.0}
    found = comparison.measure(pairs, [], **protocol)
    assert {cost.style: cost.latency_ms for cost in found} == {"own": 2.0, "separable": 2.0, "mobile d=2": None}
    assert comparison.measure(pairs, found, **protocol) == found
    assert len(timed) == 1
    comparison.measure(pairs, found, **{**protocol, "rounds": 3})
    pairs[-1][1].write_bytes(b"\0\0\0\0TFL3other")
    comparison.measure(pairs, found, **protocol)
    assert timed == [["own.tflite", "separable.tflite"]] * 3


@pytest.mark.sampled
def test_a_host_is_converted_once_and_counted(tmp_path, monkeypatch):
    cost, path = comparison.convert("MobileViTv2", "separable", 64, "test", tmp_path)
    assert cost.error is None
    assert path.stat().st_size > 10_000
    assert cost.parameters > 10_000
    assert cost.macs > 10**5
    monkeypatch.setattr(comparison.cost, "build_model", None)
    assert comparison.convert("MobileViTv2", "separable", 64, "test", tmp_path) == (cost, path)
    monkeypatch.undo()
    failed, path = comparison.convert("MobileViTv2", "own", 64, "enormous", tmp_path)
    assert path is None
    assert "enormous" in failed.error


BAD = {  # arguments -> part of the sentence
    "epochs of one stage": (
        {"epochs": (1,)},
        "Expected epochs for crops, scenes, fashion, each 1 or more. Received: 1",
    ),
    "no epoch": ({"epochs": (1, 0, 1)}, "Received: 1 0 1"),
    "nothing to do": ({"seeds": (), "sides": ()}, "Expected something to do"),
    "no stage": ({"stages": (), "sides": ()}, "Expected something to do"),
    "a stage that the host is not trained in": (
        {"hosts": ("MobileViTv2",), "stages": ("crops",), "sides": ()},
        "a stage that the host is trained in",
    ),
    "nothing to time": ({"styles": ("mobile d=8, clipped",), "seeds": ()}, "a side with a style that is timed"),
    "a seed twice": ({"seeds": (0, 0)}, "Expected each of seeds once. Received: 0 0"),
    "a seed below 0": ({"seeds": (-1,)}, "each of seeds to be a whole number from 0 up. Received: -1"),
    "no such variant": ({"variant": "huge"}, "Expected variant of DeiT to be one of .*Received: 'huge'"),
    "no process": ({"processes": 0}, "Expected processes to be a whole number from 1 up. Received: 0"),
    "no thread": ({"num_threads": 0}, "Expected num_threads to be a whole number from 1 up. Received: 0"),
    "a stage without its start": ({"stages": ("scenes",)}, "Expected the stage crops before scenes"),
    "no style": ({"styles": ()}, "at least one host, one style"),
    "too small": ({"sides": (16,)}, "each of sides to be a whole number from 32 up. Received: 16"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(tmp_path, name):
    arguments, sentence = BAD[name]
    with pytest.raises(InputError, match=sentence):
        compare_attention.main(output_dir=tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_an_interrupted_comparison_ends_as_one_that_was_not(tmp_path, monkeypatch):
    for builder in (DigitCrops, DigitScenes):
        for split, count in {"train": 200, "test": 20}.items():
            monkeypatch.setattr(builder.BUILDER_CONFIGS[0], split, count)
        builder(data_dir=tmp_path / "tfds").download_and_prepare()

    def command(folder):
        flags = "--hosts PVTv2 --variant test --seeds 0 --stages crops scenes --epochs 2 2 --sides 64"
        timing = ("--num-runs", "2", "--min-secs", "0")
        styles = ("--styles", "own", "mobile d=2", "--data-dir", tmp_path / "tfds", "--output-dir", tmp_path / folder)
        return [sys.executable, SCRIPT, *flags.split(), *timing, *styles]

    assert subprocess.run(command("whole"), check=False).returncode == 0
    process = subprocess.Popen(command("parts"))
    while not list((tmp_path / "parts").glob("runs/*/crops/checkpoints/step-*")):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 128 + signal.SIGTERM
    assert not (tmp_path / "parts" / "comparison.md").exists()
    assert subprocess.run(command("parts"), check=False).returncode == 0
    whole, parts = (json.loads((tmp_path / folder / "runs.json").read_text()) for folder in ("whole", "parts"))
    accuracies = [{row["style"]: row["accuracies"] for row in rows} for rows in (whole, parts)]
    assert accuracies[0] == accuracies[1]
