"""Convolutions, matrix products and pools of .tflite files, over an arithmetic that says how they are summed.

Each function takes the arithmetic, the operator's options in the schema's words, and its inputs. Maps are
[n, H, W, C]. A convolution's terms are ordered by row, column and channel of its kernel.
"""

import numpy as np


def convolution(arithmetic, options, x, kernel, bias=0):
    """CONV_2D with a kernel [O, h, w, C / groups]."""
    size, dilations = kernel.shape[1:3], (options.dilationHFactor, options.dilationWFactor)
    strides = options.strideH, options.strideW
    x = _padded(x, size, strides, dilations, options.padding)
    return _convolution(arithmetic, x, kernel, strides, dilations) + bias


def _convolution(arithmetic, x, kernel, strides, dilations):
    windows = np.moveaxis(_windows(x, kernel.shape[1:3], strides, dilations), 3, -1)  # [n, H, W, h, w, C]
    groups = x.shape[-1] // kernel.shape[-1]
    parts = [
        arithmetic.matmul(part.reshape(-1, kernel[0].size), weights.reshape(len(weights), -1).T)
        for part, weights in zip(np.split(windows, groups, -1), np.split(kernel, groups), strict=True)
    ]
    return np.concatenate(parts, -1).reshape(*windows.shape[:3], len(kernel))


def depthwise(arithmetic, options, x, kernel, bias=0):
    """DEPTHWISE_CONV_2D with a kernel [1, h, w, C * multiplier]."""
    size, dilations = kernel.shape[1:3], (options.dilationHFactor, options.dilationWFactor)
    strides = options.strideH, options.strideW
    x = np.repeat(x, kernel.shape[-1] // x.shape[-1], -1)
    windows = _windows(_padded(x, size, strides, dilations, options.padding), size, strides, dilations)
    taps = [(row, column) for row in range(size[0]) for column in range(size[1])]
    return arithmetic.chain((windows[..., row, column], kernel[0, row, column]) for row, column in taps) + bias


def transposed(arithmetic, options, shape, kernel, x, bias=0):
    """TRANSPOSE_CONV with a kernel [O, h, w, C]: a convolution of the map with zeros between its pixels."""
    strides, size = (options.strideH, options.strideW), kernel.shape[1:3]
    height, width = ((n - 1) * stride + 1 for n, stride in zip(x.shape[1:3], strides, strict=True))
    spread = np.zeros((len(x), height, width, x.shape[-1]), x.dtype)
    spread[:, :: strides[0], :: strides[1]] = x
    spread = np.pad(spread, [(0, 0), *((k - 1, k - 1) for k in size), (0, 0)])
    y = _convolution(arithmetic, spread, kernel[:, ::-1, ::-1], (1, 1), (1, 1))
    for axis, wanted in enumerate(map(int, shape[1:3]), 1):
        before = max(y.shape[axis] - wanted, 0) // 2 if options.padding == "SAME" else 0
        y = np.take(y, range(before, min(before + wanted, y.shape[axis])), axis)
        y = np.pad(y, [(0, wanted - y.shape[axis]) if each == axis else (0, 0) for each in range(4)])
    return y + bias


def dense(arithmetic, options, x, weights, bias=0):
    """FULLY_CONNECTED with weights [O, C]."""
    y = arithmetic.matmul(x.reshape(-1, weights.shape[-1]), weights.T) + bias
    return y.reshape(*x.shape[:-1], len(weights)) if options.keepNumDims else y


def matrix_product(arithmetic, options, a, b):
    """BATCH_MATMUL over the last two axes, either of them transposed first."""
    a = np.swapaxes(a, -1, -2) if options.adjX else a
    b = np.swapaxes(b, -1, -2) if options.adjY else b
    return arithmetic.matmul(a, b)


def average_pool(arithmetic, options, x):
    """AVERAGE_POOL_2D: what was padded doesn't count."""
    counts = _pool_windows(options, np.ones((1, *x.shape[1:3], 1), x.dtype), 0).sum((-1, -2))
    return arithmetic.total(_pool_windows(options, x, 0), (-2, -1))[..., 0, 0] / counts


def max_pool(_arithmetic, options, x):
    """MAX_POOL_2D."""
    return _pool_windows(options, x, -np.inf).max((-1, -2))


def _pool_windows(options, x, padding):
    size, strides = (options.filterHeight, options.filterWidth), (options.strideH, options.strideW)
    return _windows(_padded(x, size, strides, (1, 1), options.padding, padding), size, strides, (1, 1))


def _padded(x, size, strides, dilations, padding, value=0):
    """Padded so that ceil(n / stride) windows fit where `padding` is "SAME"; an odd pixel goes to the end."""
    if padding == "VALID":
        return x
    sides = [(0, 0)]
    for n, k, stride, dilation in zip(x.shape[1:3], size, strides, dilations, strict=True):
        sides.append(same_padding(n, (k - 1) * dilation + 1, stride))
    return np.pad(x, [*sides, (0, 0)], constant_values=value)


def same_padding(side, size, stride):
    """The pixels that padding "SAME" puts before and behind `side` of them."""
    missing = max((-(-side // stride) - 1) * stride + size - side, 0)
    return missing // 2, missing - missing // 2


def _windows(x, size, strides, dilations):
    """[n, H, W, C, h, w]: what each place of the result sees."""
    reach = tuple((k - 1) * dilation + 1 for k, dilation in zip(size, dilations, strict=True))
    windows = np.lib.stride_tricks.sliding_window_view(x, reach, (1, 2))
    return windows[:, :: strides[0], :: strides[1], :, :: dilations[0], :: dilations[1]]
