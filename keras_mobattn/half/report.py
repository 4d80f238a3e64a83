"""What a run in half precision says of each tensor of a file, and of the file."""

import dataclasses

import numpy as np

from keras_mobattn.half.arithmetic import HALF_MAX, HALF_NORMAL


@dataclasses.dataclass(frozen=True)
class TensorReport:
    """A float tensor in one run. `operator` made it; "" for inputs and constants.

    Of the float32 run: `largest` magnitude; `subnormal`, the share of the values other than zero that float16 keeps
    with fewer than its 11 bits or as zero; `running_sum`, the largest magnitude of a sum on its way in the operator,
    None where nothing is summed (of convolutions and matrix products it is recorded in the mode "products" alone).
    `error` is the largest difference between the two runs as a share of `largest`; infinite where float16 has infinity
    or NaN and float32 has not.
    """

    name: str
    operator: str
    largest: float
    subnormal: float
    running_sum: float | None
    error: float

    @property
    def headroom(self):
        """How many times larger the values, and the sums that led to them, could be. Below 1 they overflow."""
        reached = max(self.largest, self.running_sum or 0.0)
        return HALF_MAX / reached if reached else float("inf")


@dataclasses.dataclass(frozen=True)
class HalfReport:
    """A file run in float32 and in `mode`: `expected` and `outputs` {name: array}, and its tensors as they came."""

    file: str
    mode: str
    expected: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    tensors: tuple[TensorReport, ...]

    @property
    def first_overflow(self):
        """The first tensor with infinity or NaN where float32 has neither; None if there is none."""
        return next((tensor for tensor in self.tensors if tensor.error == float("inf")), None)

    @property
    def tightest(self):
        """The tensor with the least headroom."""
        return min(self.tensors, key=lambda tensor: tensor.headroom)


def tensor_report(name, operator, expected, received, running_sum):
    """Return the TensorReport of one tensor in both runs."""
    magnitudes = np.abs(expected)
    largest, nonzero = float(magnitudes.max(initial=0)), np.count_nonzero(magnitudes)
    subnormal = nonzero - np.count_nonzero(magnitudes >= HALF_NORMAL)
    lost = not np.isfinite(received).all() and np.isfinite(expected).all()
    difference = float("inf") if lost else float(np.abs(received - expected).max(initial=0))
    return TensorReport(
        name, operator, largest, float(subnormal / nonzero) if nonzero else 0.0, running_sum,
        difference / largest if largest else difference,
    )  # fmt: skip
