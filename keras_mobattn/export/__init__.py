"""Convert Keras models to TFLite and Core ML; every conversion is checked against Keras on real images."""

from keras_mobattn.export.check import CheckReport, Tolerance, VerificationError, report_table
from keras_mobattn.export.coreml import COREML_PRECISIONS, COREML_TARGETS, to_coreml
from keras_mobattn.export.interface import IO_DTYPES
from keras_mobattn.export.metadata import About, embedded_labels, read_labels
from keras_mobattn.export.signature import load
from keras_mobattn.export.tflite import TFLITE_PRECISIONS, to_tflite
from keras_mobattn.export.tflite_model import TFLiteModel

__all__ = [
    "COREML_PRECISIONS",
    "COREML_TARGETS",
    "IO_DTYPES",
    "TFLITE_PRECISIONS",
    "About",
    "CheckReport",
    "TFLiteModel",
    "Tolerance",
    "VerificationError",
    "embedded_labels",
    "load",
    "read_labels",
    "report_table",
    "to_coreml",
    "to_tflite",
]
