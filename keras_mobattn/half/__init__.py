"""What half precision does to an exported file, computed without the device that has it."""

from keras_mobattn.formats.float16 import HALF_MAX, HALF_NORMAL
from keras_mobattn.half.arithmetic import MODES, round_to_half
from keras_mobattn.half.evaluate import KINDS_MODES, evaluate_half, evaluate_modes
from keras_mobattn.half.operators import OPERATORS
from keras_mobattn.half.report import HalfReport, TensorReport

__all__ = [
    "HALF_MAX",
    "HALF_NORMAL",
    "KINDS_MODES",
    "MODES",
    "OPERATORS",
    "HalfReport",
    "TensorReport",
    "evaluate_half",
    "evaluate_modes",
    "round_to_half",
]
