"""Where Core ML would run each operation, by its own MLComputePlan. Needs macOS."""

import collections
import contextlib
import dataclasses
import platform
import tempfile
from pathlib import Path

from keras_mobattn._quiet import import_coremltools

CPU, GPU, NEURAL_ENGINE = "CPU", "GPU", "Neural Engine"
DEVICES = {  # our names -> classes in coremltools.models.compute_device
    NEURAL_ENGINE: "MLNeuralEngineComputeDevice",
    GPU: "MLGPUComputeDevice",
    CPU: "MLCPUComputeDevice",
}
OLDEST_MACOS = (14, 4)  # developer.apple.com/documentation/coreml/mlcomputeplan


@dataclasses.dataclass(frozen=True)
class PlannedOperation:
    """An operation, its result's name, the device that Core ML prefers and all that could run it, and its share of the
    estimated cost, 0..1."""

    operator: str
    tensor: str
    preferred: str
    supported: tuple[str, ...]
    cost: float


@dataclasses.dataclass(frozen=True)
class ComputePlan:
    """Core ML's plan for this machine, all compute units allowed; `not_run` says why there is none."""

    operations: tuple[PlannedOperation, ...] = ()
    not_run: str | None = None

    @property
    def cost_by_device(self) -> dict[str, float]:
        """{device: share of the estimated cost}, the largest first."""
        return _summed((operation.preferred, operation.cost) for operation in self.operations)

    @property
    def cost_by_operator(self) -> dict[str, dict[str, float]]:
        """{operator: {device: share of the estimated cost}}, the most expensive operator first."""
        totals = _summed((operation.operator, operation.cost) for operation in self.operations)
        return {kind: _summed((o.preferred, o.cost) for o in self.operations if o.operator == kind) for kind in totals}

    @property
    def off_neural_engine(self) -> tuple[PlannedOperation, ...]:
        """The operations that the Neural Engine could not run."""
        return tuple(operation for operation in self.operations if NEURAL_ENGINE not in operation.supported)


def _summed(pairs):
    sums = collections.Counter()
    for key, value in pairs:
        sums[key] += value
    return dict(sums.most_common())


def compute_plan(path, function="main"):
    """Ask Core ML where it would run the operations of a package; return a ComputePlan, never raise."""
    if problem := _problem():
        return ComputePlan(not_run=problem)
    try:
        ct = import_coremltools()
        from coremltools.models.compute_plan import MLComputePlan

        with _compiled(ct, path) as compiled:
            plan = MLComputePlan.load_from_path(path=compiled, compute_units=ct.ComputeUnit.ALL)
            operations = plan.model_structure.program.functions[function].block.operations
            return ComputePlan(tuple(filter(None, (_planned(plan, operation) for operation in operations))))
    except Exception as error:  # whatever Core ML has to say, mostly RuntimeError
        return ComputePlan(not_run=f"Core ML gave no plan ({' '.join(str(error).split()) or type(error).__name__}).")


def _problem():
    if platform.system() != "Darwin":
        return "MLComputePlan, which tells where operations run, needs macOS."
    version = tuple(map(int, platform.mac_ver()[0].split(".")[:2]))
    return f"MLComputePlan needs macOS {'.'.join(map(str, OLDEST_MACOS))} or newer." if version < OLDEST_MACOS else None


@contextlib.contextmanager
def _compiled(ct, path):
    with tempfile.TemporaryDirectory() as folder:
        yield ct.models.utils.compile_model(str(path), destination_path=str(Path(folder) / "model.mlmodelc"))


def _planned(plan, operation):
    """None for constants, which have no device."""
    usage = plan.get_compute_device_usage_for_mlprogram_operation(operation)
    if usage is None:
        return None
    cost = plan.get_estimated_cost_for_mlprogram_operation(operation)
    return PlannedOperation(
        operation.operator_name.rpartition(".")[2],  # "ios17.conv"
        operation.outputs[0].name if operation.outputs else "",
        _device(usage.preferred_compute_device),
        tuple(map(_device, usage.supported_compute_devices)),
        cost.weight if cost else 0.0,
    )


def _device(device):
    from coremltools.models import compute_device

    known = (name for name, kind in DEVICES.items() if isinstance(device, getattr(compute_device, kind)))
    return next(known, type(device).__name__)
