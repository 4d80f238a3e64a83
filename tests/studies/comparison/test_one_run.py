"""One run of an attention comparison, from stage to stage and at other sizes; and the pool in which the runs are."""

import dataclasses
import json
import signal
import sys
import time

import numpy as np
import pytest

from helpers.compared import PLAN
from keras_mobattn.attention import information_flow
from keras_mobattn.models import load_model
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.studies import comparison
from keras_mobattn.studies.comparison import StudyPlan, one_run
from keras_mobattn.training import Stopped, TrainSettings
from keras_mobattn.training.build import build_model


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


@pytest.mark.sampled
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
    assert found["64"] == pytest.approx(result["test_accuracy"], abs=4 / 359)  # images on the border of two classes
    usual, without = one_run.with_and_without_competition(folder)
    assert usual == found["64"]
    assert 0 <= without <= 1
    source = folder.open_source()
    variant = build_model(dataclasses.replace(settings, attention="mobile_without_competition"), source.class_names)
    variant.set_weights(load_model(folder.model_file).get_weights())
    assert without == one_run._accuracy(variant, *one_run._test_images(source, (64, 64)))


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
