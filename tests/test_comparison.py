"""Attention styles compared in the same hosts: one budget for all, runs that go on, failures as rows, the figures."""

import dataclasses
import json
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keras_mobattn import benchmark
from keras_mobattn.benchmark import Statistics
from keras_mobattn.data.digit_crops import DigitCrops
from keras_mobattn.data.digit_scenes import DigitScenes
from keras_mobattn.errors import InputError
from keras_mobattn.studies import compare_attention, comparison
from keras_mobattn.studies.comparison import STAGES, STYLES, Cost, Plan, run
from keras_mobattn.training import Stopped

SCRIPT = Path(__file__).parents[1] / "training" / "compare_attention.py"
PLAN = Plan("test", (2, 3))
DEVICE = benchmark.Device("chip", "Linux")


def test_every_run_has_the_same_budget():
    varied = {"model", "attention", "head_dim", "seed"}
    budgets, seen = set(), set()
    for host in ("MobileViT", "MobileViTv2"):
        for style in STYLES:
            for seed in (0, 1):
                stages = PLAN.stages(host, style, seed)
                assert [name for name, _ in stages] == list(STAGES)
                assert [settings.epochs for _, settings in stages] == [2, 3]
                fields = [dataclasses.asdict(settings) for _, settings in stages]
                seen.add(tuple(fields[0][name] for name in sorted(varied)))
                budgets.add(json.dumps([{k: v for k, v in each.items() if k not in varied} for each in fields]))
    assert len(budgets) == 1
    assert len(seen) == 2 * len(STYLES) * 2


def _stand_in(monkeypatch, stop_in=None):
    """Replace `train`: it writes what a run leaves, and is stopped once in the stage `stop_in`. Returns its calls."""
    calls, stopping = [], [stop_in]

    def train(settings, folder, resume, progress):
        calls.append((folder.name, settings.weights, resume))
        (folder / "checkpoints" / "step-00000001").mkdir(parents=True, exist_ok=True)
        if folder.name in stopping:
            stopping.clear()
            raise Stopped(signal.SIGTERM, folder)
        (folder / "model.keras").touch()
        (folder / "result.json").write_text(json.dumps({"test_accuracy": settings.epochs / 4}))

    monkeypatch.setattr(run, "train", train)
    return calls


def test_stages_start_from_the_one_before_and_go_on_where_they_were(monkeypatch, tmp_path):
    calls = _stand_in(monkeypatch, stop_in="scenes")
    stages = PLAN.stages("MobileViT", "own", 0)
    with pytest.raises(Stopped):
        run.train_stages(stages, tmp_path)
    assert (tmp_path / "scenes" / "checkpoints").exists()
    crops = str(tmp_path / "crops" / "model.keras")
    assert calls == [("crops", None, True), ("scenes", crops, True)]
    for _ in range(2):  # the second time nothing is left to do
        assert run.train_stages(stages, tmp_path) == {"crops": 0.5, "scenes": 0.75}
        assert calls[2:] == [("scenes", crops, True)]
    assert not list(tmp_path.rglob("checkpoints"))


def test_a_folder_keeps_to_its_plan(tmp_path):
    PLAN.claim(tmp_path)
    PLAN.claim(tmp_path)
    for other in (Plan("test", (2, 4)), Plan("xs", (2, 3))):
        with pytest.raises(InputError, match="Give the same --variant and --epochs, or another --output-dir"):
            other.claim(tmp_path)
    PLAN.claim(tmp_path)
    (tmp_path / "plan.json").write_text("no")
    with pytest.raises(InputError, match="plan.json. Received: a file without"):
        PLAN.claim(tmp_path)


# What a job says -> what its process does. "wait" writes a file when it is told to end.
PROGRAM = """
import json, signal, sys, time
job = json.loads(sys.argv[1])
if "answer" in job:
    print("noise\\n" + json.dumps(job["answer"]))
elif "wait" in job:
    def end(*_):
        open(job["wait"], "w").close()
        sys.exit(143)
    signal.signal(signal.SIGTERM, end)
    open(job["wait"] + "-begun", "w").close()
    time.sleep(60)
else:
    sys.exit("out of luck")
"""


def test_the_pool_answers_for_all_jobs_and_a_crash_is_an_answer():
    jobs = [{"answer": {"seconds": number}} for number in range(4)]
    jobs.insert(2, {})
    with comparison.Pool(2, (sys.executable, "-c", PROGRAM)) as pool:
        answers = dict(pool.run(jobs))
    assert [answers[index].get("seconds") for index in range(5)] == [0, 1, None, 2, 3]
    assert answers[2] == {"error": "The process ended with exit code 1. Its last words: out of luck"}


def test_the_pool_ends_what_runs_when_it_is_left(tmp_path):
    jobs = [{"wait": str(tmp_path / name)} for name in "abc"]
    with pytest.raises(KeyboardInterrupt), comparison.Pool(2, (sys.executable, "-c", PROGRAM)) as pool:
        answers = pool.run([{"answer": {}}, *jobs])
        next(answers)
        while not ((tmp_path / "a-begun").exists() and (tmp_path / "b-begun").exists()):
            time.sleep(0.01)
        raise KeyboardInterrupt
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a-begun", "b", "b-begun"]


def _cost(host, style, side, ms, megabytes=10.0):
    row = benchmark.Measurement("x", "", DEVICE, "rt", "xnnpack", statistics=Statistics.of([ms]), samples_ms=(ms,))
    row = dataclasses.replace(row, peak_memory_bytes=round(1e6 * megabytes))
    return Cost(host, style, side, parameters=1000 * side, macs=10**6 * side, measurement=row)


def _row(host, style, seed, accuracy):
    found = {"error": "no"} if accuracy is None else {"accuracies": {"crops": 0.9, "scenes": accuracy}, "seconds": 1}
    return {"host": host, "style": style, "seed": seed, **found}


REACHED = {("A", "own"): (0.5, 0.6, 0.7), ("A", "separable"): (0.4, None, 0.5), ("B", "own"): (0.3,)}
ROWS = [_row(*key, seed, value) for key, values in REACHED.items() for seed, value in enumerate(values)]
COSTS = [
    _cost("A", "own", 192, 8.0), _cost("A", "own", 96, 2.0), _cost("A", "separable", 96, 1.0, 5.5),
    _cost("A", "separable", 192, 6.0), _cost("B", "own", 96, 3.0), Cost("B", "own", 192, error="no operator"),
]  # fmt: skip


def test_figures_and_their_texts():
    table = comparison.figures(("A", "B"), ("own", "separable"), ROWS, COSTS)
    assert [(row["host"], row["style"]) for row in table] == [(h, s) for h in "AB" for s in ("own", "separable")]
    first, second, third, fourth = table
    assert (first["scenes mean"], first["crops mean"]) == pytest.approx((60, 90))
    assert first["scenes std"] == pytest.approx(10)
    assert (first["parameters"], first["macs"]) == (96_000, 96 * 10**6)  # of the smallest side
    assert (second["scenes runs"], second["failed"]) == (2, 1)
    assert second["scenes std"] == pytest.approx(statistics.stdev((40, 50)))
    assert [second[f"ratio at {side}"] for side in (96, 192)] == [0.5, 0.75]
    assert second["peak MB at 96"] == 5.5
    assert (third["scenes std"], third["ms at 192"], third["ratio at 96"]) == (None, None, 1.0)
    assert set(fourth) == set(first)
    header, cells = comparison.texts(table)
    assert cells[0] == ["A", "own", "96,000", "96.0", "90.0 ± 0.0", "60.0 ± 10.0",
                        "2.00 (1.00)", "8.00 (1.00)", "10.0", "10.0"]  # fmt: skip
    assert cells[1][5] == "45.0 ± 7.1, 1 failed"
    assert cells[3] == ["B", "separable", *[""] * 8]
    lines = comparison.markdown(header, cells).splitlines()
    assert lines[1] == "|" + " --- |" * len(header)
    assert len(lines) == 6


@pytest.fixture(name="faked")
def faked_fixture(monkeypatch):
    """The study without training, conversion and timing: `faked` holds the jobs that ran; seed 1 fails at first."""
    jobs = []

    class Pool(comparison.Pool):
        def run(self, wanted):
            for index, job in enumerate(wanted):
                failing = job["seed"] == 1 and job not in jobs
                jobs.append(job)
                yield (
                    index,
                    {"error": "no luck"} if failing else {"accuracies": dict.fromkeys(STAGES, 0.5), "seconds": 1},
                )

    monkeypatch.setattr(comparison, "Pool", Pool)
    monkeypatch.setattr(Plan, "prepare", lambda plan: None)
    monkeypatch.setattr(comparison, "convert", lambda host, style, side, *_: (_cost(host, style, side, 1.0), Path()))
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
    for name in ("accuracy_crops", "accuracy_scenes", "latency", "memory"):
        assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    assert (
        (tmp_path / "comparison.csv").read_text().splitlines()[1].startswith("MobileViT,own,50.0,0.0,3,50.0,0.0,3,0,")
    )
    assert comparison.load_costs(tmp_path / "cost.json") == [_cost("MobileViT", s, 96, 1.0) for s in given["styles"]]


def test_timed_files_are_kept_as_a_group(monkeypatch, tmp_path):
    timed = []

    def benchmark_files(paths, *, num_threads, **protocol):
        timed.append([path.name for path in paths])
        begun = [benchmark.rows.begin_row(path, path.stem, *num_threads, device=benchmark.describe_host(), runtime="rt",
                                          backend="xnnpack", **protocol) for path in paths]  # fmt: skip
        return [dataclasses.replace(row, statistics=Statistics.of([2.0]), peak_memory_bytes=1) for row in begun]

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
    "epochs of one stage": ({"epochs": (1,)}, "Expected epochs for crops, scenes: 2 numbers"),
    "no epoch": ({"epochs": (1, 0)}, "Received: 1 0"),
    "nothing to do": ({"seeds": (), "sides": ()}, "a seed or a side"),
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
        flags = "--hosts MobileViTv2 --variant test --seeds 0 --epochs 2 2 --sides 64 --num-runs 2 --min-secs 0"
        styles = ("--styles", "own", "mobile d=2", "--data-dir", tmp_path / "tfds", "--output-dir", tmp_path / folder)
        return [sys.executable, SCRIPT, *flags.split(), *styles]

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
