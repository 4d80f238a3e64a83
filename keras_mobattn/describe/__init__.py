"""Say what an exported file holds and where it would run. Imports no models: a description takes a file."""

from keras_mobattn.describe.coreml.compute_plan import DEVICES
from keras_mobattn.describe.coreml.describe import CoreMLDescription, describe_coreml
from keras_mobattn.describe.coreml.screen import print_coreml
from keras_mobattn.describe.half import HalfMode, HalfVerdict
from keras_mobattn.describe.tflite.describe import GPU_MAX_ERROR, TFLiteDescription, describe_tflite
from keras_mobattn.describe.tflite.screen import print_tflite

__all__ = [
    "DEVICES",
    "GPU_MAX_ERROR",
    "CoreMLDescription",
    "HalfMode",
    "HalfVerdict",
    "TFLiteDescription",
    "describe_coreml",
    "describe_tflite",
    "print_coreml",
    "print_tflite",
]
