"""Say what an exported file holds and where it would run. Imports no models: a description takes a file."""

from keras_mobattn.describe.screen import print_tflite
from keras_mobattn.describe.tflite import GPU_MAX_ERROR, TFLiteDescription, describe_tflite

__all__ = ["GPU_MAX_ERROR", "TFLiteDescription", "describe_tflite", "print_tflite"]
