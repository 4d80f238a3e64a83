"""Run a saved Core ML model without macOS: a reference evaluator of its MIL program.

It catches what a conversion can get wrong: an operator, an axis, an order of operands, a padding, a weight. fp16
programs are computed in float32 and every result is rounded to float16, that is, without the rounding inside a sum. Of
a device's own numerics it knows what is on record of the Neural Engine, where it is asked for (neural_engine.py).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from keras_mobattn.errors import InputError
from keras_mobattn.formats.coreml.constants import read_constants
from keras_mobattn.formats.coreml.program import Operation, Program
from keras_mobattn.formats.coreml.types import NUMPY
from keras_mobattn.mil.neural_engine import NeuralEngine
from keras_mobattn.mil.operations import OPS

LISTS = ("values",)  # operands that are a list even of one value: `concat` has it


def evaluate(program: Program, inputs: Mapping[str, ArrayLike]) -> dict[str, Any]:
    """Run the function "main" of `program` once on `inputs`; see Evaluator, which is quicker for several."""
    return Evaluator(program)(inputs)


class Evaluator:
    """The function "main" of a MIL program, {name: array} -> {name: array}, float16 as float32.

    An image input takes pixels 0..255 as [1, C, H, W], as the program itself does. A classifier's outputs are the most
    likely label as str and {label: probability}. Constants are prepared here, compressed weights materialised. Without
    `rounding` an fp16 program is computed in float32 throughout, with the weights that it has. The operations of
    float16 are computed by `device`, a NeuralEngine, where there is one.

    Raises:
        InputError: an input is missing or has another shape; an operation isn't in OPS or can't be computed; a result's
            shape is not the declared one. The message names the operation.
    """

    def __init__(self, program: Program, rounding: bool = True, device: NeuralEngine | None = None) -> None:
        if program.function != "main":
            raise InputError(f"Expected a program with a function 'main'. Received: {', '.join(program.functions)}.")
        self.program, self.rounding, self.device = program, rounding, device
        operands = (bound for operation in program.operations for bound in operation.operands.values())
        taken = {value.name for bound in (*operands, program.results) for value in bound}
        constants = read_constants(program)
        self.constants = {name: _widened(value) for name, value in constants.items() if name in taken}

    def __call__(self, inputs: Mapping[str, ArrayLike]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for _ in self.steps(inputs, values):
            pass
        return {result.name: values[result.name] for result in self.program.results}

    def steps(self, inputs: Mapping[str, ArrayLike], values: dict[str, Any]) -> Iterator[Operation]:
        """Yield each operation once its results are in `values`, {name: array}, which this fills."""
        values.update(self.constants)
        for value in self.program.values:
            if value.name not in inputs or not _fits(np.shape(inputs[value.name]), value):
                received = {key: np.shape(given) for key, given in inputs.items()}
                raise InputError(
                    f"Expected the input {value.name!r} of shape {value.shape}. Received: {received}. Pass that."
                )
            values[value.name] = self._rounded(inputs[value.name], value)
        for operation in self.program.operations:
            with np.errstate(all="ignore"):  # an overflow shows in the result, as it would on the device
                results = _run(operation, values, self._compute(operation))
                for result, declared in zip(results, operation.results, strict=True):
                    values[declared.name] = self._rounded(result, declared)
            yield operation

    def _compute(self, operation):
        """(kind, {name: operand}) -> the results of an operation: as MIL says, or as the device does in float16."""
        half = all(NUMPY.get(result.dtype) == np.float16 for result in operation.results)
        return self.device.compute if self.device and half else lambda kind, operands: OPS[kind](**operands)

    def _rounded(self, value, declared):
        """Round to the declared type; hold fp16 values in float32, in which the next operation computes."""
        if declared.shape is None or declared.dtype not in NUMPY:  # a label, or a classifier's dictionary
            return value
        dtype = NUMPY[declared.dtype]
        return _widened(np.asarray(value).astype(np.float32 if dtype == np.float16 and not self.rounding else dtype))


def _run(operation, values, compute):
    """Return the results of one operation, shapes asserted."""
    text = f"operation {operation.kind!r} named {operation.name!r}"
    if operation.kind not in OPS:
        raise InputError(f"Expected operations among {', '.join(OPS)}. Received: {text}. Add it to mil.OPS.")
    try:
        operands = {
            name: [values[value.name] for value in bound] if name in LISTS else values[bound[0].name]
            for name, bound in operation.operands.items()
        }
        results = compute(operation.kind, operands)
    except Exception as error:  # whatever numpy or TensorFlow made of operands that don't fit
        raise InputError(f"Expected operands that fit. Received: {text}. {type(error).__name__}: {error}") from error
    results = results if isinstance(results, list) else [results]
    for result, declared in zip(results, operation.results, strict=True):
        if not _fits(np.shape(result), declared):
            raise InputError(
                f"Expected a result of the declared shape {declared.shape}. Received: {np.shape(result)} "
                f"from {text}. The program is damaged, or mil.OPS computes this operation wrongly."
            )
    return results


def _fits(shape, declared):
    """Whether a shape is that of a Value, which has -1 where the program leaves a size open; None fits anything."""
    if declared.shape is None:
        return True
    sides = zip(declared.shape, shape, strict=False)
    return len(shape) == len(declared.shape) and all(wanted in (-1, side) for wanted, side in sides)


def _widened(value):
    """A value as the operations take it: floats as float32 (axes, masks and names as they are)."""
    is_half = isinstance(value, np.ndarray) and value.dtype == np.float16
    return value.astype(np.float32) if is_half else value
