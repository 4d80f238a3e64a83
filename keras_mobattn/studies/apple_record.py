"""What a Mac shows of the record: for each package placement, time and numbers beside what the rules had said."""

import importlib.metadata
import platform

import numpy as np

from keras_mobattn.benchmark import describe_host
from keras_mobattn.catalog import COREML_UNITS
from keras_mobattn.data import sample_photos
from keras_mobattn.describe import describe_coreml
from keras_mobattn.errors import InputError
from keras_mobattn.export import CoreMLModel
from keras_mobattn.half import evaluate_modes

MODES = ("float32", "stored", "neural_engine", "neural_engine_tables")
NUM_IMAGES = 3


def compare_with_record(paths, measurements, progress=lambda path: None):
    """Return for JSON what this Mac makes of each package, beside what is on record; see docs/neural_engine.md.

    `measurements` are the rows of `benchmark_coreml` of these packages. `progress` is told of each package.

    Raises:
        InputError: a package that can't be read.
    """
    host = describe_host()
    return {
        "machine": host.name,
        "system": host.os,
        "python": platform.python_version(),
        "coremltools": importlib.metadata.version("coremltools"),
        "keras_mobattn": importlib.metadata.version("keras_mobattn"),
        "packages": [_package(path, measurements, progress) for path in paths],
    }


def _package(path, measurements, progress):
    progress(path)
    described = describe_coreml(path).as_dict()
    rows = [row for row in measurements if row.file == str(path)]
    return {
        "file": path.name,
        "operators": described["operators"],
        "weights": described["weights"],
        "inputs": described["inputs"],
        "neural_engine": described["neural_engine"],
        "times": {row.backend: _time(row) for row in rows},
        "numbers": _numbers(path, [row.backend for row in rows if not row.error]),
    }


def _time(row):
    if row.error:
        return {"error": row.error}
    return {
        "typical_ms": row.statistics.typical_ms,
        "load_ms": row.details.load_samples_ms,
        "samples_ms": row.samples_ms,
    }


def _numbers(path, backends):
    """{compute units: {mode of `half`: largest difference of an output on photographs, as a share of its spread}}."""
    try:
        return _compared(path, backends)
    except InputError as error:  # a package of other programs, whose input we can't make up
        return {"error": str(error)}


def _compared(path, backends):
    ours, found = CoreMLModel(path), {}
    photos = np.float32(sample_photos(NUM_IMAGES, ours.input_shape[1:3]))[:, None]
    photos = photos.mean(-1, keepdims=True) if ours.input_shape[-1] == 1 else photos
    runs = [evaluate_modes(path, ours.given(photo), MODES) for photo in photos]
    for backend in backends:
        theirs = CoreMLModel(path, next(units for name, units in COREML_UNITS.values() if name == backend))
        outputs = [theirs.run(photo) for photo in photos]
        found[backend] = {mode: _worst(outputs, [run[mode].outputs for run in runs]) for mode in MODES}
    return found


def _worst(received, expected):
    """The largest difference; None where an output has no number, or where the answers have another form."""
    shares = []
    for theirs, ours in zip(received, expected, strict=True):
        for name, values in theirs.items():
            if name not in ours or np.shape(ours[name]) != np.shape(values):
                return None
            spread = float(np.ptp(ours[name])) or 1.0
            shares.append(float(np.abs(np.asarray(values, np.float64) - ours[name]).max()) / spread)
    return max(shares) if shares and np.isfinite(shares).all() else None
