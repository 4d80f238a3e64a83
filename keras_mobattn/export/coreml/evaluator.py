"""Run a saved Core ML model without macOS: a reference evaluator of its MIL program.

It catches what a conversion can get wrong: an operator, an axis, an order of operands, a padding, a weight. It says
nothing about the numerics of a device (the Neural Engine sums in its own way). fp16 programs are computed in float32
and every result is rounded to float16, that is, without the rounding inside a sum.
"""

from pathlib import Path

import numpy as np

from keras_mobattn._quiet import quiet_stderr
from keras_mobattn.errors import InputError
from keras_mobattn.export.coreml.mil_ops import OPS
from keras_mobattn.formats.coreml.package import WEIGHTS, read_mlprogram


def load_program(path):
    """Read the MIL program (coremltools' in-memory form) of an .mlpackage; weights are read as well.

    Raises:
        InputError: no such folder, a damaged one, or a model that is not an ML program (an older neural network).
    """
    spec = read_mlprogram(path)
    from coremltools.converters.mil.frontend.milproto.load import load

    try:
        folder = str(Path(path) / WEIGHTS)
        with quiet_stderr():
            return load(spec, specification_version=spec.specificationVersion, file_weights_dir=folder)
    except Exception as error:  # the blob reader and the builder each raise types of their own
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
    raise InputError(
        f"Expected a Core ML ML-program package. Received: {str(path)!r}, unreadable ({reason}). Convert again."
    )


def evaluate(program, inputs):
    """Run the function "main" of `program` once on `inputs`; see Evaluator, which is quicker for several."""
    return Evaluator(program)(inputs)


class Evaluator:
    """The function "main" of a MIL program, {name: array} -> {name: array}, float16 as float32.

    An image input takes pixels 0..255 as [1, C, H, W], as the program itself does. A classifier's outputs are the most
    likely label as str and {label: probability}. Constants are prepared here, compressed weights materialised.

    Raises:
        InputError: an input is missing or has another shape; an operation isn't in OPS or can't be computed; a result's
            shape is not the declared one. The message names the operation.
    """

    def __init__(self, program):
        if "main" not in program.functions:
            raise InputError(f"Expected a program with a function 'main'. Received: {', '.join(program.functions)}.")
        self.main = program.functions["main"]
        constants = [op for op in self.main.operations if _is_constant(op)]
        self.constants = {op.outputs[0]: _constant(_value(op)) for op in constants}
        self.operations = [op for op in self.main.operations if op.outputs[0] not in self.constants]

    def __call__(self, inputs):
        values = dict(self.constants)
        for name, var in self.main.inputs.items():
            if name not in inputs or not _fits(np.shape(inputs[name]), var):
                received = {key: np.shape(value) for key, value in inputs.items()}
                raise InputError(
                    f"Expected the input {name!r} of shape {_shape(var)}. Received: {received}. Pass that."
                )
            values[var] = _round(inputs[name], var)
        with np.errstate(all="ignore"):  # an overflow shows in the result, as it would on the device
            for op in self.operations:
                values.update(zip(op.outputs, _run(op, values), strict=True))
        return {var.name: values[var] for var in self.main.outputs}


def _is_constant(op):
    return op.op_type == "const" or op.op_type.startswith("constexpr_")


def _value(op):
    return op.outputs[0].val if op.op_type == "const" else op.materialized_val_inference()


def _run(op, values):
    """Return the results of one operation, rounded, shapes asserted."""
    if op.op_type not in OPS:
        raise InputError(f"Expected operations among {', '.join(OPS)}. Received: {_text(op)}. Add it to mil_ops.OPS.")
    operands = {
        name: [values[v] for v in var] if isinstance(var, list | tuple) else values[var]
        for name, var in op.inputs.items()
    }
    try:
        results = OPS[op.op_type](**operands)
    except Exception as error:  # whatever numpy or TensorFlow made of operands that don't fit
        raise InputError(
            f"Expected operands that fit. Received: {_text(op)}. {type(error).__name__}: {error}"
        ) from error
    results = results if isinstance(results, list) else [results]
    for result, var in zip(results, op.outputs, strict=True):
        if not _fits(np.shape(result), var):
            raise InputError(
                f"Expected a result of the declared shape {_shape(var)}. Received: {np.shape(result)} "
                f"from {_text(op)}. The program is damaged, or mil_ops computes this operation wrongly."
            )
    return [_round(result, var) for result, var in zip(results, op.outputs, strict=True)]


def _shape(var):
    """The declared shape, -1 where the program leaves a size open; None for a label or a dictionary."""
    if not hasattr(var.sym_type, "get_shape"):
        return None
    return tuple(side if isinstance(side, int | np.integer) else -1 for side in var.shape)


def _fits(shape, var):
    declared = _shape(var)
    if declared is None:
        return True
    return len(shape) == len(declared) and all(want in (-1, side) for want, side in zip(declared, shape, strict=True))


def _round(value, var):
    """Round to the declared type; hold fp16 values in float32, in which the next operation computes."""
    from coremltools.converters.mil.mil import types

    if _shape(var) is None:
        return value
    return _constant(np.asarray(value).astype(types.nptype_from_builtin(var.dtype)))


def _constant(value):
    """A constant as the operations take it: floats as float32 (axes, masks and names as they are)."""
    if isinstance(value, str | list):
        return value
    value = np.asarray(value)
    return value.astype(np.float32) if value.dtype == np.float16 else value


def _text(op):
    return f"operation {op.op_type!r} named {op.name!r}"
