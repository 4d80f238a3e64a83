"""Convert Keras models to TFLite and Core ML; every conversion is checked against Keras on real images."""

from collections.abc import Callable

import keras_mobattn._tensorflow  # noqa: F401  first: quietly
from keras_mobattn._types import PathLike
from keras_mobattn.about import About
from keras_mobattn.catalog import (
    COREML_COMPRESSIONS,
    COREML_PRECISIONS,
    COREML_TARGETS,
    INPUT_TYPES,
    IO_DTYPES,
    TFLITE_PRECISIONS,
)
from keras_mobattn.export.check import CheckReport, Tolerance, VerificationError, report_table
from keras_mobattn.export.coreml.convert import expect_coreml, to_coreml
from keras_mobattn.export.coreml.model import CoreMLModel
from keras_mobattn.export.exportable import load, load_trained
from keras_mobattn.export.file_model import FileModel
from keras_mobattn.export.file_name import file_name
from keras_mobattn.export.pixels import expect_io
from keras_mobattn.export.tflite.convert import to_tflite
from keras_mobattn.export.tflite.model import TFLiteModel
from keras_mobattn.files import read_labels
from keras_mobattn.formats.kinds import COREML, TFLITE
from keras_mobattn.formats.tflite.labels import embedded_labels

# suffix of a file -> what runs it
FILE_MODELS: dict[str, Callable[[PathLike], FileModel]] = {TFLITE.suffix: TFLiteModel, COREML.suffix: CoreMLModel}

__all__ = [
    "FILE_MODELS",
    "COREML_COMPRESSIONS",
    "COREML_PRECISIONS",
    "COREML_TARGETS",
    "INPUT_TYPES",
    "IO_DTYPES",
    "TFLITE_PRECISIONS",
    "About",
    "CheckReport",
    "CoreMLModel",
    "FileModel",
    "TFLiteModel",
    "Tolerance",
    "VerificationError",
    "embedded_labels",
    "expect_coreml",
    "expect_io",
    "file_name",
    "load",
    "load_trained",
    "read_labels",
    "report_table",
    "to_coreml",
    "to_tflite",
]
