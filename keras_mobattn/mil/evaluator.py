"""Run a saved Core ML model without macOS: a reference evaluator of its MIL program.

It catches what a conversion can get wrong: an operator, an axis, an order of operands, a padding, a weight. It says
nothing about the numerics of a device (the Neural Engine sums in its own way). fp16 programs are computed in float32
and every result is rounded to float16, that is, without the rounding inside a sum.
"""

import numpy as np

from keras_mobattn.errors import InputError
from keras_mobattn.formats.coreml.constants import read_constants
from keras_mobattn.formats.coreml.types import NUMPY
from keras_mobattn.mil.operations import OPS

LISTS = ("values",)  # operands that are a list even of one value: `concat` has it


def evaluate(program, inputs):
    """Run the function "main" of `program` once on `inputs`; see Evaluator, which is quicker for several."""
    return Evaluator(program)(inputs)


class Evaluator:
    """The function "main" of a MIL program, {name: array} -> {name: array}, float16 as float32.

    An image input takes pixels 0..255 as [1, C, H, W], as the program itself does. A classifier's outputs are the most
    likely label as str and {label: probability}. Constants are prepared here, compressed weights materialised. Without
    `rounding` an fp16 program is computed in float32 throughout, with the weights that it has.

    Raises:
        InputError: an input is missing or has another shape; an operation isn't in OPS or can't be computed; a result's
            shape is not the declared one. The message names the operation.
    """

    def __init__(self, program, rounding=True):
        if program.function != "main":
            raise InputError(f"Expected a program with a function 'main'. Received: {', '.join(program.functions)}.")
        self.program, self.rounding = program, rounding
        operands = (bound for operation in program.operations for bound in operation.operands.values())
        taken = {value.name for bound in (*operands, program.results) for value in bound}
        constants = read_constants(program)
        self.constants = {name: _widened(value) for name, value in constants.items() if name in taken}

    def __call__(self, inputs):
        values = {}
        for _ in self.steps(inputs, values):
            pass
        return {result.name: values[result.name] for result in self.program.results}

    def steps(self, inputs, values):
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
                results = [self._rounded(*pair) for pair in zip(_run(operation, values), operation.results, strict=True)]
            values.update(zip((result.name for result in operation.results), results, strict=True))
            yield operation

    def _widened(value):
    """A value as the operations take it: floats as float32 (axes, masks and names as they are)."""
    is_half = isinstance(value, np.ndarray) and value.dtype == np.float16
    return value.astype(np.float32) if is_half else value
