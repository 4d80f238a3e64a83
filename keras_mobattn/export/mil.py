"""Run a saved Core ML model without macOS: a reference evaluator of its MIL program.

It catches what a conversion can get wrong: an operator, an axis, an order of operands, a padding, a weight. It says
nothing about the numerics of a device (the Neural Engine sums in its own way). fp16 programs are computed in float32
and every result is rounded to float16, that is, without the rounding inside a sum.
"""

from pathlib import Path

import numpy as np

from keras_mobattn._quiet import quiet_stderr
from keras_mobattn.errors import InputError
from keras_mobattn.export.mil_ops import OPS

WEIGHTS = Path("Data", "com.apple.CoreML", "weights")  # inside an .mlpackage


def import_coremltools():
    """Import coremltools without its noise: TensorFlow's version is untested, this is not macOS, and more."""
    with quiet_stderr():
        import coremltools

        return coremltools


def load_program(path):
    """Read the MIL program (coremltools' in-memory form) of an .mlpackage; weights are read as well.

    Raises:
        InputError: no such folder, a damaged one, or a model that is not an ML program (an older neural network).
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(
            f"Expected an .mlpackage folder. Received: {str(path)!r}, which isn't a folder. Check the path."
        )
    ct = import_coremltools()
    from coremltools.converters.mil.frontend.milproto.load import load

    try:
        spec = ct.utils.load_spec(str(path))
        return load(spec, specification_version=spec.specificationVersion, file_weights_dir=str(path / WEIGHTS))
    except Exception as error:  # protobuf, the blob reader and the builder each raise types of their own
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
    raise InputError(
        f"Expected a Core ML ML-program package. Received: {str(path)!r}, unreadable ({reason}). Convert again."
    )


def evaluate(program, inputs):
    """Run the function "main" of `program` on `inputs`, {name: array}; return {name: array}, float16 as float32.

    Raises:
        InputError: an input is missing or has another shape; an operation isn't in OPS or can't be computed; a result's
            shape is not the declared one. The message names the operation.
    """
    main = program.functions["main"]
    values = {}
    for name, var in main.inputs.items():
        if name not in inputs or np.shape(inputs[name]) != tuple(var.shape):
            received = {key: np.shape(value) for key, value in inputs.items()}
            raise InputError(
                f"Expected the input {name!r} of shape {tuple(var.shape)}. Received: {received}. Pass that."
            )
        values[var] = _round(inputs[name], var)
    with np.errstate(all="ignore"):  # an overflow shows in the result, as it would on the device
        for op in main.operations:
            if op.op_type == "const":
                values[op.outputs[0]] = _constant(op.outputs[0].val)
            else:
                values.update(zip(op.outputs, _run(op, values), strict=True))
    return {var.name: values[var] for var in main.outputs}


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
        if np.shape(result) != tuple(var.shape):
            raise InputError(
                f"Expected a result of the declared shape {tuple(var.shape)}. Received: {np.shape(result)} "
                f"from {_text(op)}. The program is damaged, or mil_ops computes this operation wrongly."
            )
    return [_round(result, var) for result, var in zip(results, op.outputs, strict=True)]


def _round(value, var):
    """Round to the declared type; hold fp16 values in float32, in which the next operation computes."""
    from coremltools.converters.mil.mil import types

    return _constant(np.asarray(value).astype(types.nptype_from_builtin(var.dtype)))


def _constant(value):
    """A constant as the operations take it: floats as float32 (axes, masks and names as they are)."""
    if isinstance(value, str):
        return value
    value = np.asarray(value)
    return value.astype(np.float32) if value.dtype == np.float16 else value


def _text(op):
    return f"operation {op.op_type!r} named {op.name!r}"
