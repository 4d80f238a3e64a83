"""Training with Keras `fit`: settings, schedule, averaged weights, checkpoints, and the run that ties them together."""

import keras_mobattn._tensorflow  # noqa: F401  first: quietly
from keras_mobattn.catalog import RECIPES
from keras_mobattn.recipes import recipe_settings
from keras_mobattn.settings import Execution, TrainSettings, load_settings
from keras_mobattn.training.evaluate import evaluate
from keras_mobattn.training.history import read_history
from keras_mobattn.training.run import train
from keras_mobattn.training.stop import Diverged, Stopped, WorkerLost

__all__ = [
    "RECIPES",
    "Diverged",
    "Execution",
    "Stopped",
    "TrainSettings",
    "WorkerLost",
    "evaluate",
    "load_settings",
    "read_history",
    "recipe_settings",
    "train",
]
