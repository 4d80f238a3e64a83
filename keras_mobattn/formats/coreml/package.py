"""The folder of an .mlpackage and the specification in it."""

from pathlib import Path

from keras_mobattn._quiet import import_coremltools
from keras_mobattn.errors import InputError, expect_path
from keras_mobattn.formats.coreml.suppression import find_models

WEIGHTS = Path("Data", "com.apple.CoreML", "weights")  # the folder of weight files in a package
OTHER_MODELS = {  # what a package may hold besides an ML program -> how to call it
    "neuralNetwork": "an older neural network",
    "neuralNetworkClassifier": "an older neural network",
    "neuralNetworkRegressor": "an older neural network",
    "pipeline": "a pipeline of models",
    "pipelineClassifier": "a pipeline of models",
    "pipelineRegressor": "a pipeline of models",
}


def read_mlpackage(path):
    """Return the specification of a Core ML package, a protobuf Model; weights stay in their file.

    Raises:
        InputError: no folder, no package, or a damaged one.
    """
    path = expect_path(path)
    what = "it is a file" if path.is_file() else "there is nothing" if not path.exists() else ""
    if not what and not (path / "Manifest.json").is_file():
        what = "the folder has no Manifest.json"
    if not what:
        try:
            return import_coremltools().utils.load_spec(str(path))
        except Exception as error:  # libmodelpackage's RuntimeError, protobuf's DecodeError, OSError
            what = f"it is damaged ({' '.join(str(error).split()) or type(error).__name__})"
    raise InputError(
        f"Expected an .mlpackage, which is a folder. Received: {str(path)!r}: {what}. "
        "`mobattn export` makes one; copy the whole folder."
    )


def expect_replaceable(path):
    """Refuse a folder that holds something other than a package: to put one in its place would delete that."""
    path = expect_path(path)
    if path.is_dir() and any(path.iterdir()) and not (path / "Manifest.json").exists():
        raise InputError(
            f"Expected the path of a package to write. Received: {str(path)!r}, a folder of something else. Take "
            "another, or remove it."
        )


def read_mlprogram(path):
    """Return the specification of a Core ML package that holds an ML program, alone or as an object detector's.

    Raises:
        InputError: no package, a damaged one, or one that holds something else.
    """
    spec = read_mlpackage(path)
    kind, (model, _) = spec.WhichOneof("Type"), find_models(spec)
    if model is None or not model.mlProgram.functions:
        held = OTHER_MODELS.get(kind, f"a model of type {kind}" if kind else "no model")
        held = "no function" if kind == "mlProgram" else held
        raise InputError(
            f"Expected an ML program in the .mlpackage (iOS 15 and newer). Received: {str(path)!r}, which holds {held}."
            " Convert again with a deployment target of iOS15 or newer."
        )
    return spec
