"""The ways from one tensor of a checkpoint to one or several of our variables, and back."""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from keras_mobattn.layers import resample_to


class Transform(NamedTuple):
    """Two functions over arrays, each the other's inverse: torch's layout to Keras's, and back."""

    to_keras: Callable[[np.ndarray], np.ndarray] | None  # None for a subclass that has no need of it
    to_torch: Callable[[np.ndarray], np.ndarray] | None
    # (their tensor, shapes of our variables) -> their tensor, resampled if it was learnt for another image size
    resample: Callable[[np.ndarray, Sequence[tuple[int, ...]]], np.ndarray] = lambda tensor, shapes: tensor

    def split(self, tensor, shapes):
        """Their tensor as our arrays of these shapes, which are its rows in this order."""
        ends = np.cumsum([shape[-1] for shape in shapes[:-1]], dtype=int)
        return [self.to_keras(rows) for rows in np.split(tensor, ends)]

    def join(self, arrays):
        """Our arrays as one tensor of theirs."""
        return np.concatenate([self.to_torch(array) for array in arrays])


SAME = Transform(lambda tensor: tensor, lambda kernel: kernel)
GRID = SAME._replace(
    resample=lambda tensor, shapes: resample_to(tensor, shapes[0])
)  # [h, w, C], for another image size
DENSE = Transform(lambda tensor: tensor.T, lambda kernel: kernel.T)  # [O, I] <-> [I, O]
LINEAR = Transform(lambda tensor: tensor.T[None, None], lambda kernel: kernel[0, 0].T)  # [O, I] <-> [1, 1, I, O]
CONV = Transform(  # [O, I, h, w] <-> [h, w, I, O]
    lambda tensor: tensor.transpose(2, 3, 1, 0), lambda kernel: kernel.transpose(3, 2, 0, 1)
)
DEPTHWISE = Transform(  # [C, 1, h, w] <-> [h, w, C, 1]
    lambda tensor: tensor.transpose(2, 3, 0, 1), lambda kernel: kernel.transpose(2, 3, 0, 1)
)
# MobileViT (v1) was trained on BGR: its stem's input channels are turned round, and the model takes RGB as ours do.
# v2 was trained on RGB. transformers' documentation says BGR of its v2 too, but its weights are Apple's as they are.
BGR_CONV = Transform(
    lambda tensor: tensor[:, ::-1].transpose(2, 3, 1, 0), lambda kernel: kernel.transpose(3, 2, 0, 1)[:, ::-1]
)
TALKING_HEADS = Transform(  # [h, h, 1, 1] <-> [h, h]
    lambda tensor: tensor[:, :, 0, 0], lambda kernel: kernel[:, :, None, None]
)
TOKEN = Transform(lambda tensor: tensor[0, 0], lambda token: token[None, None])  # [1, 1, C] <-> [C]


class Positions(Transform):
    """[1, P + h * w, C] <-> [P, C] and [h, w, C]: positions of the tokens before the patches, and of the patches."""

    def resample(self, tensor, shapes):
        """Resample the patches' positions from a square to the model's grid."""
        prefix, channels = shapes[0]
        side = math.isqrt(max(tensor.shape[1] - prefix, 0)) if tensor.ndim == 3 else 0
        if tensor.shape != (1, prefix + side**2, channels):
            return tensor
        rows, columns, _ = shapes[1]
        if rows * columns == side**2 and rows != columns:  # a file doesn't tell its grid
            warnings.warn(
                f"The file's positions are taken for those of {side} x {side} patches, as published. If they are of "
                f"{rows} x {columns}, as the model's, save that model as .keras, which keeps them as they are.",
                stacklevel=2,
            )
        patches = resample_to(tensor[0, prefix:].reshape(side, side, channels), shapes[1])
        return np.concatenate([tensor[0, :prefix], patches.reshape(-1, channels)])[None]

    def split(self, tensor, shapes):
        """The first P rows, and the others as a map."""
        prefix = shapes[0][0]
        return [tensor[0, :prefix], tensor[0, prefix:].reshape(shapes[1])]

    def join(self, arrays):
        """Both, one after the other, as one tensor."""
        return np.concatenate([arrays[0], arrays[1].reshape(-1, arrays[1].shape[-1])])[None]


class BiasTable(Transform):
    """[h, rows * columns] <-> [rows, columns, h]: biases by the distance between a query and a key."""

    def resample(self, tensor, shapes):
        """Resample the table to the model's grid.

        A file doesn't tell its grid: with another number of biases than the model's it is taken for a square.
        """
        (rows, columns, heads), side = shapes[0], math.isqrt(tensor.shape[-1])
        if tensor.shape != (heads, side**2) or side**2 == rows * columns:
            return tensor
        return resample_to(tensor.T.reshape(side, side, heads), shapes[0]).reshape(-1, heads).T

    def split(self, tensor, shapes):
        """A list of the one table."""
        return [tensor.T.reshape(shapes[0])]

    def join(self, arrays):
        """The table with a row for each head."""
        return arrays[0].reshape(-1, arrays[0].shape[-1]).T


class ByAnchor(Transform):
    """[n * (4 + K), ..] <-> [.., n * 4] and [.., n * K]: for each of n anchors four offsets and K scores."""

    def split(self, tensor, shapes):
        """The offsets of all anchors, and the scores of all."""
        anchors = shapes[0][-1] // OFFSETS
        rows = tensor.reshape(anchors, -1, *tensor.shape[1:])
        return [self.to_keras(part.reshape(-1, *tensor.shape[1:])) for part in (rows[:, :OFFSETS], rows[:, OFFSETS:])]

    def join(self, arrays):
        """Anchor by anchor, its offsets before its scores."""
        anchors = arrays[0].shape[-1] // OFFSETS
        rows = [self.to_torch(array) for array in arrays]
        rows = np.concatenate([each.reshape(anchors, -1, *each.shape[1:]) for each in rows], 1)
        return rows.reshape(-1, *rows.shape[2:])


OFFSETS = 4  # of a box from its anchor
POSITIONS, BIAS_TABLE = Positions(None, None), BiasTable(None, None)
ANCHORED, ANCHORED_CONV = ByAnchor(*SAME[:2]), ByAnchor(*CONV[:2])
