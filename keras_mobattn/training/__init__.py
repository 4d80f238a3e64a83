"""Training with Keras `fit`: settings, schedule, averaged weights, checkpoints, and the run that ties them together."""

from keras_mobattn.training.evaluate import evaluate
from keras_mobattn.training.history import read_history
from keras_mobattn.training.run import train
from keras_mobattn.training.settings import TrainSettings, load_settings

__all__ = ["TrainSettings", "evaluate", "load_settings", "read_history", "train"]
