"""Run an .mlpackage as its program declares it, in float16 where it says so, or as the Neural Engine is on record to
compute it, beside a run in float32."""

import numpy as np

from keras_mobattn.formats.coreml.program import read_program
from keras_mobattn.formats.float16 import HALF_MAX
from keras_mobattn.half.arithmetic import Float32
from keras_mobattn.half.report import HalfReport, Reports
from keras_mobattn.mil import Evaluator, NeuralEngine
from keras_mobattn.mil.neural_engine import PRODUCTS, largest_result

DEVICES = {"stored": None, "neural_engine": NeuralEngine(), "neural_engine_tables": NeuralEngine(tables=True)}
SUMS = ("reduce_sum", "reduce_mean")  # operations whose sum on its way is looked at: others keep theirs to themselves


def evaluate_package(path, inputs, modes):
    """Run an .mlpackage once in float32 and once in each of `modes`; return {mode: HalfReport}. See evaluate_half."""
    program = read_program(path)
    if not isinstance(inputs, dict):
        inputs = {value.name: inputs for value in program.values}
    reference, expected = Evaluator(program, rounding=False), {}
    devices = {mode: DEVICES[mode] for mode in modes if mode != "float32"}
    runs = {mode: _Run(expected, {}, Evaluator(program, device=each), inputs) for mode, each in devices.items()}
    by_mode = {mode: runs.get(mode) or _Run(expected, expected) for mode in modes}
    for operation in reference.steps(inputs, expected):
        for run in runs.values():
            next(run.steps)
        for run in by_mode.values():
            run.report(operation)
    names = [result.name for result in program.results]
    return {
        mode: HalfReport(str(path), mode, _arrays(expected, names), _arrays(run.values, names), run.reports.finished())
        for mode, run in by_mode.items()
    }


class _Run:
    """A run beside the reference, whose values are `expected`, and the reports of it.

    Without an evaluator it is the reference itself.
    """

    def __init__(self, expected, values, evaluator=None, inputs=None):
        self.expected, self.values, self.reports = expected, values, Reports()
        self.steps = evaluator and evaluator.steps(inputs, values)

    def report(self, operation):
        """Report the results of an operation that the program declares float16."""
        taken = {name: [value.name for value in bound] for name, bound in operation.operands.items()}
        made = [result.name for result in operation.results if result.dtype == "float16" and result.shape is not None]
        running = _running_sum(self.expected, taken) if made and operation.kind in SUMS else None
        for name in made:
            all_taken = [each for names in taken.values() for each in names]
            values = self.expected[name], self.values[name]
            self.reports.add(name, name, *values, operation.kind, all_taken, running, _limit(operation, self.expected))


def _limit(operation, values):
    """Where the results of an operation end on the Neural Engine."""
    if operation.kind not in PRODUCTS:
        return HALF_MAX
    return largest_result(operation.kind, {name: values[bound[0].name] for name, bound in operation.operands.items()})


def _running_sum(values, taken):
    """The largest magnitude of a sum on its way, in the order of arithmetic.py."""
    x, float32 = values[taken["x"][0]], Float32()
    axes = values[taken["axes"][0]] if "axes" in taken else range(x.ndim)
    float32.total(x, tuple(int(axis) for axis in np.atleast_1d(axes)))
    return float32.running_sum


def _arrays(values, names):
    """{name: array} of the outputs, a classifier's scores by name as [1, K], without its label."""
    found = {name: values[name] for name in names}
    found = {name: list(value.values()) if isinstance(value, dict) else value for name, value in found.items()}
    return {
        name: np.float32([value]) if isinstance(value, list) else value
        for name, value in found.items()
        if not isinstance(value, str | np.str_)
    }
