"""Multiply-accumulates of a Keras model, counted on the graph that runs."""

import math
from collections.abc import Sequence

import tensorflow as tf
import tf_keras as keras
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from keras_mobattn.errors import InputError, expect_kind
from keras_mobattn.layers import GroupNorm1
from keras_mobattn.models.input_shape import input_shape_of
from keras_mobattn.models.trace import trace_inference


def _conv(op):
    height, width, fan_in, _ = op.inputs[1].shape
    return op.outputs[0].shape.num_elements() * height * width * fan_in


def _depthwise(op):
    height, width, _, _ = op.inputs[1].shape
    return op.outputs[0].shape.num_elements() * height * width


def _matmul(op):
    transposed = op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x")
    return op.outputs[0].shape.num_elements() * op.inputs[0].shape[-2 if transposed else -1]


def _einsum(op):
    operands = op.get_attr("equation").decode().split("->")[0].split(",")
    sizes = {}
    for term, x in zip(operands, op.inputs, strict=True):
        first, dots, last = term.partition("...")
        shared = len(x.shape) - len(first) - len(last)
        labels = [*first, *range(-shared, 0), *last] if dots else term  # what the dots stand for, from the last on
        for label, side in zip(labels, x.shape, strict=True):
            sizes[label] = max(side, sizes.get(label, 1))  # a side of 1 is repeated
    return math.prod(sizes.values())


def _transposed_conv(op):
    """Each number of its input is multiplied into height x width x channels of the output."""
    height, width, fan_out, _ = op.inputs[1].shape
    return op.inputs[2].shape.num_elements() * height * width * fan_out


MACS = {
    "Conv2D": _conv,
    "Conv2DBackpropInput": _transposed_conv,
    "DepthwiseConv2dNative": _depthwise,
    "MatMul": _matmul,
    "BatchMatMul": _matmul,
    "BatchMatMulV2": _matmul,
    "Einsum": _einsum,
}


# fvcore, which timm's published figures come from, counts so many operations per element of a normalised map as well.
NORMS = {keras.layers.BatchNormalization: 2, keras.layers.LayerNormalization: 5, GroupNorm1: 5}


def count_macs(model: keras.Model, input_shape: Sequence[int] | None = None, norms: bool = False) -> int:
    """Multiply-accumulates of one example in convolutions, linear layers and matrix products.

    `input_shape` is without the batch, (height, width, channels) or (tokens, dim); it may be left out where the model's
    own is fixed. Element-wise operators don't count, the sums of separable attention among them. With `norms`,
    normalisations count too, as in timm's tables: 2 per element of a batch norm, 5 of a layer or group norm; for a
    functional model at its own size. Papers print the number as "FLOPs" or "GMACs"; one MAC is two floating-point
    operations.

    Raises:
        InputError: an input size that is not fixed, or a graph that hides operators in a compiled function, as Keras
            does with grouped convolutions on a CPU.
    """
    expect_kind("model", model, keras.Model, "a keras.Model", "Load it: keras_mobattn.models.load_model(file).")
    shape = input_shape_of(model)[1:] if input_shape is None else input_shape
    shape = tuple(expect_kind("input_shape", shape, (tuple, list), "numbers, (height, width, channels)"))
    if any(side is None for side in shape):
        raise InputError(
            f"Expected a fixed input size for MACs. Received: {shape}. Pass input_shape=(height, width, channels)."
        )
    try:
        function = trace_inference(lambda x: model(x, training=False), tf.TensorSpec((1, *shape), tf.float32))
    except (ValueError, TypeError) as error:  # Keras's, or TensorFlow's of what is no shape
        raise InputError(f"Expected an input_shape that {model.name!r} takes. Received: {shape}: {error}.") from error
    graph = convert_variables_to_constants_v2(function).graph
    calls = [op.type for op in graph.get_operations() if op.type.endswith("PartitionedCall")]
    if calls:
        raise InputError(
            f"Expected a graph without functions, whose inside count_macs can't see. Received: {len(calls)} {calls[0]}."
        )
    macs = sum(MACS[op.type](op) for op in graph.get_operations() if op.type in MACS)
    return macs + (_count_norms(model, shape) if norms else 0)


def _count_norms(model, shape):
    own = tuple(input_shape_of(model)[1:])
    if own != shape:
        raise InputError(f"Expected the model's own fixed size {own} for count_macs with norms. Received: {shape}.")
    return sum(
        NORMS.get(type(layer), 0) * math.prod(layer.output_shape[1:]) for layer in model.layers if type(layer) in NORMS
    )
