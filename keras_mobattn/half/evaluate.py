"""Run an exported file as a device with half precision would, beside a run in float32: evaluate_half."""

from collections.abc import Collection
from typing import Any

from numpy.typing import ArrayLike

from keras_mobattn._types import PathLike
from keras_mobattn.errors import InputError, expect_name, expect_path
from keras_mobattn.formats.kinds import COREML, KINDS, TFLITE, kind_of
from keras_mobattn.half.arithmetic import MODES
from keras_mobattn.half.evaluator import evaluate_tflite
from keras_mobattn.half.report import HalfReport

KINDS_MODES = {  # kind of file -> what it can be run in
    TFLITE: tuple(MODES),
    COREML: ("float32", "stored", "neural_engine", "neural_engine_tables"),
}


def evaluate_half(path: PathLike, inputs: ArrayLike | dict[str, Any], mode: str = "stored") -> HalfReport:
    """Run a file once in float32 and once in `mode`; return a HalfReport. In the mode "float32" there is one run.

    `inputs` are {name: array}, or one array for a file of one input: in the type, shape and range that the file takes.
    Modes of a .tflite file: "float32"; "stored", with every tensor rounded to float16 when it is stored, constants too;
    "reductions", with sums over axes in float16 as well; or "products", with convolutions and matrix products too. See
    arithmetic.py for the order of sums. Quantized operators compute on the numbers that their integers stand for, in
    float64, and round the result once: LiteRT's kernels may differ by one step.

    Modes of an .mlpackage: "float32", its operations computed so with the weights that it has; "stored", as its program
    has it: what is declared float16 is rounded, and is what the report has; "neural_engine", as that is on record to
    compute it besides (mil/neural_engine.py); or "neural_engine_tables", with the errors of its activations.

    Raises:
        InputError: another kind of file, or a damaged one; an operator that the evaluator lacks; int8 weights under
            float activations in a .tflite file; a mode that the kind doesn't have; inputs that don't fit.
        OSError: it can't be read.
    """
    return evaluate_modes(path, inputs, (mode,))[mode]


def evaluate_modes(path: PathLike, inputs: ArrayLike | dict[str, Any], modes: Collection[str]) -> dict[str, HalfReport]:
    """evaluate_half in several modes, with one run in float32 for all of them: {mode: HalfReport}."""
    kind = kind_of(expect_path(path))
    if kind is None:
        raise InputError(
            f"Expected a file that ends in {' or '.join(kind.suffix for kind in KINDS)}. Received: {str(path)!r}. "
            "Convert the model first."
        )
    for mode in modes:
        expect_name(KINDS_MODES[kind], mode, "mode")
    if kind == TFLITE:
        return evaluate_tflite(path, inputs, modes)
    from keras_mobattn.half.package import evaluate_package  # TensorFlow, for convolutions alone

    return evaluate_package(path, inputs, modes)
