"""Conditions of the rules for the Neural Engine: each asks a ProgramGraph and an operation, or a Feature.

Those with an argument return such a function.
"""

import numpy as np

from keras_mobattn.describe.coreml.graph import size_of
from keras_mobattn.formats.coreml.features import ENUMERATED, RANGED
from keras_mobattn.formats.float16 import HALF_NORMAL

IOS_18 = 9  # version of the specification
ALIGNED_END = 32  # values of float16 in 64 bytes
HARD_GATES, CLIPS = ("sigmoid_hard", "thresholded_relu"), ("relu6", "clip", "minimum", "maximum", "relu")
# MIL's own epsilons; those of rsqrt, inverse and log are no floor that anybody chose
EPSILONS = {"batch_norm": 1e-5, "layer_norm": 1e-5, "instance_norm": 1e-5, "l2_norm": 1e-6}
UNCHOSEN = {"rsqrt": 1e-12, "inverse": 1e-4, "log": 1e-45}
MOVED_OR_SUMMED = ("conv", "avg_pool", "max_pool", "transpose", "reshape")


def anywhere(graph, operation):
    """Always."""
    return True


# Shapes


def rank_above(most):
    """A result of more than `most` dimensions."""
    return lambda graph, operation: any(len(shape) > most for shape in _shapes(operation))


def is_ranged(graph, operation):
    """A size that is open since an input's may vary."""
    return _is_open(operation) and any(feature.flexible == RANGED for feature in graph.program.inputs)


def depends_on_data(graph, operation):
    """A size that is open although no input's is."""
    return _is_open(operation) and not any(feature.flexible for feature in graph.program.inputs)


def is_enumerated(graph, feature):
    """An input of several sizes."""
    return feature.flexible == ENUMERATED


def in_several_sizes(graph, operation):
    """Any operation of a package of several sizes."""
    return graph.program.is_enumerated


def side_above(most):
    """One of the last two axes is longer than `most`."""
    return lambda graph, operation: any(max(shape[-2:], default=0) > most for shape in _shapes(operation))


def channels_above(most):
    """The axis before the last two is longer than `most`, outside of a convolution."""
    return lambda graph, operation: (
        "conv" not in operation.kind and any(max(shape[:-2], default=0) > most for shape in _shapes(operation))
    )


def narrow(graph, feature):
    """The last axis of an input or output takes less than 64 bytes in float16."""
    return feature.kind == "tensor" and bool(feature.shape) and feature.shape[-1] < ALIGNED_END


def _shapes(operation):
    return [result.shape for result in operation.results if result.shape is not None]


def _is_open(operation):
    return any(-1 in shape for shape in _shapes(operation))


# Types


def in_float32(graph, operation):
    """A float32 result that is neither cast nor an image's scaling."""
    if operation.kind == "cast" or operation.name in graph.program.image_scaling:
        return False
    return any(result.dtype == "float32" for result in operation.results)


def cast_for_output(graph, operation):
    """A cast to float32 of what was only moved or summed, at the program's end."""
    before = graph.made_by.get(graph.operand(operation, "x").name)
    ends = {result.name for result in graph.program.results}
    is_float32 = operation.results[0].dtype == "float32" and operation.name in ends
    return is_float32 and before is not None and before.kind in MOVED_OR_SUMMED


def half_into_suppression(graph, feature):
    """A detector's network gives float16 to its NonMaximumSuppression."""
    return graph.program.suppression is not None and any(each.dtype == "float16" for each in graph.program.results)


# Convolutions and products


def kernel_above(most):
    """A kernel wider than `most`."""
    return lambda graph, operation: graph.shape(operation, "weight")[-1:] > (most,)


def odd_stride(graph, operation):
    """A stride with a prime factor above 3."""
    return any(_without(int(stride), 2, 3) > 1 for stride in graph.constant(operation, "strides", (1,)))


def _without(number, *factors):
    for factor in factors:
        while number % factor == 0 and number > 1:
            number //= factor
    return number


def stride_above(most):
    """A stride above `most`."""
    return lambda graph, operation: max(graph.constant(operation, "strides", (1,))) > most


def has(name):
    """The operation has this operand."""
    return lambda graph, operation: name in operation.operands


def depthwise_of_concat(graph, operation):
    """A convolution of one channel a group, right behind a concatenation of channels."""
    before = _through_bytes(graph, graph.made_by.get(graph.operand(operation, "x").name))
    is_depthwise = int(graph.constant(operation, "groups", 1)) > 1 and graph.shape(operation, "weight")[1:2] == (1,)
    if not is_depthwise or before is None or before.kind != "concat":
        return False
    return int(graph.constant(before, "axis", 1)) in (1, 1 - len(graph.result(before)))


def _through_bytes(graph, operation):
    """The operation whose numbers a pair of quantize and dequantize passes on."""
    while operation is not None and operation.kind in ("quantize", "dequantize"):
        operation = graph.made_by.get(graph.operand(operation, "input").name)
    return operation


def rank_2_before(kinds):
    """A result of rank 2 that one of these operations reads."""
    activations = kinds.split()
    return lambda graph, operation: (
        len(graph.result(operation)) == 2 and any(reader.kind in activations for reader in graph.readers(operation))
    )


def rank_2_before_hardswish(graph, operation):
    """A result of rank 2 of which x * hard_sigmoid(x) is made, as one operation or as relu6(x + 3) and the like."""
    if len(graph.result(operation)) != 2:
        return False
    readers = graph.readers(operation)
    added = [behind for reader in readers if reader.kind == "add" for behind in graph.readers(reader)]
    is_gate = any(reader.kind in HARD_GATES for reader in readers) or any(each.kind in CLIPS for each in added)
    return is_gate and any(reader.kind == "mul" for reader in readers)


# Norms, sums, softmax


def over_pixels(graph, operation):
    """Along one of the last two axes of four."""
    rank = len(graph.result(operation))
    return rank == 4 and int(graph.constant(operation, "axis", -1)) % rank in (2, 3)


def over_channels(graph, operation):
    """Over axis 1 alone, of four."""
    rank = len(graph.result(operation))
    return rank == 4 and [int(axis) % rank for axis in graph.constant(operation, "axes", ())] == [1]


def small_epsilon(graph, operation):
    """In float16, an epsilon below its normal numbers, unless a constant limits what comes of it, or what goes in."""
    epsilon = float(graph.constant(operation, "epsilon", EPSILONS.get(operation.kind, 1.0)))
    if operation.results[0].dtype != "float16" or epsilon >= HALF_NORMAL:
        return False
    if operation.kind in UNCHOSEN:
        unchosen = epsilon <= UNCHOSEN[operation.kind] * 1.01
        before = graph.made_by.get(graph.operand(operation, "x").name)
        floored = (
            before is not None and before.kind in ("add", "maximum") and _least_constant(graph, before) >= HALF_NORMAL
        )
        if unchosen or floored:
            return False
    readers = graph.readers(operation)
    limited = [reader.kind == "minimum" and _least_constant(graph, reader) > 0 for reader in readers]
    return not (limited and all(limited))


def _least_constant(graph, operation):
    """The least number of a constant operand that is written out, 0 where none is."""
    numbers = [np.asarray(graph.constant(operation, name, 0.0)) for name in ("x", "y")]
    return max(float(number.min()) for number in numbers if number.dtype.kind == "f")


def infinite_constant(graph, operation):
    """An operand written out in the program that holds infinity."""
    numbers = [np.asarray(graph.constant(operation, name, 0.0)) for name in ("x", "y", "a", "b")]
    return any(number.dtype.kind == "f" and np.isinf(number).any() for number in numbers)


def small_addend(graph, operation):
    """In float16, a constant other than 0 that is all below its normal numbers."""
    numbers = [np.abs(np.asarray(graph.constant(operation, name, 1.0))) for name in ("x", "y")]
    is_half = operation.results[0].dtype == "float16"
    return is_half and any(0 < number.max() < HALF_NORMAL for number in numbers if number.dtype.kind == "f")


def channels_of_many(graph, operation):
    """Over axis 1 of [more than 256, C, 1, 1]."""
    shape, axes = graph.shape(operation), graph.constant(operation, "axes", ())
    return len(shape) == 4 and shape[0] > 256 and shape[2:] == (1, 1) and [int(axis) % 4 for axis in axes] == [1]


def reduces_above(most):
    """Folds more than `most` values into one."""

    def breaks(graph, operation):
        results = size_of(graph.result(operation))
        return bool(results) and size_of(graph.shape(operation)) // results > most

    return breaks


# Values that are moved


def pads_channels(graph, operation):
    """Pads another axis than the last two."""
    return any(graph.constant(operation, "pad", ())[:-4])


def pads_by(mode):
    """Pads in this way."""
    return lambda graph, operation: graph.constant(operation, "mode", "constant") == mode


def cuts_the_last_axis(graph, operation):
    """Takes a part of the last axis that doesn't begin at its beginning."""
    rank = len(graph.shape(operation))
    if operation.kind == "split":
        return int(graph.constant(operation, "axis", 0)) % rank == rank - 1
    begin, masked = graph.constant(operation, "begin", (0,)), graph.constant(operation, "begin_mask", (False,))
    return bool(begin[-1]) and not masked[-1]


def aligns_corners(graph, operation):
    """Resizes so that corners fall on corners."""
    mode = graph.constant(operation, "sampling_mode", "DEFAULT")
    aligned = operation.kind == "upsample_bilinear" and bool(graph.constant(operation, "align_corners", True))
    return aligned or mode in ("ALIGN_CORNERS", "STRICT_ALIGN_CORNERS")


def block_other_than(*sizes):
    """Moves blocks of another side than these."""
    return lambda graph, operation: int(graph.constant(operation, "block_size", 2)) not in sizes


def scales_an_image(graph, operation):
    """Belongs to an image input's scale and bias."""
    return operation.name in graph.program.image_scaling


def argmax_above(most):
    """Along an axis longer than `most`."""
    return lambda graph, operation: graph.shape(operation)[int(graph.constant(operation, "axis", -1))] > most


# Weights


def in_blocks(graph, operation):
    """Scales that are neither one alone nor one for each index of one axis."""
    scales = graph.shape(operation, "scale")
    data = graph.shape(operation, "data") or graph.shape(operation, "data_mask")
    return any(scale not in (1, side) for scale, side in zip(scales, data, strict=True)) or (
        sum(scale > 1 for scale in scales) > 1
    )


def signed_weights(graph, operation):
    """int8, not uint8."""
    return graph.operand(operation, "quantized_data").dtype == "int8"


def for_ios_18(graph, operation):
    """In a package for iOS 18 or newer."""
    return graph.program.spec.specificationVersion >= IOS_18
