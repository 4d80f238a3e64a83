"""What `describe` says of packages in half precision: numbers that are known beforehand, by MIL's evaluator."""

import io
import json

import numpy as np
import pytest
import rich.console

from helpers.half_files import PIXELS, PROGRAMS, images, write_package
from helpers.small_models import convert, photos, shared_model
from keras_mobattn import describe, export, mil
from keras_mobattn.commands import describe as command
from keras_mobattn.describe.difference import NO_NUMBER
from keras_mobattn.describe.half import half_verdict
from keras_mobattn.errors import InputError
from keras_mobattn.half import HALF_MAX, evaluate_half

JUDGED = [name for name in PROGRAMS if name != "fp32"]
HEADROOM = {
    "fine": HALF_MAX / 255,
    "overflow": HALF_MAX / (300 * 255),
    "sum": HALF_MAX / (200 * PIXELS),
    "long mean": HALF_MAX / (800 * PIXELS),
    "vanished": HALF_MAX / 255,
    "cancelled": HALF_MAX / 2001,
}


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("half")
    return {name: write_package(name, folder) for name in PROGRAMS}


@pytest.fixture(scope="module")
def verdicts(packages):
    return {name: half_verdict(path, images) for name, path in packages.items()}


@pytest.mark.parametrize("name", JUDGED)
def test_headroom(name, verdicts):
    verdict = verdicts[name]
    assert verdict.headroom == pytest.approx(HEADROOM[name], rel=1e-3)
    assert list(verdict.modes) == ["stored", "neural_engine"]
    assert verdict.passed == (name == "fine")


def test_errors_and_names(verdicts):
    modes = {name: verdicts[name].modes["stored"] for name in JUDGED}
    errors = {name: next(iter(mode.errors.values())) for name, mode in modes.items()}
    assert errors["fine"] == 0
    assert errors["overflow"] == NO_NUMBER
    assert modes["overflow"].first_overflow.operator == "mul"
    assert errors["vanished"] == 1.0
    assert verdicts["vanished"].subnormal[0].operator == "mul"
    assert errors["cancelled"] == pytest.approx(0.5, rel=0.01)
    assert modes["cancelled"].jumps[0].operator == "sub"
    assert errors["long mean"] < 1e-3  # the sum itself is not rounded here: Apple does not say how it is added
    assert verdicts["long mean"].tightest[0].operator == "reduce_mean"


def test_float32_packages_are_not_judged(packages, capsys):
    verdict = half_verdict(packages["fp32"], images)
    assert "float32 package" in verdict.not_judged
    assert command.main((packages["fine"], packages["fp32"]), require=("half",)) == 0
    assert command.main((packages["fine"], packages["sum"]), require=("half", "ane")) == 1
    assert "not judged: a float32 package" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(InputError, match="processors of half precision for --require half.*float32 package"):
        command.main((packages["fp32"],), require=("half",))


def test_what_the_evaluator_lacks_fails(packages, monkeypatch):
    monkeypatch.delitem(mil.OPS, "mul")
    verdict = half_verdict(packages["fine"], images)
    assert "operation 'mul'" in verdict.problem
    assert not verdict.passed


@pytest.mark.parametrize("kind", ["tensor", "image"])
def test_packages_of_ours_and_the_evaluator_agree(kind, tmp_path):
    """The run in half precision is the one that the check of a conversion makes; the other is Keras's."""
    path, image = tmp_path / "model.mlpackage", photos(1).astype(np.float32)
    options = {"labels": tuple("abcdefg"), "input_type": kind}
    convert(".mlpackage", "fp16", shared_model(), path, **options)
    package = export.CoreMLModel(path)
    report = evaluate_half(path, package.given(image), "stored")
    (name,) = report.outputs
    np.testing.assert_array_equal(report.outputs[name], package.run(image)[name])
    np.testing.assert_allclose(report.expected[name], shared_model()(image), atol=2e-3)  # weights are float16 in both
    assert 0 < np.abs(report.outputs[name] - report.expected[name]).max() < 2e-3
    (alone,) = evaluate_half(path, package.given(image), "float32").outputs.values()
    np.testing.assert_array_equal(alone, report.expected[name])
    verdict = describe.describe_coreml(path, plan=False, half_images=images).half
    assert verdict.passed
    assert 100 < verdict.headroom <= HALF_MAX / 254


def test_modes_are_those_of_packages(packages):
    with pytest.raises(InputError, match="mode to be one of 'float32', 'stored', .*Received: 'reductions'"):
        evaluate_half(packages["fine"], images((16, 16))[:1], "reductions")


def test_json_and_the_screen(packages):
    description = describe.describe_coreml(packages["overflow"], plan=False, half_images=images)
    half = json.loads(json.dumps(description.as_dict(), allow_nan=False))["half"]
    assert (half["passed"], half["num_images"]) == (False, 2)
    out = io.StringIO()
    describe.print_coreml(description, rich.console.Console(file=out, width=80, color_system=None))
    assert max(len(line.rstrip()) for line in out.getvalue().splitlines()) <= 80
    assert "not passed on 2 images: headroom 0.856" in out.getvalue()
    assert describe.describe_coreml(packages["fine"], plan=False).as_dict()["half"] is None
