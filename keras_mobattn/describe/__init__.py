"""Say what an exported file holds and where it would run. Imports no models: a description takes a file."""

from keras_mobattn.describe.coreml import CoreMLDescription, describe_coreml
from keras_mobattn.describe.coreml_plan import DEVICES
from keras_mobattn.describe.coreml_screen import print_coreml
from keras_mobattn.describe.screen import print_tflite
from keras_mobattn.describe.tflite import GPU_MAX_ERROR, TFLiteDescription, describe_tflite

__all__ = [
    "DEVICES",
    "GPU_MAX_ERROR",
    "CoreMLDescription",
    "TFLiteDescription",
    "describe_coreml",
    "describe_tflite",
    "print_coreml",
    "print_tflite",
]
