"""The record that a Mac sends back: placement, times and numbers beside what the rules and the evaluator say.

Core ML's place is taken as in test_mac.py; its plan is made up, its numbers are the evaluator's, a little off.
"""

import json

import numpy as np
import pytest

from helpers.apple import QUICK
from helpers.small_models import convert, shared_model
from keras_mobattn import export
from keras_mobattn.commands import benchmark_coreml
from keras_mobattn.describe.coreml import describe as description
from keras_mobattn.describe.coreml.compute_plan import CPU, GPU, NEURAL_ENGINE, ComputePlan, PlannedOperation
from keras_mobattn.errors import InputError
from keras_mobattn.formats.coreml.program import read_program
from keras_mobattn.studies import apple_record

OFF = 0.01  # of every output, on the Neural Engine
EVERYWHERE = (CPU, GPU, NEURAL_ENGINE)


class ByCoreML(export.CoreMLModel):
    """What Core ML itself would give of a package."""

    def __init__(self, path, compute_units=None):
        super().__init__(path)
        self.units = compute_units

    def run(self, image):
        off = OFF if self.units in ("ALL", "CPU_AND_NE") else 0.0
        return {name: values + np.float32(off) for name, values in super().run(image).items()}


def plan_of(path, function="main"):
    """Every operation on the Neural Engine, but for the means, which are on the GPU alone."""
    planned = [
        PlannedOperation(each.kind, each.name, GPU, (CPU, GPU), 0.1) if each.kind == "reduce_mean"
        else PlannedOperation(each.kind, each.name, NEURAL_ENGINE, EVERYWHERE, 0.01)
        for each in read_program(path).operations
    ]  # fmt: skip
    return ComputePlan(tuple(planned))


@pytest.fixture
def mac_with_a_plan(mac, monkeypatch):
    monkeypatch.setattr(description, "compute_plan", plan_of)
    monkeypatch.setattr(apple_record, "CoreMLModel", ByCoreML)
    return mac


def test_what_a_mac_sends_back(mac_with_a_plan, package, tmp_path, capsys):
    ours, foreign = tmp_path / "ours.mlpackage", package("sorted")
    convert(".mlpackage", "fp16", shared_model(), ours)
    units, written = ("cpu", "cpu-ane"), tmp_path / "new" / "my_mac.json"
    options = {**QUICK, "rounds": 1, "output_dir": tmp_path / "rows"}
    assert benchmark_coreml.main((ours, foreign), units=units, compare=written, **options) == 0
    assert f"Written: {written}" in capsys.readouterr().out.replace("\n", "")
    record = json.loads(written.read_text())
    assert (record["machine"], record["system"].split()[:2]) == ("Apple M2 (Mac14,2)", ["macOS", "15.1"])
    first, second = record["packages"]
    assert first["file"] == "ours.mlpackage"
    placed = {each["operator"]: each for each in first["neural_engine"]["placements"]}
    assert set(placed) == {"reduce_mean"}
    assert placed["reduce_mean"] | {"tensor": ""} == {
        "operator": "reduce_mean", "tensor": "", "reasons": [], "preferred": GPU, "supported": [CPU, GPU], "cost": 0.1,
        "surprising": True,
    }  # fmt: skip
    (topk,) = (each for each in second["neural_engine"]["placements"] if each["operator"] == "topk")
    assert topk["surprising"]
    assert topk["reasons"] == ["topk, argsort"]
    assert set(first["times"]) == {"coreml cpu", "coreml cpu-ane"}
    assert first["times"]["coreml cpu"]["samples_ms"] == [3.0, 4.0, 5.0, 6.0]
    numbers = first["numbers"]
    assert numbers["coreml cpu"]["stored"] == 0
    (name,) = export.CoreMLModel(ours).given_names
    images = np.float32(apple_record.sample_photos(apple_record.NUM_IMAGES, shared_model().input_shape[1:3]))
    spreads = [float(np.ptp(export.CoreMLModel(ours).run(image[None])[name])) for image in images]
    assert numbers["coreml cpu-ane"]["stored"] == pytest.approx(OFF / min(spreads), rel=1e-3)
    assert 0 < numbers["coreml cpu"]["neural_engine_tables"] < 0.2
    assert "Expected a package with one input, 'image'" in second["numbers"]["error"]


def test_a_row_that_failed_is_told(mac_with_a_plan, package, tmp_path):
    def fail(what, _):
        if what == "load":
            raise RuntimeError("no such device")

    mac_with_a_plan.hook = fail
    options = {**QUICK, "rounds": 1, "output_dir": tmp_path / "rows"}
    assert benchmark_coreml.main((package("good"),), compare=tmp_path / "mac.json", **options) == 1
    (told,) = json.loads((tmp_path / "mac.json").read_text())["packages"]
    assert "no such device" in told["times"]["coreml all"]["error"]


@pytest.mark.parametrize(("device", "name"), [("iphone", "mac.json"), ("mac", "mac.txt")])
def test_bad_arguments(device, name, package, tmp_path):
    with pytest.raises(InputError, match=f"Expected a .json file as --compare, with --device mac. Received: .*{name}"):
        benchmark_coreml.main((package("good"),), device=device, compare=tmp_path / name)
