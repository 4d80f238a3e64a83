"""The operators of .tflite files by their names in the schema: OPERATORS.

An entry takes an arithmetic (arithmetic.py), the operator's options in the schema's words, and its inputs, and returns
its output, or a list of them, in the type that the inputs have. What it says is computed between two roundings.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import erf

from keras_mobattn.half import moves, products

ACTIVATIONS = {  # fused behind an operator, before its output is rounded
    "NONE": lambda x: x,
    "RELU": lambda x: np.maximum(x, 0),
    "RELU_N1_TO_1": lambda x: np.clip(x, -1, 1),
    "RELU6": lambda x: np.clip(x, 0, 6),
    "TANH": np.tanh,
}


def sigmoid(x):
    """1 / (1 + exp(-x)), by tanh, which can't overflow."""
    return 0.5 * np.tanh(0.5 * x) + 0.5


def softmax(arithmetic, options, x):
    """SOFTMAX over the last axis."""
    e = np.exp(options.beta * (x - x.max(-1, keepdims=True)))
    return e / arithmetic.total(e, (-1,))


def gelu(_arithmetic, options, x):
    """GELU, x times the normal distribution function of x, or its approximation by tanh."""
    if options.approximate:
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi).astype(x.dtype) * (x + 0.044715 * x * x * x)))
    return 0.5 * x * (1 + erf(x * np.sqrt(0.5).astype(x.dtype)))


def l2_normalization(arithmetic, _options, x):
    """L2_NORMALIZATION over the last axis."""
    return x / np.sqrt(np.maximum(arithmetic.total(x * x, (-1,)), np.asarray(1e-12, x.dtype)))


def _sum(arithmetic, options, x, axes):
    axes = tuple(int(axis) % x.ndim for axis in np.atleast_1d(axes))
    total = arithmetic.total(x, axes)
    return total if options.keepDims else np.squeeze(total, axes)


def _mean(arithmetic, options, x, axes):
    """The sum, then divided: it overflows where the sum does."""
    return _sum(arithmetic, options, x, axes) / np.asarray(_count(x, axes), x.dtype)


def _count(x, axes):
    return np.prod([x.shape[int(axis)] for axis in np.atleast_1d(axes)])


def _reduction(reduce):
    """A reduction that rounds nothing."""
    return lambda _, options, x, axes: reduce(x, axis=tuple(np.atleast_1d(axes)), keepdims=bool(options.keepDims))


_ELEMENTWISE = {
    "ABS": np.abs,
    "ADD": np.add,
    "CAST": lambda x: x,
    "DEQUANTIZE": lambda x: x,  # the evaluator converts what comes in and goes out quantized
    "DIV": np.divide,
    "ELU": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "EXP": np.exp,
    "HARD_SWISH": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "LOG": np.log,
    "LOGISTIC": sigmoid,
    "MAXIMUM": np.maximum,
    "MINIMUM": np.minimum,
    "MUL": np.multiply,
    "NEG": np.negative,
    "POW": np.power,
    "QUANTIZE": lambda x: x,
    "RELU": ACTIVATIONS["RELU"],
    "RELU6": ACTIVATIONS["RELU6"],
    "RELU_N1_TO_1": ACTIVATIONS["RELU_N1_TO_1"],
    "RSQRT": lambda x: 1 / np.sqrt(x),
    "SQRT": np.sqrt,
    "SQUARE": np.square,
    "SQUARED_DIFFERENCE": lambda x, y: (x - y) * (x - y),
    "SUB": np.subtract,
    "TANH": np.tanh,
}
_MOVES = {
    "BROADCAST_TO": lambda _, x, shape: np.broadcast_to(x, tuple(shape)),
    "CONCATENATION": lambda options, *parts: np.concatenate(parts, options.axis),
    "DEPTH_TO_SPACE": moves.depth_to_space,
    "GATHER": lambda options, x, places: np.take(x, places, options.axis),
    "PACK": lambda options, *parts: np.stack(parts, options.axis),
    "PAD": lambda _, x, sides: np.pad(x, sides.astype(int)),
    "RESHAPE": moves.reshape,
    "RESIZE_BILINEAR": moves.resize_bilinear,
    "RESIZE_NEAREST_NEIGHBOR": moves.resize_nearest,
    "SLICE": moves.sliced,
    "SPACE_TO_DEPTH": moves.space_to_depth,
    "SPLIT": moves.split,
    "SPLIT_V": moves.split_into,
    "STRIDED_SLICE": moves.strided_slice,
    "TILE": lambda _, x, times: np.tile(x, times),
    "TRANSPOSE": lambda _, x, order: np.transpose(x, order),
}
OPERATORS: dict[str, Callable[..., Any]] = {
    **{kind: lambda _, __, *inputs, run=run: run(*inputs) for kind, run in _ELEMENTWISE.items()},
    **{kind: lambda _, options, *inputs, run=run: run(options, *inputs) for kind, run in _MOVES.items()},
    "ARG_MAX": lambda _, __, x, axis: np.argmax(x, int(np.squeeze(axis))),
    "AVERAGE_POOL_2D": products.average_pool,
    "BATCH_MATMUL": products.matrix_product,
    "CONV_2D": products.convolution,
    "DEPTHWISE_CONV_2D": products.depthwise,
    "FULLY_CONNECTED": products.dense,
    "GELU": gelu,
    "L2_NORMALIZATION": l2_normalization,
    "MAX_POOL_2D": products.max_pool,
    "MEAN": _mean,
    "REDUCE_MAX": _reduction(np.max),
    "REDUCE_MIN": _reduction(np.min),
    "SOFTMAX": softmax,
    "SUM": _sum,
    "TRANSPOSE_CONV": products.transposed,
}
