"""Activations in int8: their ranges on images, by our evaluator, and coremltools' passes that quantize by them.

coremltools finds the ranges by Core ML itself, on a Mac alone, and of several images keeps those of the last (9.0).
"""

import tempfile
from pathlib import Path
from unittest import mock

import numpy as np

from keras_mobattn.errors import InputError
from keras_mobattn.formats.coreml.program import read_program
from keras_mobattn.mil import Evaluator

LEAST_RANGE = 1e-3  # of what is 0 on all images


def quantize_activations(optimize, model, images):
    """Return the MLModel with a pair of quantize and dequantize wherever coremltools has one: around convolutions,
    linear layers, pools and sums that are computed in float16. `optimize` is coremltools.optimize.coreml, `images` are
    {input: array} of each.

    Raises:
        InputError: numbers that aren't finite.
    """
    settings = optimize.OpLinearQuantizerConfig(mode="linear_symmetric")
    ranges, in_float32 = activation_ranges(model, images)
    config = optimize.OptimizationConfig(global_config=settings, op_name_configs=dict.fromkeys(in_float32))
    theirs = optimize._post_training_quantization
    with mock.patch.object(theirs, "_get_activation_calibration_stats", return_value=ranges):
        return optimize.linear_quantize_activations(model, config, [dict(images[0])])


def activation_ranges(model, images):
    """Return ({value: {"rmin": its smallest number, "rmax": its largest}} of all images, of an MLModel without
    compression; the names of the operations that are computed in float32)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.mlpackage"
        model.save(str(path))
        program = read_program(path)
        evaluator, ranges = Evaluator(program), {}
        names = [value.name for value in program.values]
        for image in images:
            values = {}
            for operation in evaluator.steps(image, values):
                _widen(ranges, [result.name for result in operation.results], values)
            _widen(ranges, names, values)
    _level_concatenations(program, ranges)
    for name, known in ranges.items():
        if not np.isfinite([*known.values()]).all():
            raise InputError(
                "Expected finite numbers on the representative_images. Received: infinity or NaN in "
                f"{name!r}. Keep the layer in float32 (float32_layers)."
            )
        known["rmax"] = max(known["rmax"], known["rmin"] + LEAST_RANGE)
    halves = {value.name for operation in program.operations for value in operation.results if value.dtype == "float16"}
    return ranges, [operation.name for operation in program.operations if operation.name not in halves]


def _widen(ranges, names, values):
    for name in names:
        value = values[name]
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.size:
            known = ranges.setdefault(name, {"rmin": np.inf, "rmax": -np.inf})
            known["rmin"], known["rmax"] = min(known["rmin"], value.min()), max(known["rmax"], value.max())


def _level_concatenations(program, ranges):
    """What is concatenated gets one range, and so does what comes of it: its integers then mean the same."""
    groups = []
    for operation in (each for each in program.operations if each.kind == "concat"):
        names = {value.name for value in (*operation.operands["values"], *operation.results)} & set(ranges)
        touching = [group for group in groups if group & names]
        groups = [group for group in groups if not group & names] + [names.union(*touching)]
    for group in groups:
        low, high = min(ranges[name]["rmin"] for name in group), max(ranges[name]["rmax"] for name in group)
        for name in group:
            ranges[name] = {"rmin": low, "rmax": high}
