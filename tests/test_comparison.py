"""Attention styles compared in the same hosts: one budget for all, runs that go on, failures as rows, the figures."""

import dataclasses
import gzip
import json
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from keras_mobattn import benchmark
from keras_mobattn.attention import MobileAttention, information_flow
from keras_mobattn.benchmark import Statistics
from keras_mobattn.catalog import ATTENTION_FORMS
from keras_mobattn.data import fashion_mnist_quarter, open_source, take_images
from keras_mobattn.data.digit_crops import DigitCrops
from keras_mobattn.data.digit_scenes import DigitScenes
from keras_mobattn.data.fashion_mnist_quarter import SPLITS, read_idx
from keras_mobattn.errors import InputError
from keras_mobattn.models import load_model
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.studies import compare_attention, comparison
from keras_mobattn.studies.comparison import HOSTS, STAGES, STYLES, VARIANTS, Cost, StudyPlan, one_run, styles_of
from keras_mobattn.training import Stopped, TrainSettings
from keras_mobattn.training.build import build_model

SCRIPT = Path(__file__).parents[1] / "training" / "compare_attention.py"
PLAN = StudyPlan("test", ("crops", "scenes"), (2, 3))
DEVICE = benchmark.Device("chip", "Linux")


def test_every_run_has_the_same_budget():
    varied = {"model", "attention", "head_dim", "seed"}
    budgets, seen = set(), set()
    for host in ("MobileViT", "DeiT"):
        for style in STYLES:
            for seed in (0, 1):
                stages = PLAN.settings(host, style, seed)
                assert list(stages) == ["crops", "scenes"]
                assert [settings.epochs for settings in stages.values()] == [2, 3]
                fields = [dataclasses.asdict(settings) for settings in stages.values()]
                seen.add(tuple(fields[0][name] for name in sorted(varied)))
                budgets.add(json.dumps([{k: v for k, v in each.items() if k not in varied} for each in fields]))
    assert len(budgets) == 1
    assert len(seen) == 2 * len(STYLES) * 2


def test_hosts_are_small_and_styles_differ():
    plan = StudyPlan("nano", tuple(STAGES), comparison.EPOCHS)
    for host in HOSTS:
        settings = plan.settings(host, "own", 0)
        assert set(settings) == ({"fashion"} if host == "MobileViTv2" else set(STAGES))
        assert {each.variant for each in settings.values()} == {None if host == "MobileViTv2" else "nano"}
        assert {each.width for each in settings.values()} == {0.5}
    assert styles_of("DeiT", tuple(STYLES)) == tuple(STYLES)
    assert styles_of("MobileViTv2", tuple(STYLES)) == tuple(style for style in STYLES if style != "own")
    assert styles_of("MobileViTv2", ("own", "mobile d=8")) == ("own", "mobile d=8")  # where nothing else is the same
    assert styles_of("PVTv2") == tuple(STYLES)
    assert styles_of("EfficientFormerV2") == tuple(style for style in STYLES if style != "mobile d=2")
    assert styles_of("MobileViTv2") == ("separable", "mobile d=8", "mobile d=8, published")


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

    monkeypatch.setattr(one_run, "train", train)
    return calls


def test_stages_start_from_the_one_before_and_go_on_where_they_were(monkeypatch, tmp_path):
    calls = _stand_in(monkeypatch, stop_in="scenes")
    with pytest.raises(Stopped):
        one_run.train_stages(PLAN, "MobileViT", "own", 0, tmp_path)
    assert (tmp_path / "scenes" / "checkpoints").exists()
    crops = str(tmp_path / "crops" / "model.keras")
    assert calls == [("crops", None, True), ("scenes", crops, True)]
    for _ in range(2):  # the second time nothing is left to do
        found = one_run.train_stages(PLAN, "MobileViT", "own", 0, tmp_path)
        assert found == {"accuracies": {"crops": 0.5, "scenes": 0.75}, "sizes": {}, "competition": {}}
        assert calls[2:] == [("scenes", crops, True)]
    assert not list(tmp_path.rglob("checkpoints"))


def test_a_gain_scales_query_and_key_at_the_start(tmp_path):
    """Of the weights that the style itself starts from with this seed, and of nothing else."""
    settings = StudyPlan("test", ("fashion",), (1,)).settings("MobileViTv2", "mobile d=2", 5)["fashion"]
    settings = dataclasses.replace(settings, dataset="digits")
    usual, half = (
        load_model(one_run._start(settings, f"mobile d=2, gain {gain:g}", tmp_path / f"{gain}.keras"))
        for gain in (information_flow.MOBILE_GAIN, 0.5)
    )
    for one, other in zip(usual.weights, half.weights, strict=True):
        scaled = any(f"attention/{part}/kernel" in one.name for part in ("query", "key"))
        factor = 0.5 / information_flow.MOBILE_GAIN if scaled else 1
        np.testing.assert_allclose(other.numpy(), factor * one.numpy(), rtol=1e-6)
    assert one_run._start(settings, "mobile d=2", tmp_path / "none.keras") is None
    assert not (tmp_path / "none.keras").exists()


@pytest.mark.slow
def test_a_trained_model_is_seen_at_other_sizes_and_without_competition(tmp_path):
    """By its own weights: at its own size the accuracy is that of its run, and without competition that of the same
    weights in the variant that has none."""
    settings = TrainSettings(
        variant="test", attention="mobile", head_dim=2, epochs=1, warmup_epochs=0, learning_rate=1e-2, image_size=64
    )
    result = one_run.train(settings, tmp_path / "run", progress=False)
    folder = RunFolder(tmp_path / "run")
    found = one_run.accuracies_at(folder, (48, 64))
    assert set(found) == {"48", "64"}
    assert found["64"] == pytest.approx(result["test_accuracy"], abs=0.003)  # 359 images; one may be on the border
    usual, without = one_run.with_and_without_competition(folder)
    assert usual == found["64"]
    assert 0 <= without <= 1
    source = folder.open_source()
    variant = build_model(dataclasses.replace(settings, attention="mobile_without_competition"), source.class_names)
    variant.set_weights(load_model(folder.model_file).get_weights())
    assert without == one_run._accuracy(variant, *one_run._test_images(source, (64, 64)))


def test_variants_change_one_thing_of_the_default_form():
    query, key, value = (np.random.default_rng(i).normal(size=(2, 3, 5, 7)).astype("float32") for i in range(3))
    same = np.repeat(np.repeat(key[:, :1], 3, 1)[..., :1], 7, 3)  # keys alike: no token and no head gives more
    layers = {
        name: ATTENTION_FORMS[name](15, num_heads=3)
        for name in ("mobile_published", "mobile_clipped", "mobile_without_competition")
    }
    default = MobileAttention(15, num_heads=3)
    mixed = {name: layer.mix(query, key, value).numpy() for name, layer in layers.items()}
    np.testing.assert_allclose(mixed["mobile_clipped"], mixed["mobile_published"] * 3 / 7, rtol=1e-5, atol=1e-6)
    for name in ("mobile_clipped", "mobile_without_competition"):
        assert np.abs(mixed[name] - default.mix(query, key, value)).max() > 1e-3
        np.testing.assert_allclose(layers[name].mix(same, same, value), default.mix(same, same, value), rtol=1e-5)
    plan = StudyPlan("test", tuple(STAGES), comparison.EPOCHS)
    for style, fields in VARIANTS.items():
        for settings in plan.settings("DeiT", style, 0).values():
            assert (settings.attention, settings.head_dim) == (fields["attention"], fields.get("head_dim"))


def test_fashion_mnist_is_read_from_idx_files(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for split, (stem, count) in {"train": ("train", 30), "test": ("t10k", 20)}.items():
        images, labels = rng.integers(0, 256, (count + 2, 28, 28), "uint8"), rng.integers(0, 10, count + 2, "uint8")
        for name, header, array in (("images-idx3", 16, images), ("labels-idx1", 8, labels)):
            with gzip.open(tmp_path / f"{stem}-{name}-ubyte.gz", "wb") as file:
                file.write(bytes(header) + array.tobytes())
        read = read_idx(*(tmp_path / f"{stem}-{name}-ubyte.gz" for name in ("images-idx3", "labels-idx1")), count)
        np.testing.assert_array_equal(read[0][..., 0], images[:count])
        np.testing.assert_array_equal(read[1], labels[:count])
        monkeypatch.setitem(SPLITS, split, (stem, count))
    monkeypatch.setattr(fashion_mnist_quarter, "DEBIAN", tmp_path)
    source = open_source("fashion_mnist_quarter", tmp_path / "tfds")
    assert source.num_examples == {"train": 30, "test": 20}
    assert source.class_names[-1] == "Ankle boot"
    images, found = take_images(source, "test", 20, (28, 28))
    assert sorted(found) == sorted(labels[:20])


def test_a_folder_keeps_to_its_plan(tmp_path):
    PLAN.claim(tmp_path)
    PLAN.claim(tmp_path)
    for other in (
        StudyPlan("test", PLAN.stages, (2, 4)),
        StudyPlan("xs", PLAN.stages, (2, 3)),
        StudyPlan("test", ("crops",), (2,)),
    ):
        with pytest.raises(InputError, match="the same --variant, --stages and --epochs, or another --output-dir"):
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
    reached = {"accuracies": {"crops": 0.9, "scenes": accuracy}, "sizes": {}, "seconds": 1}
    found = {"error": "no"} if accuracy is None else reached
    return {"host": host, "style": style, "seed": seed, **found}


REACHED = {("DeiT", "own"): (0.5, 0.6, 0.7), ("DeiT", "separable"): (0.4, None, 0.5), ("PVTv2", "own"): (0.3,)}
ROWS = [_row(*key, seed, value) for key, values in REACHED.items() for seed, value in enumerate(values)]
COSTS = [
    _cost("DeiT", "own", 192, 8.0), _cost("DeiT", "own", 96, 2.0), _cost("DeiT", "separable", 96, 1.0, 5.5),
    _cost("DeiT", "separable", 192, 6.0), _cost("PVTv2", "own", 96, 3.0),
    Cost("PVTv2", "own", 192, error="no operator"),
]  # fmt: skip


def test_figures_and_their_texts():
    hosts, styles = ("DeiT", "PVTv2"), ("own", "separable")
    table = comparison.summary_rows(hosts, styles, ROWS, COSTS)
    assert [(row["host"], row["style"]) for row in table] == [(h, s) for h in hosts for s in styles]
    first, second, third, fourth = table
    assert (first["scenes mean"], first["crops mean"]) == pytest.approx((60, 90))
    assert first["scenes se"] == pytest.approx(10 / 3**0.5)
    assert "fashion mean" not in first  # of which no row tells anything
    assert (first["parameters"], first["macs"]) == (96_000, 96 * 10**6)  # of the smallest side
    assert (second["scenes runs"], second["failed"]) == (2, 1)
    assert second["scenes se"] == pytest.approx(statistics.stdev((40, 50)) / 2**0.5)
    assert [second[f"ratio at {side}"] for side in (96, 192)] == [0.5, 0.75]
    assert second["peak MB at 96"] == 5.5
    assert (third["scenes se"], third["ms at 192"], third["ratio at 96"]) == (None, None, 1.0)
    assert set(fourth) == set(first)
    (header, cells), (cost_header, costs) = comparison.summary_tables(table)
    assert header == ["host", "attention", "crops %", "scenes %"]
    assert cells == [
        ["DeiT", "own", "90.0 ± 0.0", "60.0 ± 5.8"],
        ["DeiT", "separable", "90.0 ± 0.0, 1 failed", "45.0 ± 5.0, 1 failed"],
        ["PVTv2", "own", "90.0", "30.0"],
        ["PVTv2", "separable", "", ""],
    ]
    assert costs[0] == ["DeiT", "own", "96,000", "96.0", "2.00 (1.00)", "8.00 (1.00)", "10.0", "10.0"]
    assert [row[:2] for row in costs] == [["DeiT", "own"], ["DeiT", "separable"], ["PVTv2", "own"]]
    lines = comparison.markdown_table(cost_header, costs).splitlines()
    assert lines[1] == "|" + " --- |" * len(cost_header)
    assert len(lines) == 5


def test_sizes_and_competition_are_told():
    rows = [
        {
            "host": "DeiT", "style": "mobile d=2", "seed": seed, "seconds": 1, "accuracies": {"fashion": 0.8},
            "sizes": {"fashion": {str(side): side / 200 + seed / 100 for side in STAGES["fashion"].sides}},
            "competition": {"fashion": (0.8, 0.78 - seed / 100)},
        }
        for seed in (0, 2)
    ]  # fmt: skip
    (header, cells), _ = comparison.summary_tables(comparison.summary_rows(("DeiT",), ("mobile d=2",), rows, []))
    assert header == ["host", "attention", "fashion %", *(f"fashion at {side}" for side in (48, 64, 96, 128)),
                      "fashion by competition"]  # fmt: skip
    assert cells == [["DeiT", "mobile d=2", "80.0 ± 0.0", "25.0", "33.0", "49.0", "65.0", "3.0 ± 1.0"]]


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
    for name in ("accuracy_crops", "accuracy_scenes", "accuracy_fashion", "fashion_by_size", "latency", "memory"):
        assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    assert (
        (tmp_path / "comparison.csv")
        .read_text()
        .splitlines()[1]
        .startswith("MobileViT,own,50.0,0.0,3,50.0,0.0,3,50.0,0.0,3,25.0")
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
