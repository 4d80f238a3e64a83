"""Tasks: what a model is for, each in a folder of its own: classification, detection and segmentation."""

from typing import TYPE_CHECKING

import keras_mobattn._tensorflow  # noqa: F401  first: quietly
from keras_mobattn.catalog import TASKS
from keras_mobattn.tasks.objective import Objective
from keras_mobattn.tasks.task import MetricTally, OutputMetric, Task, expect_keras

if TYPE_CHECKING:
    import tf_keras as keras

__all__ = ["FEATURES", "TASKS", "MetricTally", "Objective", "OutputMetric", "Task", "task_of"]

FEATURES = Task()  # for a model that none of TASKS recognises


def task_of(model: "keras.Model") -> Task:
    """The task that recognises a Keras model, from anywhere, by its last layers; FEATURES where none does."""
    expect_keras(model)
    return next((task.for_model(model) for task in TASKS.values() if task.recognises(model)), FEATURES)
