"""What a .tflite file holds, what XNNPACK takes of it, and whether the GPU accelerator runs it."""

import collections
import dataclasses
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from keras_mobattn import gpu
from keras_mobattn._quiet import quiet_stderr
from keras_mobattn._types import PathLike, Size
from keras_mobattn.describe.difference import max_error
from keras_mobattn.describe.finding import Finding
from keras_mobattn.describe.half import HalfVerdict, half_verdict
from keras_mobattn.describe.tflite.record import FIRM, RecordFinding, record_findings, without_record
from keras_mobattn.describe.tflite.rules import gpu_findings, why_xnnpack_leaves
from keras_mobattn.formats.random_inputs import random_inputs
from keras_mobattn.formats.tflite.contents import Operator, Tensor, read_contents
from keras_mobattn.formats.tflite.interpreter import delegation, executed

GPU_MAX_ERROR = {"fp32": 1e-4, "fp16": 1e-2}  # largest error as a share of the outputs' spread
CPU_ERRORS = (RuntimeError, ValueError, TypeError)  # the interpreter's; TypeError: inputs that can't be made up
# With int8 in the file a value may be rounded up on one side and down on the other; under int8 weights the CPU rounds
# float activations to int8 as well, which the GPU does not (2.9e-3 in a MobileViTv2 0.5 with dynamic range, digits).
GPU_MAX_ERROR_INT8 = {"fp32": 5e-2, "fp16": 5e-2}
# The narrowest type of a file's weights -> the processor that it is for.
PROCESSORS = {
    "int8": "the CPU: int8 weights gain nothing on a GPU, and some refuse them",
    "float16": "the GPU: as fast there as float32, at half the size",
    "float32": "any processor; float16 weights are as fast on a GPU at half the size, int8 is for the CPU",
}
INPUT_SCALES = (1.0, 255.0)  # random float inputs in 0..scale: models take RGB as either


@dataclasses.dataclass(frozen=True)
class Xnnpack:
    """What XNNPACK took, asked of the runtime. One partition and nothing left is best; `problem`: it doesn't run."""

    partitions: int = 0
    left: tuple[Finding, ...] = ()
    problem: str | None = None

    @property
    def passed(self) -> bool:
        return self.partitions == 1 and not self.left and not self.problem


@dataclasses.dataclass(frozen=True)
class GpuVerdict:
    """What the rules say, what is on record of phones' GPUs, and what the accelerator said where it runs here.

    `errors` is {"fp32": largest error against the CPU as a share of the outputs' spread, "fp16": ...}, and `limits` how
    large they may be; `reasons` why it refuses the file; `not_run` why it could not be asked.
    """

    refused: tuple[Finding, ...] = ()
    wrong: tuple[Finding, ...] = ()
    record: tuple[RecordFinding, ...] = ()
    adapter: str = ""
    limits: dict[str, float] = dataclasses.field(default_factory=lambda: dict(GPU_MAX_ERROR))
    errors: dict[str, float] | None = None
    reasons: tuple[str, ...] = ()
    not_run: str | None = None

    @property
    def passed(self) -> bool:
        """By execution where that is possible, else by the rules; and nothing firm on record, which no run shows."""
        if any(finding.firmness == FIRM for finding in self.record):
            return False
        if self.not_run:
            return not self.refused and not self.wrong
        return bool(self.errors and all(error <= self.limits[name] for name, error in self.errors.items()))


@dataclasses.dataclass(frozen=True)
class TFLiteDescription:
    """A .tflite file described. Sizes in bytes; shapes have -1 where the size is not fixed."""

    file: str
    size_bytes: int
    signature: str | None
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    operators: dict[str, int]  # how many of each, the most frequent first
    tensors: dict[str, int]  # how many of each type
    constant_bytes: dict[str, int]  # by type
    high_rank: tuple[Tensor, ...]  # more than 4 dimensions
    xnnpack: Xnnpack
    gpu: GpuVerdict
    elsewhere: tuple[RecordFinding, ...]  # what is on record of other targets: an NPU, browsers
    without_record: dict[str, tuple[str, ...]]  # by target: operators that no row of the record is about
    processor: str  # which one the file is for
    half: HalfVerdict | None = None  # where it was asked for

    def as_dict(self) -> dict[str, Any]:
        """For JSON, with the verdicts."""
        record = dataclasses.asdict(self) | {"half": self.half and self.half.as_dict()}
        for name in ("xnnpack", "gpu"):
            record[name]["passed"] = getattr(self, name).passed
        return record


def describe_tflite(
    path: PathLike,
    execute_on_gpu: bool = True,
    half_images: Callable[[Size], ArrayLike] | None = None,
    half_modes: Collection[str] = (),
) -> TFLiteDescription:
    """Describe a .tflite file; return a TFLiteDescription.

    XNNPACK and, with `execute_on_gpu`, the GPU accelerator are asked by running the file. `half_images`, a function of
    (height, width) that returns images [n, H, W, 3] in the range that the file takes, asks for half precision too;
    `half_modes` are modes of `half.evaluate_half` beyond those of the verdict.

    Raises:
        InputError: not a TFLite file, or a corrupt one.
        OSError: it can't be read.
    """
    contents = read_contents(path)
    computed = [tensor for tensor in contents.tensors if not tensor.constant_bytes]
    constant_bytes: collections.Counter[str] = collections.Counter()
    for tensor in contents.tensors:
        constant_bytes[tensor.dtype] += tensor.constant_bytes
    xnnpack = _xnnpack(path, contents)
    findings: dict[str, Any] = {name: tuple(gpu_findings(contents, name == "refused")) for name in ("refused", "wrong")}
    record = record_findings(contents)
    findings["record"] = tuple(finding for finding in record if finding.target == "gpu")
    if xnnpack.problem:
        run: dict[str, Any] = {"not_run": "It does not run on the CPU either."}
    else:
        run = _run_on_gpu(path) if execute_on_gpu else {"not_run": "It was not asked."}
    in_bytes = any(tensor.dtype in ("int8", "uint8") for tensor in contents.tensors)
    return TFLiteDescription(
        file=str(path),
        size_bytes=contents.size_bytes,
        signature=contents.signature,
        inputs=contents.inputs,
        outputs=contents.outputs,
        operators=dict(collections.Counter(operator.kind for operator in contents.operators).most_common()),
        tensors=dict(collections.Counter(tensor.dtype for tensor in contents.tensors).most_common()),
        constant_bytes={dtype: size for dtype, size in constant_bytes.most_common() if size},
        high_rank=tuple(tensor for tensor in computed if len(tensor.shape) > 4),
        xnnpack=xnnpack,
        gpu=GpuVerdict(**findings, **run, limits=dict(GPU_MAX_ERROR_INT8 if in_bytes else GPU_MAX_ERROR)),
        elsewhere=tuple(finding for finding in record if finding.target != "gpu"),
        without_record=without_record(contents),
        half=None if half_images is None else half_verdict(path, half_images, half_modes),
        processor=next((text for dtype, text in PROCESSORS.items() if constant_bytes[dtype]), PROCESSORS["float32"]),
    )


def _xnnpack(path, contents):
    from ai_edge_litert.interpreter import Interpreter

    with quiet_stderr():  # "Created TensorFlow Lite XNNPACK delegate for CPU", and the reasons that the error repeats
        try:
            interpreter = Interpreter(str(path))
            interpreter.allocate_tensors()
            nodes, partitions = executed(interpreter), delegation(interpreter)["partitions"]
        except CPU_ERRORS as error:
            return Xnnpack(problem=" ".join(str(error).split()))
    left = sorted(node["index"] for node in nodes if node["op_name"] != "DELEGATE")
    return Xnnpack(partitions, tuple(_finding(contents.operators[index]) for index in left))


def _finding(operator: Operator):
    return Finding(operator.kind, operator.outputs[0].name if operator.outputs else "", why_xnnpack_leaves(operator))


def _run_on_gpu(path):
    """Run a file on the GPU and on the CPU, on random inputs; return fields of a GpuVerdict."""
    if problem := gpu.gpu_problem():
        return {"not_run": problem}
    try:
        inputs, expected = _on_cpu(path)
    except CPU_ERRORS as error:
        return {"not_run": f"The CPU stops: {' '.join(str(error).split())}"}
    runs = gpu.run_jobs_on_gpu([gpu.GpuJob(Path(path), inputs, float16=name == "fp16") for name in GPU_MAX_ERROR])
    refusal = next((run for run in runs if isinstance(run, gpu.GpuError)), None)
    if refusal:
        return {"adapter": gpu.gpu_adapter(), "reasons": refusal.reasons}
    errors = {name: max_error(run.outputs, expected) for name, run in zip(GPU_MAX_ERROR, runs, strict=True)}
    return {"adapter": runs[0].adapter, "errors": errors}


def _on_cpu(path):
    """Return random inputs, {name: array} each, and what the CPU makes of them, under the accelerator's names."""
    from ai_edge_litert.interpreter import Interpreter

    with quiet_stderr():
        interpreter = Interpreter(str(path))
        interpreter.allocate_tensors()
        names = {side: _names(interpreter, side) for side in ("inputs", "outputs")}
        inputs, outputs = [], []
        for seed, scale in enumerate(INPUT_SCALES):
            arrays = random_inputs(names["inputs"], np.random.default_rng(seed))
            for name, array in arrays.items():
                arrays[name] = array * array.dtype.type(scale) if array.dtype.kind == "f" else array
                interpreter.set_tensor(names["inputs"][name]["index"], arrays[name])
            interpreter.invoke()
            inputs.append(arrays)
            outputs.append({name: interpreter.get_tensor(d["index"]) for name, d in names["outputs"].items()})
    return inputs, outputs


def _names(interpreter, side):
    """{name: tensor's details} of the first signature, or by the tensors' own names where there is none."""
    details = interpreter.get_input_details() if side == "inputs" else interpreter.get_output_details()
    signatures = interpreter.get_signature_list()
    if not signatures:
        return {detail["name"]: detail for detail in details}
    runner = interpreter.get_signature_runner(next(iter(signatures)))
    return runner.get_input_details() if side == "inputs" else runner.get_output_details()
