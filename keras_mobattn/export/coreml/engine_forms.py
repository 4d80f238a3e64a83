"""Forms that the Neural Engine is on record to compute right, or at all: the same numbers by other operations.

The record is describe/coreml/rules.py. What it has against a construct is said beside the rewrite, and what that costs.
coremltools is imported at the top, since a rewrite is made of its parts: import this module where it is needed.
"""

import math

import numpy as np
from coremltools.converters.mil.mil import Builder as mb  # noqa: N813  coremltools' own name for it

from keras_mobattn.export.coreml.rewriting import again, kind_of, readers_of

WIDEST_KERNEL = 13
FACTORS = (4, 3, 2)  # of space_to_depth
EPSILON = 6.2e-5  # above float16's smallest normal number
LARGE_MEAN = 16_384  # numbers; of fewer, a norm in one step has room for a deviation of 30
ACTIVATIONS = ("relu", "relu6", "sigmoid", "tanh", "silu", "gelu")


def patches_by_moving(op):
    """conv(x) of kernel and stride 16 -> conv(space_to_depth(space_to_depth(x))) of 1x1: kernels end at 13 on the M1.

    Two operations more; factors above 4, but for 8, are not known to work, so that 16 is 4 times 4.
    """
    if op.op_type != "conv" or op.weight.val is None or len(op.x.shape) != 4:
        return None
    *_, height, width = op.weight.val.shape
    factors = _factors(width)
    is_patches = (height, width) == tuple(op.strides.val) and height == width > WIDEST_KERNEL and factors
    padded = op.pad_type.val == "custom" and any(op.pad.val) or op.pad_type.val.startswith("same")
    fits = all(isinstance(size, int | np.integer) and size % width == 0 for size in op.x.shape[2:])
    if not is_patches or padded or not fits or op.groups.val != 1 or any(each > 1 for each in op.dilations.val):
        return None
    x, weight = op.x, op.weight.val
    for factor in factors:  # the pixels next to each other move first
        x = mb.space_to_depth(x=x, block_size=factor, before_op=op)
        o, c, h, w = weight.shape
        blocks = weight.reshape(o, c, h // factor, factor, w // factor, factor)
        weight = blocks.transpose(0, 3, 5, 1, 2, 4).reshape(o, -1, h // factor, w // factor)
    ones = np.int32([1, 1])
    changes = {"x": x, "weight": weight, "strides": ones, "dilations": ones, "pad_type": "valid", "pad": None}
    return [(op.outputs[0], again(op, **changes))]


def _factors(number):
    """Of FACTORS whose product is `number`; none if it has others."""
    found = []
    for factor in FACTORS:
        while number % factor == 0:
            found.append(factor)
            number //= factor
    return found if number == 1 else []


def means_of_rank_4(op):
    """reduce_mean(x) of a map's pixels -> squeeze(reduce_mean(x, keep_dims)), for `heads_of_rank_4`."""
    if op.op_type != "reduce_mean" or op.keep_dims.val or not _are_pixels(op.x, op.axes):
        return None
    if not any(_weights(reader) is not None for reader in readers_of(op.outputs[0])):
        return None
    x = again(op, keep_dims=True, name=f"{op.name}_map")
    return [(op.outputs[0], mb.squeeze(x=x, axes=np.int32([2, 3]), before_op=op, name=op.name))]


def means_by_steps(op):
    """The mean of a map's pixels and channels -> that of the channels' means of their pixels.

    Whether sums are added up in float16, which ends at 65504, is disputed. A norm over 32 x 32 pixels of 128 channels
    adds up 131,072 squares at once: for a deviation of 11 that is too much, in two steps for one of 128. Two operations
    more for each of these norms.
    """
    if op.op_type != "reduce_mean" or len(op.x.shape) != 4 or op.axes is None or not op.keep_dims.val:
        return None
    axes = sorted(axis % 4 for axis in op.axes.val)
    if axes != [1, 2, 3] or not all(isinstance(size, int | np.integer) for size in op.x.shape):
        return None
    channels, *pixels = op.x.shape[1:]
    if channels * math.prod(pixels) <= LARGE_MEAN or 1 in (channels, math.prod(pixels)):
        return None
    of_pixels = again(op, axes=np.int32([2, 3]), name=f"{op.name}_pixels")
    return [(op.outputs[0], again(op, x=of_pixels, axes=np.int32([1])))]


def heads_of_rank_4(op):
    """linear(squeeze(x)) -> squeeze(conv(x)) of 1x1: a hardswish behind linear layers of rank 2 was off by 4 %.

    One operation more for a head, since the numbers that it gives have rank 2 again.
    """
    weights = _weights(op)
    if weights is None:
        return None
    x = _map_of(op.x)
    x = mb.expand_dims(x=op.x, axes=np.int32([2, 3]), before_op=op, name=f"{op.name}_wide") if x is None else x
    bias = {"bias": op.bias.val} if op.op_type == "linear" and op.bias is not None else {}
    y = mb.conv(x=x, weight=weights[:, :, None, None], pad_type="valid", before_op=op, name=f"{op.name}_map", **bias)
    return [(op.outputs[0], mb.squeeze(x=y, axes=np.int32([2, 3]), before_op=op, name=op.name))]


def _weights(op):
    """The weights [O, C] of a linear layer of rank 2, or of a product with a constant, which one without bias is."""
    if op.op_type == "linear" and len(op.x.shape) == 2:
        return op.weight.val
    is_product = op.op_type == "matmul" and len(op.x.shape) == len(op.y.shape) == 2
    if not is_product or op.y.val is None or op.x.val is not None or op.transpose_x.val:
        return None
    return np.ascontiguousarray(op.y.val if op.transpose_y.val else op.y.val.T)


def _are_pixels(var, axes):
    """Whether the operand `axes` names the last two of four; None names all."""
    return len(var.shape) == 4 and axes is not None and sorted(axis % 4 for axis in axes.val) == [2, 3]


def _map_of(var):
    """What a squeeze makes a value of, a map [n, C, 1, 1]; None where there is none."""
    is_squeezed = kind_of(var) == "squeeze" and _are_pixels(var.op.x, var.op.axes)
    return var.op.x if is_squeezed else None


def sink_squeezes(op):
    """act(squeeze(x)) -> squeeze(act(x)), so that an activation, too, has rank 4."""
    if op.op_type not in (*ACTIVATIONS, "softmax") or len(readers_of(op.x)) > 1:
        return None
    x, axis = _map_of(op.x), {}
    if x is None:
        return None
    if op.op_type == "softmax":
        if op.axis.val % 2 != 1:  # not over the channels
            return None
        axis = {"axis": np.int32(1)}
    inner = again(op, x=x, name=f"{op.name}_map", **axis)
    return [(op.outputs[0], mb.squeeze(x=inner, axes=np.int32([2, 3]), before_op=op, name=op.name))]


def keep_maps(op):
    """expand_dims(squeeze(x)) -> x: between two linear layers the map stays."""
    if op.op_type != "expand_dims" or sorted(axis % 4 for axis in op.axes.val) != [2, 3]:
        return None
    x = _map_of(op.x)
    return None if x is None else [(op.outputs[0], x)]


def larger_epsilons(op):
    """batch_norm with an epsilon that float16 holds as a normal number, and a gamma that makes up for it."""
    if op.op_type != "batch_norm" or np.float32(op.epsilon.val) >= np.float32(EPSILON):  # in which it is rewritten
        return None
    ones = np.ones_like(op.mean.val)
    root = np.sqrt(op.variance.val.astype(np.float64) + op.epsilon.val)
    scale = (1.0 if op.gamma is None else op.gamma.val) / root
    shift = (0.0 if op.beta is None else op.beta.val) - op.mean.val * scale
    gamma = np.float32(scale * np.sqrt(1 + np.float64(np.float32(EPSILON))))
    changes = {"mean": 0 * ones, "variance": ones, "gamma": gamma, "beta": np.float32(shift)}
    return [(op.outputs[0], again(op, **changes, epsilon=np.float32(EPSILON)))]


REWRITES = (
    patches_by_moving,
    means_by_steps,
    means_of_rank_4,
    heads_of_rank_4,
    sink_squeezes,
    keep_maps,
    larger_epsilons,
)
