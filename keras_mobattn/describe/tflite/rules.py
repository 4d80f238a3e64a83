"""What XNNPACK leaves out and what the GPU refuses or gets wrong, as tables of rules.

Found with small models on ai-edge-litert 2.3.0; another version may know better. A rule is an opinion on a graph, not a
run: where the runtime runs, it is asked, and these say why.
"""

import dataclasses
from collections.abc import Callable

from keras_mobattn.describe.finding import Finding
from keras_mobattn.formats.tflite.contents import Contents, Operator

# Operator -> why XNNPACK leaves it to the interpreter, whatever it computes in.
XNNPACK_LEAVES = {
    "ARG_MAX": "not in XNNPACK",
    "BROADCAST_TO": "not in XNNPACK",
    "CAST": "not in XNNPACK",
    "L2_NORMALIZATION": "not in XNNPACK: write x * rsqrt(sum(x * x))",
    "LOG": "not in XNNPACK",
    "MIRROR_PAD": "not in XNNPACK: pad with zeros",
    "PACK": "shapes computed at run time: convert for a fixed batch",
    "POW": "not in XNNPACK",
    "RESIZE_NEAREST_NEIGHBOR": "not in XNNPACK: resize bilinearly",
    "SHAPE": "shapes computed at run time: convert for a fixed batch",
    "SPLIT_V": "unequal parts: use convolutions of their own, or slices",
    "STRIDED_SLICE": "a stride other than 1",
    "TFLite_Detection_PostProcess": "finds objects, on the CPU in any case",
    "TILE": "not in XNNPACK: multiplication and addition broadcast",
}
MATRIX = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL"}
_FLOAT_ONLY = "ABS AVERAGE_POOL_2D BATCH_MATMUL DIV EXP GELU HARD_SWISH MAXIMUM MINIMUM RELU RSQRT SOFTMAX SQRT"
XNNPACK_LEAVES_IN_INT8 = dict.fromkeys([*_FLOAT_ONLY.split(), "SQUARED_DIFFERENCE"], "not in XNNPACK in int8")


def why_xnnpack_leaves(operator):
    """Return the known reason, or "no rule known"."""
    types = {tensor.dtype for tensor in operator.outputs}
    if operator.kind == "RESHAPE" and any(not tensor.constant_bytes for tensor in operator.inputs[1:]):
        return XNNPACK_LEAVES["SHAPE"]
    if operator.kind == "QUANTIZE" and operator.inputs[0].dtype != "float32":
        return "from one type of integers to another: make inputs and outputs int8 or float"
    if operator.kind in MATRIX and types == {"float32"} and any(tensor.dtype == "int8" for tensor in operator.inputs):
        return "int8 weights under float activations (dynamic range)"
    if types & {"int8", "uint8"} and operator.kind in XNNPACK_LEAVES_IN_INT8:
        return XNNPACK_LEAVES_IN_INT8[operator.kind]
    if types <= {"int32", "int64", "bool"} and operator.kind not in ("SHAPE", "PACK", "ARG_MAX", "CAST"):
        return f"in {', '.join(sorted(types))}: XNNPACK computes floats and int8"
    return XNNPACK_LEAVES.get(operator.kind, "no rule known")


NOT_TWICE = {
    "SUB",
    "DIV",
    "MAXIMUM",
    "MINIMUM",
    "POW",
    "SQUARED_DIFFERENCE",
    "BATCH_MATMUL",
}  # while x + x, x * x are taken


@dataclasses.dataclass(frozen=True)
class GpuRule:
    """`breaks` is asked of the Contents and each operator.

    `refused`: the accelerator says so itself; else it computes wrong numbers.
    """

    breaks: Callable
    reason: str
    refused: bool = True


def _tensors(operator):
    return [tensor for tensor in (*operator.inputs, *operator.outputs) if not tensor.constant_bytes]


def _split_into_elementwise(contents: Contents, operator: Operator):
    return operator.kind in ("SPLIT", "SPLIT_V") and any(
        other.kind not in MATRIX for other in contents.consumers(operator)
    )


GPU_RULES = {
    "rank above 4": GpuRule(
        lambda contents, operator: any(len(tensor.shape) > 4 for tensor in _tensors(operator)),
        "a tensor of more than 4 dimensions",
    ),
    "operator": GpuRule(
        lambda contents, operator: operator.kind in ("BROADCAST_TO", "L2_NORMALIZATION"),
        "not an operator of the GPU delegate",
    ),
    "int64": GpuRule(
        lambda contents, operator: any(tensor.dtype == "int64" for tensor in operator.outputs),
        "int64: let ARG_MAX and CAST give int32, or leave them to the caller",
    ),
    "same input twice": GpuRule(
        lambda contents, operator: operator.kind in NOT_TWICE and len({tensor.index for tensor in operator.inputs}) < 2,
        "the same tensor on both sides",
    ),
    "dynamic shape": GpuRule(
        lambda contents, operator: operator.kind == "SHAPE",
        "shapes computed at run time: convert for a fixed batch",
    ),
    # 15 of 40 small graphs with a split came out wrong, without a word: a + b gives a, concat(b, a) gives concat(a, b).
    # Parts that go into convolutions or matrix products were right.
    "split": GpuRule(
        _split_into_elementwise,
        "parts of a split that go into another operator than a convolution may be mixed up, silently",
        refused=False,
    ),
    "custom operator": GpuRule(
        lambda contents, operator: operator.kind.startswith("Flex") or not operator.kind.isupper(),
        "not a builtin operator: the CPU runs it",
    ),
}


def gpu_findings(contents, refused):
    """What the rules have against the Contents on a GPU: with `refused` what it refuses, else what it gets wrong."""
    return [
        Finding(operator.kind, operator.outputs[0].name if operator.outputs else "", rule.reason)
        for operator in contents.operators
        for rule in GPU_RULES.values()
        if rule.refused == refused and rule.breaks(contents, operator)
    ]
