"""Operators of .tflite files that move values around: they take the options in the schema's words, and the inputs."""

import numpy as np


def reshape(options, x, shape=None):
    """RESHAPE; a -1 takes what is left."""
    return x.reshape([int(size) for size in (options.newShape if shape is None else shape)])


def strided_slice(options, x, begin, end, strides):
    """STRIDED_SLICE: x[begin:end:stride]; a bit of a mask drops a bound, or takes the one element at `begin`."""
    if options.ellipsisMask or options.newAxisMask:
        raise ValueError("a strided slice with an ellipsis or a new axis")
    places = []
    for axis in range(len(begin)):
        bit, first, last = 1 << axis, int(begin[axis]), int(end[axis])
        last = first + last if options.offset else last
        if options.shrinkAxisMask & bit:
            places.append(first)
        else:
            bounds = None if options.beginMask & bit else first, None if options.endMask & bit else last
            places.append(slice(*bounds, int(strides[axis])))
    return x[tuple(places)]


def sliced(_options, x, begin, size):
    """SLICE: `size` elements from `begin` on; -1 takes all that follow."""
    return x[tuple(slice(b, None if s == -1 else b + s) for b, s in zip(begin, size, strict=True))]


def split(options, axis, x):
    """SPLIT into equal parts."""
    return np.split(x, options.numSplits, int(axis))


def split_into(_options, x, sizes, axis):
    """SPLIT_V into parts of the given sizes."""
    return np.split(x, np.cumsum(sizes)[:-1], int(axis))


def space_to_depth(options, x):
    """SPACE_TO_DEPTH: the pixels of each block become channels."""
    (n, h, w, c), b = x.shape, options.blockSize
    return x.reshape(n, h // b, b, w // b, b, c).transpose(0, 1, 3, 2, 4, 5).reshape(n, h // b, w // b, b * b * c)


def depth_to_space(options, x):
    """DEPTH_TO_SPACE, the reverse."""
    (n, h, w, c), b = x.shape, options.blockSize
    c //= b * b
    return x.reshape(n, h, w, b, b, c).transpose(0, 1, 3, 2, 4, 5).reshape(n, h * b, w * b, c)


def resize_nearest(options, x, size):
    """RESIZE_NEAREST_NEIGHBOR of [n, H, W, C]."""
    for axis, target in enumerate(map(int, size), 1):
        at = _grid(x.shape[axis], target, options)
        at = np.floor(at + 0.5) if options.alignCorners or options.halfPixelCenters else np.floor(at)
        x = np.take(x, np.clip(at.astype(int), 0, x.shape[axis] - 1), axis)
    return x


def resize_bilinear(options, x, size):
    """RESIZE_BILINEAR of [n, H, W, C]: linear interpolation along each side."""
    for axis, target in enumerate(map(int, size), 1):
        last = x.shape[axis] - 1
        at = np.clip(_grid(x.shape[axis], target, options), 0, last)
        low = np.floor(at).astype(int)
        share = (at - low).astype(x.dtype).reshape([-1 if each == axis else 1 for each in range(4)])
        x = np.take(x, low, axis) * (1 - share) + np.take(x, np.minimum(low + 1, last), axis) * share
    return x


def _grid(n, m, options):
    """Where, in pixels of an input n long, each of m outputs looks."""
    if options.alignCorners and m > 1:
        return np.arange(m) * ((n - 1) / (m - 1))
    return (np.arange(m) + 0.5) * (n / m) - 0.5 if options.halfPixelCenters else np.arange(m) * (n / m)
