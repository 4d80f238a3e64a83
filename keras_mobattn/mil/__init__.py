"""Run the ML program of a Core ML package without macOS: an evaluator of MIL, Core ML's language."""

import keras_mobattn._tensorflow  # noqa: F401  first: quietly
from keras_mobattn.mil.evaluator import Evaluator, evaluate
from keras_mobattn.mil.neural_engine import NeuralEngine
from keras_mobattn.mil.operations import OPS

__all__ = ["OPS", "Evaluator", "NeuralEngine", "evaluate"]
