"""How one tensor of a checkpoint becomes a variable of ours, and back."""

import math
from typing import NamedTuple

import numpy as np

from keras_mobattn.layers.resize import resize_bicubic


class Transform(NamedTuple):
    """Two functions over arrays, each the other's inverse: torch's layout to Keras's, and back."""

    to_keras: callable
    to_torch: callable
    # (their tensor, the shapes of ours) -> theirs, resampled for the model's input size, where it hangs on that
    fit: callable = lambda tensor, shapes: tensor

    def split(self, tensor, shapes):
        """Their tensor as ours of these shapes: its rows, in their order."""
        ends = np.cumsum([shape[-1] for shape in shapes[:-1]], dtype=int)
        return [self.to_keras(rows) for rows in np.split(tensor, ends)]

    def join(self, arrays):
        """Our arrays as their tensor."""
        return np.concatenate([self.to_torch(array) for array in arrays])


SAME = Transform(lambda tensor: tensor, lambda kernel: kernel)
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


class BiasTable(Transform):
    """[h, rows * columns] <-> [h, rows, columns]."""

    def split(self, tensor, shapes):
        return [tensor.reshape(shape) for shape in shapes]


def _fit_biases(tensor, shapes):
    """The table for the model's grid. A file doesn't tell its own: square, where the number of biases is another."""
    (_, rows, columns), side = shapes[0], math.isqrt(tensor.shape[-1])
    if tensor.ndim != 2 or tensor.shape[1] == rows * columns or tensor.shape[1] != side**2:
        return tensor
    return _fit_table(tensor.reshape(-1, side, side), shapes).reshape(-1, rows * columns)


def _fit_table(table, shapes):
    """[h, rows, columns], resized where the model's has other rows or columns."""
    return np.asarray(resize_bicubic(table[..., None], shapes[0][1:]))[..., 0]


BIAS_TABLE = BiasTable(None, lambda table: table.reshape(len(table), -1), _fit_biases)
SAME_BIAS_TABLE = SAME._replace(fit=_fit_table)
