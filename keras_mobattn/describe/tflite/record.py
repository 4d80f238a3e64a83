"""What devices are on record for getting wrong or refusing, as a table of rules: others' measurements.

A phone's GPU may take a whole file and compute wrong numbers without a word, which no driver in software shows. Each
rule says for which construct, on what and in which version that was seen, where it is discussed, and what to write
instead. Sources: the matrices of operators in john-rocky/edge-compat (@5a653a0) and LiteRT's issues; the rules with
the runtime OURS we found ourselves (docs/measurements.md), and their test runs them. What stands in no row is not known
to be right: `without_record` names it.
"""

import dataclasses
from collections.abc import Callable

from keras_mobattn.describe.finding import Finding
from keras_mobattn.describe.tflite import constructs as c

# How firm a rule is: seen on a current version and its condition known; seen on one device; or nobody knows yet when it
# happens.
FIRM, ONE_DEVICE, OPEN = "firm", "one device", "open"
WRONG, REFUSED, CRASH, SLOW = "wrong numbers", "refused", "crash", "slow"
TARGETS = {  # -> what it is
    "gpu": "a phone's GPU",
    "npu": "Qualcomm's NPU",
    "webgpu": "WebGPU in a browser",
    "wasm": "WASM in a browser",
}


@dataclasses.dataclass(frozen=True)
class RecordRule:
    """`breaks` is asked of the Contents and each operator of the kinds `operators` (any kind, if there are none)."""

    construct: str
    operators: str
    breaks: Callable
    verdict: str
    runtime: str  # versions and devices
    instead: str
    firmness: str
    threads: tuple[str, ...] = ()
    target: str = "gpu"

    @property
    def kinds(self):
        return tuple(self.operators.split())


@dataclasses.dataclass(frozen=True)
class RecordFinding(Finding):
    """A Finding with its evidence: a rule's words."""

    target: str
    verdict: str
    runtime: str
    threads: tuple[str, ...]
    instead: str
    firmness: str


DENSE = "FULLY_CONNECTED"
ELEMENTWISE = "ADD MUL"
ANY = ""
OURS = "LiteRT 2.3.0, SwiftShader and llvmpipe, in float32 too"
METAL = "LiteRT 2.2.0, Metal on a Mac"
MLDRIFT = "LiteRT 2.2.0, Galaxy S26"
WEB = "LiteRT.js 2.5.3"
QNN = "LiteRT 2.2.0, QNN, Galaxy S26"
METAL_WEBGPU = "LiteRT 2.1.6, WebGPU's build on a Mac"
MORE_AXES = "fold axes into the batch, up to rank 4"
FLOAT_WEIGHTS = "float16 or float32 weights"

R = RecordRule
RECORD = {
    # Reductions
    "reduction": R(
        "more than 16,384 elements reduced over several axes at once", "MEAN SUM", c.large_over_several_axes, WRONG,
        "LiteRT 2.1.3, phones: NaN, in float32 too", "one axis after another", FIRM,
    ),
    "large sum": R(
        "a sum of 12,544 elements or more: beyond 65,504 it is infinite in float16", "SUM", c.large_sum, WRONG,
        f"{METAL}; iPhone 17 Pro", "MEAN, AVERAGE_POOL_2D, or sums of sums", FIRM, ("LiteRT#9249",),
    ),
    "variance": R(
        "squares of deviations: beyond 256 they are infinite in float16", "SQUARED_DIFFERENCE MUL",
        c.squares_for_a_variance, WRONG, f"{MLDRIFT}, the default precision",
        "divide the row by max(|x|) / 8 and epsilon by its square, or ask for float32", ONE_DEVICE,
    ),
    # Matrix products
    "transposed operand": R(
        "adj_x or adj_y of a matrix product", "BATCH_MATMUL", c.transposed_operand, WRONG,
        "LiteRT 2.1.6, OpenCL: ignored; 2.1.1, Adreno 750: adj_y refused", "an explicit TRANSPOSE", FIRM,
        ("LiteRT#8913", "LiteRT#6518"),
    ),
    "constant on the left": R(
        "a constant left operand of a matrix product", "BATCH_MATMUL", c.constant_on_the_left, REFUSED, MLDRIFT,
        "the transposed product, with the constant on the right", FIRM,
    ),
    "width 40": R(
        "a matrix product 40 wide in a batch, of rows that leave 1 to 61 modulo 64", "BATCH_MATMUL", c.width_40, WRONG,
        METAL, "pad the width to 44", FIRM, ("LiteRT#9661",),
    ),
    "rank 3 product": R(
        "a matrix product of two computed tensors of rank 3", "BATCH_MATMUL", c.rank_3_operands, WRONG,
        "LiteRT 2.1.6, Pixel 8a and another phone", "[1, h, N, d], of rank 4", OPEN, ("LiteRT#8619",),
    ),
    # Dense layers with int8 weights
    "int8 weights to float": R(
        "int8 weights that a DEQUANTIZE makes float", DENSE, c.int8_weights_made_float, REFUSED,
        "LiteRT 2.2.0: Metal, OpenCL, WebGPU", FLOAT_WEIGHTS, FIRM, ("LiteRT#9523",),
    ),
    "int8 weights, rows": R(
        "int8 weights under several float rows of rank 2", DENSE, c.int8_weights_on_rows, CRASH, METAL, FLOAT_WEIGHTS,
        ONE_DEVICE,
    ),
    "int8 weights, rank 3": R(
        "int8 weights under floats of rank 3, then an ADD", DENSE, c.int8_weights_on_rank_3_before_add, CRASH,
        "LiteRT 2.1.3 and 2.1.5, Pixel 8a", "rank 4 or 2", ONE_DEVICE, ("LiteRT#9277",),
    ),
    "int8 head": R(
        "an int8 head of 161 or 128,802 outputs", DENSE, c.int8_head_on_record, CRASH, "LiteRT-LM 0.16, a phone, a Mac",
        "a float head", OPEN,
    ),
    "int8 dense": R(
        "int8 weights and activations: an error that grows with the row's sum", DENSE, c.int8_throughout, WRONG,
        "Pixel 7 Pro, quantized at the source", FLOAT_WEIGHTS, OPEN, ("LiteRT#8979",),
    ),
    "int8 activations": R(
        "int8 activations", "CONV_2D DEPTHWISE_CONV_2D FULLY_CONNECTED", c.int8_throughout, REFUSED,
        f"{MLDRIFT}, two whole models", "float16 weights for the GPU", ONE_DEVICE,
    ),
    # Convolutions
    "groups": R(
        "groups of other than a multiple of 4 inputs and of outputs", "CONV_2D", c.groups_off_4, WRONG,
        f"{OURS}; some refused", "pad each group to a multiple of 4, or a convolution for each group", FIRM,
    ),
    "transposed convolution's padding": R(
        "a transposed convolution with padding SAME, at sides where a convolution of its input is padded in another "
        "way", "TRANSPOSE_CONV", c.transposed_by_another_padding, WRONG, OURS,
        "sides that are multiples of the stride, or padding VALID", FIRM,
    ),
    # Elementwise operators
    "layer scale": R(
        "a constant for each channel times x, then an ADD", "MUL", c.scale_before_add, WRONG, "LiteRT 2.1.6, a phone",
        "scale the weights before it", FIRM,
    ),
    "rank 2 and a constant": R(
        "a constant with a tensor of rank 2", ELEMENTWISE, c.constant_on_rank_2, WRONG, METAL, "rank 3 or 4", FIRM,
        ("LiteRT#10231",),
    ),
    "large constant": R(
        "a large constant added, positions say: wrong in some builds", "ADD", c.large_constant, WRONG,
        "LiteRT 2.1.6 and 2.2.0, one phone", "an input, or fold it into weights", ONE_DEVICE,
    ),
    "rank 0": R(
        "a computed operand of rank 0", "ADD", c.rank_0_operand, WRONG, "LiteRT-LM 0.16, Android and Mac",
        "keepdims", FIRM,
    ),
    "rank 0 factor": R(
        "a computed operand of rank 0", "MUL DIV", c.rank_0_operand, REFUSED, "LiteRT-LM 0.16.1", "keepdims", FIRM,
    ),
    "broadcast over axis 1": R(
        "a computed factor that is repeated along axis 1: its first lane alone is", "MUL", c.broadcast_over_axis_1,
        WRONG, "LiteRT 2.1.5, one Mali", "equal shapes", ONE_DEVICE,
    ),
    "channels-first scale": R(
        "[1, C, 1, 1] * [1, C, H, W] in a graph that CPU and GPU share", "MUL", c.channels_first_scale, WRONG,
        f"{METAL}, float16", "float32", ONE_DEVICE,
    ),
    "constants alone": R(
        "constants alone", "MEAN DIV CONV_2D", c.all_constant, REFUSED, "LiteRT 2.1.3, a phone", "fold at export",
        ONE_DEVICE,
    ),
    "compared with a constant": R(
        "a constant compared with", "GREATER_EQUAL LESS_EQUAL", c.constant_operand, REFUSED, MLDRIFT,
        "arithmetic with RELU", FIRM,
    ),
    "relu to 1": R(
        "RELU_0_TO_1", "RELU_0_TO_1", c.anywhere, REFUSED, "LiteRT 2.1.6, Metal on a Mac", "relu(y) - relu(y - 1)",
        FIRM,
    ),
    # Shapes and types
    "padded rank 3": R(
        "rank 3, padded along another axis than the last", "PAD", c.rank_3_padded_before_the_last_axis, WRONG, METAL,
        "rank 4, or a CONCATENATION with zeros", FIRM, ("LiteRT#9272",),
    ),
    "padded rank 2": R(
        "rank 2 padded", "PAD", c.rank_2, REFUSED, "LiteRT-LM 0.16, Pixel 8a", "rank 3 or 4", ONE_DEVICE,
    ),
    "rank 5": R(
        "rank 5 or more", "RESHAPE CONCATENATION EXP MUL SLICE", c.rank_above_4, REFUSED,
        "LiteRT-LM 0.16, Pixel 8a and Galaxy S26", MORE_AXES, FIRM, ("LiteRT#10445",),
    ),
    "transposed rank 5": R(
        "rank 5 or more in a chain of reshapes, a pixel shuffle say", "TRANSPOSE", c.rank_above_4, REFUSED,
        "LiteRT-LM 0.16, Galaxy S26", MORE_AXES, OPEN,
    ),
    "int64": R("int64", ANY, c.int64_output, REFUSED, "LiteRT-LM 0.16, Android: SUM", "int32 or float", FIRM),
    "softmax composite": R(
        "a composite odml.softmax", "STABLEHLO_COMPOSITE", c.softmax_composite, REFUSED, "LiteRT-LM 0.16, Galaxy S26",
        "decompose it at export", ONE_DEVICE,
    ),
    "large scores": R(
        "scores of more than 112 MiB, which stay in memory", "SOFTMAX", c.large_scores, CRASH,
        "LiteRT 0.15, Metal on an iPhone", "queries in parts", ONE_DEVICE,
    ),
    "open size": R(
        "a size computed at run time", "RESIZE_BILINEAR", c.size_of_its_own, REFUSED, "LiteRT 2.1.3, a phone",
        "a fixed size", ONE_DEVICE,
    ),
    "transposed convolution": R(
        "a transposed convolution", "TRANSPOSE_CONV", c.anywhere, REFUSED, "LiteRT 2.1.3, Pixel 8a",
        "zeros between the pixels and a convolution, or 1x1 and a resize", ONE_DEVICE,
    ),
    "broadcast": R(
        "a broadcast of its own", "BROADCAST_TO", c.anywhere, REFUSED, "every GPU", "a product with ones", FIRM,
        ("LiteRT#9191",),
    ),
    # Places in the graph
    "output that is read": R(
        "an output of the model that another operator reads: it came back zero", ANY, c.output_that_is_read, WRONG,
        "a phone, an RF-DETR-Seg", "an operator of its own for the output", FIRM,
    ),
    "rank 3 read twice": R(
        "a tensor of rank 3 with several readers", ANY, c.rank_3_read_twice, WRONG, "one Mali, an RT-DETRv2",
        "rank 4", ONE_DEVICE,
    ),
    # Qualcomm's NPU
    "npu: sum of a concatenation": R(
        "int16, and an operand that is a CONCATENATION above 1 MiB", "ADD", c.int16_sum_of_a_large_concatenation, WRONG,
        "QNN 2.47, Galaxy S26", "split it", ONE_DEVICE, target="npu",
    ),
    "npu: scores": R(
        "scores whose width 128 does not divide: compiled 10 to 70 times slower, out of memory above 1,537", "SOFTMAX",
        c.scores_off_128, SLOW, QNN, "pad the tokens", ONE_DEVICE, target="npu",
    ),
    "npu: softmax by hand": R(
        "a softmax of EXP, SUM and DIV: 2.2 times the time of SOFTMAX", "DIV", c.softmax_by_hand, SLOW, QNN, "SOFTMAX",
        ONE_DEVICE, target="npu",
    ),
    "npu: tanh GELU": R(
        "a GELU of TANH: twice the time of GELU", "TANH", c.read_by_add_of_a_constant, SLOW, QNN, "GELU", ONE_DEVICE,
        target="npu",
    ),
    "npu: pixel shuffle": R(
        "a pixel shuffle of rank 5 or more: 3 times the time of a convolution", "TRANSPOSE", c.rank_above_4, SLOW, QNN,
        "zeros between the pixels and a convolution", ONE_DEVICE, target="npu",
    ),
    # Browsers
    "webgpu: padded rank 3": R(
        "rank 3 padded", "PAD", c.rank_3_padded_before_the_last_axis, WRONG, WEB, "rank 4", FIRM, ("LiteRT#9272",),
        target="webgpu",
    ),
    "webgpu: rank 5": R(
        "rank 5 or more", "RESHAPE", c.rank_above_4, REFUSED, WEB, MORE_AXES, FIRM, target="webgpu",
    ),
    "webgpu: relu to 1": R(
        "RELU_0_TO_1", "RELU_0_TO_1", c.anywhere, REFUSED, WEB, "relu(y) - relu(y - 1)", FIRM, target="webgpu",
    ),
    "webgpu: int64": R(
        "int64", "ARG_MAX", c.int64_output, REFUSED, WEB, "REDUCE_MAX and a one-hot, or leave it to the caller", FIRM,
        target="webgpu",
    ),
    "webgpu: broadcast": R(
        "a broadcast of its own", "BROADCAST_TO", c.anywhere, REFUSED, WEB, "a product with ones", FIRM,
        ("LiteRT#9191",), target="webgpu",
    ),
    "webgpu: int8 weights to float": R(
        "int8 weights that a DEQUANTIZE makes float", DENSE, c.int8_weights_made_float, REFUSED, "LiteRT 2.2.0",
        FLOAT_WEIGHTS, FIRM, ("LiteRT#9523",), target="webgpu",
    ),
    "webgpu: int8 weights": R(
        "int8 weights under float activations", DENSE, c.int8_weights, REFUSED, "a Depth Anything v2", FLOAT_WEIGHTS,
        OPEN, ("LiteRT#9481",), target="webgpu",
    ),
    "webgpu: rounding": R(
        "no condition known, likely float16's rounding; right in 2.5.3", "CONV_2D DEPTHWISE_CONV_2D FULLY_CONNECTED "
        "SUB DIV HARD_SWISH SQUARED_DIFFERENCE TRANSPOSE_CONV", c.anywhere, WRONG, METAL_WEBGPU, "float32", OPEN,
        target="webgpu",
    ),
    "webgpu: int8 product": R(
        "int8 of rank 4", "MUL", c.int8_rank_4, WRONG, METAL_WEBGPU, "float", ONE_DEVICE, target="webgpu",
    ),
    "webgpu: int8 pool": R(
        "int8", "AVERAGE_POOL_2D", c.int8_output, WRONG, METAL_WEBGPU, "float", ONE_DEVICE, target="webgpu",
    ),
    "webgpu: computed float16": R(
        "a computed float16 tensor", "DEQUANTIZE", c.computed_float16, REFUSED, METAL_WEBGPU, "float32", ONE_DEVICE,
        target="webgpu",
    ),
    "wasm: int64 or bool": R(
        "int64 or bool", ANY, c.int64_or_bool_output, CRASH, WEB, "float or int32", FIRM, target="wasm",
    ),
}  # fmt: skip

_WEB_RIGHT = (
    "ADD MUL SUB DIV BATCH_MATMUL CONCATENATION CONV_2D DEPTHWISE_CONV_2D EXP FULLY_CONNECTED HARD_SWISH LOGISTIC "
    "MAXIMUM MINIMUM PAD REDUCE_MAX RELU RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR RSQRT SOFTMAX SQRT SUM TANH "
    "TRANSPOSE TRANSPOSE_CONV AVERAGE_POOL_2D MAX_POOL_2D MEAN SQUARED_DIFFERENCE ABS"
)
RIGHT = {  # target -> operators on record as right, in float32
    "gpu": "ABS ADD BATCH_MATMUL CONCATENATION CONV_2D DIV FULLY_CONNECTED GELU MAXIMUM MUL REDUCE_MAX RELU RESHAPE "
    "RSQRT SLICE SOFTMAX SUB SUM TRANSPOSE MEAN RESIZE_BILINEAR DEQUANTIZE",
    "npu": "GELU SOFTMAX",
    "webgpu": _WEB_RIGHT,
    "wasm": f"{_WEB_RIGHT} RELU_0_TO_1",
}
_INT8 = " in int8"


def record_findings(contents):
    """What the record has against the Contents, on any target: [RecordFinding]."""
    return [
        RecordFinding(
            operator.kind,
            operator.outputs[0].name if operator.outputs else "",
            rule.construct,
            *(rule.target, rule.verdict, rule.runtime, rule.threads, rule.instead, rule.firmness),
        )
        for operator in contents.operators
        for rule in RECORD.values()
        if operator.kind in (rule.kinds or (operator.kind,)) and rule.breaks(contents, operator)
    ]


def without_record(contents):
    """{target: operators of the Contents that no row is about}, "LOGISTIC" say, or "ADD in int8"."""
    forms = sorted({_form(operator) for operator in contents.operators})
    known = {target: set(kinds.split()) for target, kinds in RIGHT.items()}
    for rule in RECORD.values():
        int8 = "int8" in rule.construct
        known[rule.target] |= {kind + _INT8 * int8 for kind in rule.kinds}
    return {target: tuple(form for form in forms if form not in known[target]) for target in TARGETS}


def _form(operator):
    """Its kind; in int8 it is another operator."""
    ends = (*operator.inputs[:2], *operator.outputs[:1])
    return operator.kind + _INT8 * (operator.kind != "DEQUANTIZE" and any(tensor.dtype == "int8" for tensor in ends))
