"""What a run in half precision says of each tensor of a file, and of the file."""

import dataclasses

import numpy as np

from keras_mobattn.formats.float16 import HALF_MAX, HALF_NORMAL

ENOUGH = 4.0  # headroom: other images have larger values than the few that were looked at, and devices other sums
# What makes tensors that don't grow with the image, or no more than what it took: "" inputs and constants.
ENDS = ("", "RSQRT", "rsqrt", "MINIMUM", "minimum")


@dataclasses.dataclass(frozen=True)
class TensorReport:
    """A float tensor of a file, in one run. `operator` made it; "" for inputs and constants.

    Of the float32 run: `largest` magnitude; `subnormal`, the share of the values other than zero that float16 keeps
    with fewer than its 11 bits or as zero; `running_sum`, the largest magnitude of a sum on its way in the operator,
    None where nothing is summed (of convolutions and matrix products it is recorded in the mode "products" alone).
    `error` is the largest difference between the two runs as a share of `largest`; infinite where float16 has infinity
    or NaN and float32 has not. `inherited` is the largest error among the tensors that the operator took, `passed_on`
    among those that were made of this one; that of an output is its own. `limit`: where the values end.
    """

    name: str
    operator: str
    largest: float
    subnormal: float
    running_sum: float | None
    error: float
    inherited: float
    passed_on: float
    limit: float = HALF_MAX

    @property
    def reached(self) -> float:
        """The largest magnitude of the values and of the sums that led to them. NaN counts as infinity."""
        return float(np.nan_to_num(max(self.largest, self.running_sum or 0.0), nan=np.inf))

    @property
    def headroom(self) -> float:
        """How many times larger the values, and the sums that led to them, could be. Below 1 they overflow.

        Infinite for what no larger values make larger, unless it overflows: inputs, constants, 1 / sqrt, minima.
        """
        ends = self.operator in ENDS and self.reached <= self.limit
        return float("inf") if ends or not self.reached else self.limit / self.reached

    @property
    def added(self) -> float:
        """The error that came in here and stayed: that of a mean near 0, say, is large for its size and then gone."""
        stayed = min(self.error, self.passed_on)
        return stayed - self.inherited if stayed > self.inherited else 0.0


@dataclasses.dataclass(frozen=True)
class HalfReport:
    """A file run in float32 and in `mode`: `expected` and `outputs` {name: array}, and its tensors as they came."""

    file: str
    mode: str
    expected: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    tensors: tuple[TensorReport, ...]

    @property
    def first_overflow(self) -> TensorReport | None:
        """`first_overflow` of its tensors."""
        return first_overflow(self.tensors)

    @property
    def tightest(self) -> TensorReport:
        """The tensor with the least headroom."""
        return min(self.tensors, key=lambda tensor: tensor.headroom)


def first_overflow(tensors):
    """The first tensor with infinity or NaN where float32 has neither; None if there is none."""
    return next((tensor for tensor in tensors if tensor.error == float("inf")), None)


class Reports:
    """Collects the TensorReports of a run, tensor by tensor in the order in which they are made."""

    def __init__(self):
        self._made, self._passed_on = {}, {}

    def add(self, key, name, expected, received, operator="", taken=(), running_sum=None, limit=HALF_MAX):
        """Report a tensor, whose values are `expected` in float32. `key` is its own, `taken` those of what it is of."""
        magnitudes = np.abs(expected)
        largest, nonzero = float(magnitudes.max(initial=0)), np.count_nonzero(magnitudes)
        subnormal = nonzero - np.count_nonzero(magnitudes >= HALF_NORMAL)
        lost = not np.isfinite(received).all() and np.isfinite(expected).all()
        difference = float("inf") if lost else float(np.abs(received - expected).max(initial=0))
        error = difference / largest if largest else difference
        for each in taken:
            self._passed_on[each] = max(self._passed_on.get(each, 0.0), error)
        inherited = max((self._made[each].error for each in taken if each in self._made), default=0.0)
        share = float(subnormal / nonzero) if nonzero else 0.0
        self._made[key] = TensorReport(name, operator, largest, share, running_sum, error, inherited, error, limit)

    def finished(self):
        """All of them, in a tuple."""
        passed_on = ((tensor, self._passed_on.get(key, tensor.error)) for key, tensor in self._made.items())
        return tuple(dataclasses.replace(tensor, passed_on=error) for tensor, error in passed_on)
