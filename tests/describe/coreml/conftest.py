"""A Mac that gives Core ML's plan of a package."""

import platform
from unittest import mock

import pytest

from keras_mobattn._quiet import import_coremltools


def _device(name):
    from coremltools.models import compute_device

    return mock.create_autospec(getattr(compute_device, name), instance=True)


@pytest.fixture
def mac(monkeypatch):
    """A Mac as coremltools 9 shows it: its own dataclasses, and functions with its signatures."""
    ct = import_coremltools()
    from coremltools.models import compute_plan as cp

    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "mac_ver", lambda: ("15.1", ("", "", ""), "arm64"))
    cpu, gpu, engine = (_device(f"ML{name}ComputeDevice") for name in ("CPU", "GPU", "NeuralEngine"))
    planned = [  # operator, result, preferred, supported, cost
        ("const", "weight", None, (), None),
        ("ios17.cast", "x_to_fp16", cpu, (cpu, gpu, engine), None),
        ("ios17.conv", "plain", engine, (cpu, gpu, engine), 0.5),
        ("ios17.conv", "depthwise", engine, (cpu, gpu, engine), 0.25),
        ("reduce_mean", "mean", gpu, (cpu, gpu), 0.25),
    ]
    operations = [
        cp.MLModelStructureProgramOperation(
            inputs={},
            operator_name=kind,
            outputs=[cp.MLModelStructureProgramNamedValueType(name, cp.MLModelStructureProgramValueType())],
            blocks=[],
            __proxy__=None,
        )
        for kind, name, *_ in planned
    ]
    block = cp.MLModelStructureProgramBlock(inputs=[], operations=operations, output_names=["y"])
    main = cp.MLModelStructureProgramFunction(inputs=[], block=block)
    program = cp.MLModelStructureProgram(functions={"main": main})
    structure = cp.MLModelStructure(neuralnetwork=None, program=program, pipeline=None)
    plan = mock.create_autospec(cp.MLComputePlan, instance=True, model_structure=structure)
    found = {id(operation): row for operation, row in zip(operations, planned, strict=True)}

    def usage(operation):
        *_, preferred, supported, _ = found[id(operation)]
        return preferred and cp.MLComputePlanDeviceUsage(preferred, list(supported))

    def cost(operation):
        weight = found[id(operation)][-1]
        return None if weight is None else cp.MLComputePlanCost(weight)

    plan.get_compute_device_usage_for_mlprogram_operation.side_effect = usage
    plan.get_estimated_cost_for_mlprogram_operation.side_effect = cost
    load = mock.create_autospec(cp.MLComputePlan.load_from_path, return_value=plan)
    compile_model = mock.create_autospec(ct.models.utils.compile_model, return_value="made/model.mlmodelc")
    monkeypatch.setattr(cp.MLComputePlan, "load_from_path", load)
    monkeypatch.setattr(ct.models.utils, "compile_model", compile_model)
    return {"load": load, "compile": compile_model, "planned": planned}
