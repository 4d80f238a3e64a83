"""The operations of Core ML's MIL language in numpy: one small function each, under its MIL name, in the table OPS.

Each takes its operands by their MIL names, as float32 arrays (int32, bool, str where the operand is one), and returns
float32. The defaults are MIL's own (coremltools/converters/mil/mil/ops/defs), whose docstrings are the specification.
Feature maps are channels first [n, C, H, W]. An operand that a function doesn't name is an error, never ignored.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf  # for convolutions alone: numpy has none that is fast enough


def conv(x, weight, bias=None, strides=(1, 1), pad_type="valid", pad=(0, 0, 0, 0), dilations=(1, 1), groups=1):
    """2-D convolution of [n, C, H, W] with [O, C / groups, kH, kW], or the same in 1-D."""
    if x.ndim == 3:
        options = (1, *strides), pad_type, (0, 0, *pad)[-4:], (1, *dilations), groups
        return conv(x[:, :, None], weight[:, :, None], bias, *options)[:, :, 0]
    sides = _pads(x.shape[2:], weight.shape[2:], strides, pad_type, pad, dilations)
    x = tf.transpose(tf.pad(x, [(0, 0), (0, 0), *sides]), [0, 2, 3, 1])
    kernel = tf.transpose(weight, [2, 3, 1, 0])  # [kH, kW, C / groups, O]
    groups = int(groups)
    if groups == x.shape[-1] and kernel.shape[2] == 1:  # depthwise: output o comes from channel o // (O / C)
        kernel = tf.reshape(kernel, [*kernel.shape[:2], groups, -1])
        # tf.nn.depthwise_conv2d wants equal strides; that is also all that Keras has.
        y = tf.nn.depthwise_conv2d(x, kernel, [1, *strides, 1], "VALID", dilations=list(dilations))
    else:
        parts = zip(tf.split(x, groups, axis=-1), tf.split(kernel, groups, axis=-1), strict=True)
        y = tf.concat(
            [tf.nn.conv2d(a, k, list(strides), "VALID", dilations=list(dilations)) for a, k in parts], axis=-1
        )
    y = y if bias is None else y + bias
    return tf.transpose(y, [0, 3, 1, 2]).numpy()


def conv_transpose(
    x, weight, bias=None, pad=(0, 0, 0, 0), output_shape=None, pad_type="valid", strides=(1, 1), dilations=(1, 1),
    groups=1,
):  # fmt: skip
    """The gradient of a 2-D convolution, of [n, C, H, W] with [C, O / groups, kH, kW], or the same in 1-D."""
    if x.ndim == 3:
        shape = None if output_shape is None else (*output_shape[:2], 1, output_shape[2])
        options = (0, 0, *pad)[-4:], shape, pad_type, (1, *strides), (1, *dilations), groups
        return conv_transpose(x[:, :, None], weight[:, :, None], bias, *options)[:, :, 0]
    if set(map(int, dilations)) != {1}:
        raise ValueError("conv_transpose with dilations")
    whole = [(n - 1) * s + k for n, s, k in zip(x.shape[2:], strides, weight.shape[2:], strict=True)]
    parts = [
        tf.nn.conv2d_transpose(a, k, (len(x), *whole, k.shape[2]), list(strides), "VALID")
        for a, k in zip(
            tf.split(tf.transpose(x, [0, 2, 3, 1]), int(groups), -1),
            tf.split(tf.transpose(weight, [2, 3, 1, 0]), int(groups), -1),
            strict=True,
        )
    ]
    y = tf.transpose(tf.concat(parts, -1), [0, 3, 1, 2]).numpy()
    for axis, (have, stride) in enumerate(zip(whole, strides, strict=True)):
        before, after = pad[2 * axis : 2 * axis + 2] if pad_type == "custom" else (0, 0)
        size = x.shape[2 + axis] * stride if pad_type.startswith("same") else have - before - after
        size = size if output_shape is None else int(output_shape[2 + axis])
        if pad_type.startswith("same"):  # an odd one is taken from the end, as in TensorFlow, or from the start
            cut = max(have - size, 0)
            before = -(-cut // 2) if pad_type == "same_lower" else cut // 2
        y = np.take(y, range(before, min(before + size, have)), axis=2 + axis)
        missing = [(0, 0)] * 4
        missing[2 + axis] = (0, size - y.shape[2 + axis])  # what no kernel reaches
        y = np.pad(y, missing)
    return y if bias is None else y + bias[:, None, None]


def pooling(reduce, padding):
    """A 2-D pooling operation: `reduce` over the last two axes of windows, `padding` around the map."""

    def run(x, kernel_sizes, strides=(1, 1), pad_type="valid", pad=(0, 0, 0, 0), **options):
        excluded = options.pop("exclude_padding_from_average", False)
        if options.pop("ceil_mode", False) or options:
            raise ValueError(f"pooling with ceil_mode or {list(options)}")
        sides = [(0, 0), (0, 0), *_pads(x.shape[2:], kernel_sizes, strides, pad_type, pad)]

        def pool(values):
            padded = np.pad(values, sides, constant_values=padding)
            windows = np.lib.stride_tricks.sliding_window_view(padded, tuple(kernel_sizes), axis=(2, 3))
            return reduce(windows[:, :, :: strides[0], :: strides[1]], axis=(-2, -1))

        return pool(x) / pool(np.ones_like(x)) if excluded else pool(x)

    return run


def _pads(size, kernel, strides, pad_type, pad, dilations=(1, 1)):
    """Return [(top, bottom), (left, right)] in pixels."""
    if pad_type == "custom":
        return [(pad[0], pad[1]), (pad[2], pad[3])]
    if pad_type == "valid":
        return [(0, 0), (0, 0)]
    sides = []
    for n, k, stride, dilation in zip(size, kernel, strides, dilations, strict=True):
        total = max((-(-n // stride) - 1) * stride + (k - 1) * dilation + 1 - n, 0)  # so that ceil(n / stride) come out
        sides.append((total // 2, total - total // 2))  # an odd one goes to the end, as in TensorFlow,
    return [side[::-1] for side in sides] if pad_type == "same_lower" else sides  # or to the start


def matmul(x, y, transpose_x=False, transpose_y=False):
    """Matrix product over the last two axes."""
    return np.matmul(np.swapaxes(x, -1, -2) if transpose_x else x, np.swapaxes(y, -1, -2) if transpose_y else y)


def linear(x, weight, bias=0.0):
    """x W^T + b with W [O, C]."""
    return x @ weight.T + bias


def batch_norm(x, mean, variance, gamma=None, beta=None, epsilon=1e-5):
    """Normalise axis 1 by given statistics."""
    shape = (-1,) + (1,) * (x.ndim - 2)
    scale = (1.0 if gamma is None else gamma) / np.sqrt(variance + epsilon)
    shift = (0.0 if beta is None else beta) - mean * scale
    return x * scale.reshape(shape) + shift.reshape(shape)


def layer_norm(x, axes=None, gamma=None, beta=None, epsilon=1e-5):
    """Normalise over `axes` by their own mean and variance; gamma and beta have the shape of those axes."""
    axes = tuple(sorted(a % x.ndim for a in (range(x.ndim) if axes is None else axes)))
    shape = [x.shape[a] if a in axes else 1 for a in range(x.ndim)]
    y = x - x.mean(axis=axes, keepdims=True)
    y = y / np.sqrt(np.square(y).mean(axis=axes, keepdims=True) + epsilon)
    y = y if gamma is None else y * gamma.reshape(shape)
    return y if beta is None else y + beta.reshape(shape)


def softmax(x, axis=-1):
    """exp(x) over its sum along one axis."""
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def sigmoid(x):
    """1 / (1 + exp(-x)), by tanh, which can't overflow."""
    return 0.5 * np.tanh(0.5 * x) + 0.5


def gelu(x, mode="EXACT"):
    """x times the normal distribution function of x, or one of its two approximations."""
    return {
        "EXACT": lambda: 0.5 * x * (1 + tf.math.erf(x / np.float32(np.sqrt(2))).numpy()),
        "TANH_APPROXIMATION": lambda: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
        "SIGMOID_APPROXIMATION": lambda: x * sigmoid(1.702 * x),
    }[mode]()


def elu(x, alpha=1.0):
    """x where positive, alpha (exp(x) - 1) elsewhere."""
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def resize_nearest_neighbor(x, target_size_height, target_size_width):
    """Resize the last two axes: each pixel is the one at its place, rounded down."""
    for axis, target in ((-2, int(target_size_height)), (-1, int(target_size_width))):
        x = np.take(x, np.arange(target) * x.shape[axis] // target, axis)
    return x


def space_to_depth(x, block_size):
    """Pixels of each block become channels; the position within the block is the slower index of the new channels."""
    n, c, h, w = x.shape
    b = int(block_size)
    x = x.reshape(n, c, h // b, b, w // b, b).transpose(0, 3, 5, 1, 2, 4)
    return x.reshape(n, b * b * c, h // b, w // b)


def depth_to_space(x, block_size):
    """Undo space_to_depth."""
    n, c, h, w = x.shape
    b = int(block_size)
    x = x.reshape(n, b, b, c // (b * b), h, w).transpose(0, 3, 4, 1, 5, 2)
    return x.reshape(n, c // (b * b), h * b, w * b)


def upsample_bilinear(x, scale_factor_height=1, scale_factor_width=1, align_corners=True):
    """Resize the last two axes by a factor; the factor is recomputed from the whole-numbered output size."""
    mode = "STRICT_ALIGN_CORNERS" if align_corners else "UNALIGN_CORNERS"
    height, width = int(x.shape[-2] * scale_factor_height), int(x.shape[-1] * scale_factor_width)
    return resize_bilinear(x, height, width, mode)


def resize_bilinear(x, target_size_height=1, target_size_width=1, sampling_mode="DEFAULT", half_pixel_centers=None):
    """Resize the last two axes by linear interpolation along each."""
    if half_pixel_centers is not None:
        raise ValueError("resize_bilinear with half_pixel_centers")
    for axis, target in ((-2, int(target_size_height)), (-1, int(target_size_width))):
        size = x.shape[axis]
        at = np.clip(_GRIDS[sampling_mode](size, target), 0, size - 1)
        low = np.minimum(at.astype(int), max(size - 2, 0))
        share = (at - low).astype(np.float32)
        share = share[:, None] if axis == -2 else share
        x = np.take(x, low, axis) * (1 - share) + np.take(x, np.minimum(low + 1, size - 1), axis) * share
    return x


_GRIDS = {  # where, in pixels of an input n long, each of m outputs looks
    "STRICT_ALIGN_CORNERS": lambda n, m: np.arange(m) * ((n - 1) / max(m - 1, 1)),
    "ALIGN_CORNERS": lambda n, m: np.arange(m) * ((n - 1) / (m - 1)) if m > 1 else np.array([(n - 1) / 2]),
    "DEFAULT": lambda n, m: np.arange(m) * ((n - n / m) / max(m - 1, 1)),
    "OFFSET_CORNERS": lambda n, m: (np.arange(m) + 0.5) * (max(1, n - 1) / m),
    "UNALIGN_CORNERS": lambda n, m: (np.arange(m) + 0.5) * (n / m) - 0.5,
}


def slice_by_index(x, begin, end, stride=None, begin_mask=None, end_mask=None, squeeze_mask=None):
    """x[begin:end:stride] on every axis; a mask drops the bound, a squeeze mask takes the one element at `begin`."""
    no = (False,) * x.ndim
    strides, no_begin, no_end, one = stride if stride is not None else (1,) * x.ndim, begin_mask, end_mask, squeeze_mask
    no_begin, no_end, one = (no if m is None else m for m in (no_begin, no_end, one))
    return x[
        tuple(
            int(begin[a]) if one[a]
            else slice(None if no_begin[a] else begin[a], None if no_end[a] else end[a], strides[a])
            for a in range(x.ndim)
        )
    ]  # fmt: skip


def slice_by_size(x, begin, size):
    """`size` elements from `begin` on every axis; size -1 takes all that follow."""
    return x[tuple(slice(b, None if s == -1 else b + s) for b, s in zip(begin, size, strict=True))]


def split(x, axis, num_splits=None, split_sizes=None):
    """Cut into equal parts, or into parts of the given sizes. Returns a list."""
    return np.split(x, num_splits if split_sizes is None else np.cumsum(split_sizes)[:-1], axis=axis)


def concat(values, axis, interleave=False):
    """Side by side along an axis; scalars, sizes for instance, become a vector."""
    if interleave:
        raise ValueError("concat with interleave")
    return np.concatenate([np.atleast_1d(value) for value in values], axis)


def pad(x, pad, mode="constant", constant_val=0.0):
    """Pad the last len(pad) / 2 axes."""
    sides = [(0, 0)] * (x.ndim - len(pad) // 2) + [tuple(p) for p in np.reshape(pad, (-1, 2))]
    if mode == "constant":
        return np.pad(x, sides, constant_values=constant_val)
    return np.pad(x, sides, mode={"reflect": "reflect", "replicate": "edge"}[mode])


def reshape(x, shape):
    """A 0 keeps the size of that axis, a -1 takes what is left."""
    return x.reshape([x.shape[a] if size == 0 else size for a, size in enumerate(shape)])


def cast(x, dtype):
    """To another type; to fp16 and fp32 by the rounding to the declared type that follows every operation."""
    return x if dtype in ("fp16", "fp32") else x.astype(dtype)  # the others have numpy's names


def quantize(input, scale, output_dtype, zero_point=None, axis=None):  # noqa: A002  MIL's own name
    """The nearest integers of input / scale, and the zero point beyond them, within the type."""
    scale, zero_point = _along(scale, axis, input), _along(0 if zero_point is None else zero_point, axis, input)
    limits = np.iinfo(output_dtype)
    return np.clip(np.rint(input / scale) + zero_point, limits.min, limits.max).astype(output_dtype)


def dequantize(input, scale, zero_point=None, axis=None):  # noqa: A002
    """scale * (input - zero point)."""
    zero_point = _along(0 if zero_point is None else zero_point, axis, input)
    return (input.astype(np.float32) - zero_point) * _along(scale, axis, input)


def _along(values, axis, x):
    """A number, or one for each index of `axis` of x, as float32."""
    values = np.asarray(values, np.float32)
    return values if not values.ndim else values.reshape([-1 if a == int(axis) % x.ndim else 1 for a in range(x.ndim)])


def classify(probabilities, classes):
    """A classifier's two outputs: the most likely label, and {label: probability}."""
    scores = probabilities.reshape(-1)
    return [classes[int(scores.argmax())], dict(zip(classes, scores, strict=True))]


def reduction(reduce):
    """An operation that folds axes by a numpy function."""

    def run(x, axes=None, keep_dims=False):
        return reduce(x, axis=None if axes is None else tuple(axes), keepdims=bool(keep_dims))

    return run


def reduce_argmax(x, axis=-1, keep_dims=False, output_dtype="int32"):
    """The place of the largest value along an axis; of several the first, which MIL leaves open."""
    return np.argmax(x, int(axis), keepdims=bool(keep_dims)).astype(output_dtype)


OPS: dict[str, Callable[..., Any]] = {
    # of two operands
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "real_div": lambda x, y: x / y,
    "maximum": lambda x, y: np.maximum(x, y),
    "minimum": lambda x, y: np.minimum(x, y),
    "pow": lambda x, y: np.power(x, y),
    "greater": lambda x, y: x > y,
    "not_equal": lambda x, y: x != y,
    "select": lambda cond, a, b: np.where(cond, a, b),
    # of one
    "abs": lambda x: np.abs(x),
    "exp": lambda x: np.exp(x),
    "sqrt": lambda x: np.sqrt(x),
    "square": lambda x: np.square(x),
    "rsqrt": lambda x, epsilon=1e-12: 1 / np.sqrt(x + epsilon),
    "inverse": lambda x, epsilon=1e-4: 1 / (x + epsilon),
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "tanh": lambda x: np.tanh(x),
    "silu": lambda x: x * sigmoid(x),
    "sigmoid": sigmoid,
    "gelu": gelu,
    "erf": lambda x: tf.math.erf(x).numpy(),
    "softplus": lambda x: np.logaddexp(x, np.float32(0)),
    "leaky_relu": lambda x, alpha=0.01: np.where(x >= 0, x, alpha * x),
    "elu": elu,
    "softmax": softmax,
    "cast": cast,
    "quantize": quantize,
    "dequantize": dequantize,
    # over axes
    "reduce_sum": reduction(np.sum),
    "reduce_mean": reduction(np.mean),
    "reduce_max": reduction(np.max),
    "reduce_argmax": reduce_argmax,
    "batch_norm": batch_norm,
    "layer_norm": layer_norm,
    # products and convolutions
    "matmul": matmul,
    "linear": linear,
    "conv": conv,
    "conv_transpose": conv_transpose,
    "avg_pool": pooling(np.mean, 0.0),  # zeros of the padding count in the mean unless excluded
    "max_pool": pooling(np.max, -np.inf),
    # moving values around
    "transpose": lambda x, perm: np.transpose(x, perm),
    "reshape": reshape,
    "expand_dims": lambda x, axes: np.expand_dims(x, tuple(axes)),
    "squeeze": lambda x, axes=None: np.squeeze(x, None if axes is None else tuple(axes)),
    "concat": concat,
    "split": split,
    "slice_by_index": slice_by_index,
    "slice_by_size": slice_by_size,
    "tile": lambda x, reps: np.tile(x, reps),
    "pad": pad,
    "space_to_depth": space_to_depth,
    "depth_to_space": depth_to_space,
    "upsample_bilinear": upsample_bilinear,
    "resize_nearest_neighbor": resize_nearest_neighbor,
    "resize_bilinear": resize_bilinear,
    # shapes computed at run time, in packages for several input sizes
    "shape": lambda x: np.int32(x.shape),
    "floor_div": lambda x, y: x // y,
    # a classifier's outputs
    "classify": classify,
}
