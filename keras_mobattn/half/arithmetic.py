"""How sums and products are computed in each mode: float32, and three that round to float16 more and more.

A float16 is held in a float32, as IEEE 754 rounds it: to nearest, ties to even, with subnormals; what would be 65520 or
more is infinite. Sums of float16 have one order: terms are taken in blocks of four, a block is summed one term after
the other, and the blocks' sums are added one after the other; each addition is rounded. A device may have another
order, keep sums in float32, or flush subnormals to zero.
"""

from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from keras_mobattn.formats.float16 import HALF_NORMAL

BLOCK = 4
_AT_ONCE = 16384  # values that are rounded together: what they need stays in a core's cache
_EXPONENT = np.uint32(0x7F800000)
# x + m - m with m = 1.5 * 2^13 * 2^e keeps multiples of 2^(e - 10), since m has float32's unit there.
_TO_UNIT = np.float32(1.5 * 2**13)
_LOWEST, _HIGHEST = np.float32(HALF_NORMAL), np.float32(2**17)
_UP, _DOWN = np.float32(2.0**112), np.float32(2.0**-112)  # 65536 and more become infinite on the way


@np.errstate(all="ignore")  # an overflow is a result here
def round_to_half(values: ArrayLike) -> np.ndarray:
    """Return float32 values rounded to float16, as float32. numpy's own conversion takes ten times as long."""
    rounded = np.array(values, np.float32)
    flat = rounded.reshape(-1)
    scratch = np.empty((2, min(flat.size, _AT_ONCE)), np.float32)
    for start in range(0, flat.size, _AT_ONCE):
        part = flat[start : start + _AT_ONCE]
        _round(part, *scratch[:, : part.size])
    return flat.reshape(rounded.shape)


def _round(x, y, m):
    """Round `x` in place; `y` and `m` are scratch of its shape."""
    np.bitwise_and(x.view(np.uint32), _EXPONENT, out=m.view(np.uint32))  # 2^e, infinite for infinity and NaN
    np.maximum(m, _LOWEST, out=m)
    np.minimum(m, _HIGHEST, out=m)
    np.multiply(m, _TO_UNIT, out=m)
    np.add(x, m, out=y)
    np.subtract(y, m, out=y)
    np.multiply(y, _UP, out=y)
    np.multiply(y, _DOWN, out=y)
    np.copysign(y, x, out=x)  # of zero too


def running_sums(terms, dtype):
    """Return the sums of the first 4, 8, 12, ... of `terms` [..., n] along the last axis, in `dtype` and its order."""
    missing = -terms.shape[-1] % BLOCK
    padded = np.pad(terms, [(0, 0)] * (terms.ndim - 1) + [(0, missing)]).astype(dtype)
    blocks = padded.reshape(*terms.shape[:-1], -1, BLOCK)
    sums = blocks[..., 0]
    for place in range(1, BLOCK):
        sums = sums + blocks[..., place]
    return np.add.accumulate(sums, axis=-1)


class Float32:
    """Everything in the type that it comes in, sums in float64: the reference.

    `running_sum` is the largest magnitude that a running sum has had since it was last set to None.
    """

    sums: ClassVar[type[np.floating]] = np.float64
    running_sum: float | None = None

    def stored(self, values):
        """What is left of a tensor once it is written to memory."""
        return values

    def total(self, terms, axes):
        """Sum over `axes`, which stay with size 1. The last axis runs fastest."""
        axes = sorted(axis % terms.ndim for axis in axes)
        kept = [axis for axis in range(terms.ndim) if axis not in axes]
        shape = [1 if axis in axes else size for axis, size in enumerate(terms.shape)]
        rows = np.transpose(terms, [*kept, *axes]).reshape(*(terms.shape[axis] for axis in kept), -1)
        running = running_sums(rows, self.sums)
        if self.sums == np.float64:
            self._note(running)
        return running[..., -1].reshape(shape).astype(terms.dtype)

    def matmul(self, a, b):
        """[..., M, K] times [..., K, N]."""
        return a @ b

    def chain(self, factors):
        """Sum of the products of pairs of arrays, one pair after the other."""
        return sum(a * b for a, b in factors)

    def _note(self, sums):
        self.running_sum = max(self.running_sum or 0.0, float(np.abs(sums).max(initial=0)))


class Stored(Float32):
    """float32 inside an operator; each tensor is rounded to float16 when it is stored."""

    def stored(self, values):
        return round_to_half(values)


class Reductions(Stored):
    """Sums over axes are accumulated in float16 as well: of sums, means, norms, softmax and average pools."""

    sums = np.float16


class Products(Reductions):
    """So are convolutions and matrix products; each product is rounded before it is added.

    `running_sum` is then that of the same products in float32, so that it says how far beyond float16 it went.
    """

    def matmul(self, a, b):
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        rows, columns = a.shape[-2], b.shape[-1]
        a = np.broadcast_to(a, (*batch, *a.shape[-2:])).reshape(-1, *a.shape[-2:])
        b = np.broadcast_to(b, (*batch, *b.shape[-2:])).reshape(-1, *b.shape[-2:])
        result = np.empty((len(a), rows, columns), np.float32)
        step = max(_AT_ONCE // max(columns, 1), 1)
        together = max(step // max(rows, 1), 1)
        for first in range(0, len(a), together):
            some = slice(first, first + together)
            for row in range(0, rows, step):
                left, right = a[some, row : row + step], b[some]
                pairs = ((left[..., k, None], right[:, None, k]) for k in range(a.shape[-1]))
                result[some, row : row + step] = self.chain(pairs)
        return result.reshape(*batch, rows, columns)

    @np.errstate(all="ignore")
    def chain(self, factors):
        pairs = list(factors)
        shape = np.broadcast_shapes(*(np.shape(each) for each in pairs[0]))
        total, block, product, true = (np.zeros(shape, np.float32) for _ in range(4))
        scratch = np.empty(shape, np.float32), np.empty(shape, np.float32)
        for place, pair in enumerate(pairs):
            np.multiply(*pair, out=product)
            np.add(true, product, out=true)
            _round(product, *scratch)
            if place % BLOCK == 0:
                block[...] = product
            else:
                np.add(block, product, out=block)
                _round(block, *scratch)
            if place % BLOCK == BLOCK - 1 or place == len(pairs) - 1:
                np.add(total, block, out=total)
                _round(total, *scratch)
                self._note(true)
        return total


MODES: dict[str, type[Float32]] = {"float32": Float32, "stored": Stored, "reductions": Reductions, "products": Products}
