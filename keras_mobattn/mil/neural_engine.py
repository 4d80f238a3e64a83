"""How the Neural Engine computes, as others measured it on Macs: what ends below float16, and what NaN becomes.

The record (docs/neural_engine.md names its sources) is of M1 to M5, measured without Core ML, which may rewrite a graph
first; there is none of a phone. Where chips differ this is the strictest of them, the M1. What it says:

- a matrix product or a convolution sums as float32 does, and what it gives is infinite from 32768 on; a convolution of
  one weight for each output, a depthwise 1x1 one, ends where float16 does;
- a NaN that comes in is infinity; one that would arise (inf - inf, 0 * inf, the root of a negative number) is 0, of a
  product all that it sums up;
- products take numbers below float16's normal ones, 6e-5, for 0;
- softmax subtracts the maximum first, softplus falls to 0 from 10.4 on;
- some activations are tables of 33 values, with lines in between; exp and rsqrt, whose errors nobody published, are not
  here.

Whether a sum over axes is kept in float32 is disputed. It is here, and half.report looks at what it grows to.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_mobattn.formats.float16 import HALF_MAX, HALF_NORMAL
from keras_mobattn.mil.operations import OPS

PRODUCT_MAX = 32752.0  # the float16 before 32768
SOFTPLUS_END = 10.4
PRODUCTS = ("matmul", "linear", "conv", "conv_transpose")


def largest_result(kind, operands):
    """The largest magnitude that an operation on {name: array} gives; beyond it is infinity."""
    single = kind == "conv" and np.size(operands["weight"][0]) == 1
    return PRODUCT_MAX if kind in PRODUCTS and not single else HALF_MAX


def _softmax(x, axis=-1):
    """As OPS has it; where several values are infinite they tie."""
    e = np.exp(_zero_for_nan(x - x.max(axis=axis, keepdims=True)))
    return e / e.sum(axis=axis, keepdims=True)


def _softplus(x):
    """log(1 + exp(x)), 0 beyond SOFTPLUS_END."""
    return np.where(x > SOFTPLUS_END, 0, np.logaddexp(x, np.float32(0)))


def _table(kind, reach, knots=33):
    """The operation by a table of as many knots from -reach to reach, with lines between them; itself beyond."""
    run, places = OPS[kind], np.linspace(-reach, reach, knots, dtype=np.float32)

    def look_up(x, **options):
        near = np.interp(x, places, run(places, **options)).astype(np.float32)
        return np.where(np.abs(x) < reach, near, run(x, **options))

    return look_up


# On record are the number of knots and the largest errors of sigmoid (.0034) and gelu (.0059). The places of the knots
# are chosen so that these come out; tanh is taken to be as good as sigmoid, silu as gelu.
TABLES = {kind: _table(kind, reach) for kind, reach in {"sigmoid": 8.5, "tanh": 3.0, "gelu": 3.9, "silu": 4.9}.items()}
OWN = {"softmax": _softmax, "softplus": _softplus}


@dataclasses.dataclass(frozen=True)
class NeuralEngine:
    """Computes an operation of float16 by the record. `tables`: activations by tables, too."""

    tables: bool = False

    def compute(self, kind: str, operands: Mapping[str, Any]) -> np.ndarray | list[np.ndarray]:
        """The results of one operation: an array, or a list of them; see OPS."""
        operands = {name: self._given(kind, value) for name, value in operands.items()}
        table = {**OWN, **TABLES} if self.tables else OWN
        results, largest = table.get(kind, OPS[kind])(**operands), largest_result(kind, operands)
        if isinstance(results, list):
            return [_cut(result, largest) for result in results]
        return _cut(results, largest)

    def _given(self, kind, value):
        if isinstance(value, list):
            return [self._given(kind, each) for each in value]
        if not isinstance(value, np.ndarray) or value.dtype != np.float32:
            return value
        value = np.where(np.isnan(value), np.float32(np.inf), value)
        return np.where(np.abs(value) < HALF_NORMAL, np.float32(0), value) if kind in PRODUCTS else value


def _cut(result, largest):
    """A result in float16, infinite beyond `largest`."""
    halves = _zero_for_nan(result).astype(np.float16).astype(np.float32)
    return np.where(np.abs(halves) > largest, np.copysign(np.float32(np.inf), halves), halves)


def _zero_for_nan(value):
    return np.where(np.isnan(value), np.float32(0), value)
