"""Evaluation of a model on a set of images."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import tf_keras as keras
from numpy.typing import ArrayLike

from keras_mobattn.catalog import TASKS
from keras_mobattn.data import Source, batches
from keras_mobattn.errors import InputError, expect_kind, expect_name
from keras_mobattn.layers import ImageRange
from keras_mobattn.models import known_range
from keras_mobattn.models.input_shape import takes_photos
from keras_mobattn.tasks._types import File
from keras_mobattn.tasks.task import Task, expect_keras


class FileModel(File, Protocol):
    """What is read of an exported file: see `export.FileModel`."""

    @property
    def input_range(self) -> ImageRange: ...

    def predict_on_batch(self, images: Any, /) -> np.ndarray | dict[str, np.ndarray]: ...


def evaluate(
    model: keras.Model | FileModel,
    source: Source,
    split: str = "test",
    batch_size: int = 64,
    crop: float | None = 1.0,
    interpolation: str = "bilinear",
    task: Task | None = None,
    *,
    input_scale: ArrayLike | None = None,
    input_bias: ArrayLike | None = None,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> dict[str, Any]:
    """Predict a whole split; return the result of the task's tally, a dict.

    The model is a Keras model, a TFLiteModel or a CoreMLModel. Images get its input size by `data.resize_and_crop` with
    `crop` and `interpolation`, and the range that it takes. A Keras model that doesn't say its range is told by
    `input_scale` and `input_bias`, what RGB 0..255 is multiplied by and what is added then. `progress(done, total)` is
    told how many images are done.

    `task` is a `tasks.Task`, by default classification, whose result is {"accuracy": float, "top5_accuracy": float,
    "num_images": int, "confusion": int64 [classes, classes] (row: truth, column: prediction), "probabilities": float32
    [n, classes], "labels": int64 [n]}, accuracies in 0..1.

    Raises:
        InputError: the model is not one of the task and the source, or has no fixed size; the source has no such split;
            nobody says which numbers the model takes.
    """
    task = TASKS["classification"] if task is None else expect_kind("task", task, Task, "a tasks.Task")
    if hasattr(model, "input_range"):  # an exported file has one
        task = task.for_file(model)
    else:
        expect_keras(model)
    task.expect_model(model, source)
    if not takes_photos(model):
        raise InputError(
            f"Expected a model of RGB images of a fixed size. Received: {model.name} with input {model.input_shape}."
        )
    expect_name(source.num_examples, split, "split")
    input_range = known_range(model, input_scale, input_bias)
    tally = task.tally(source.class_names)
    view: dict[str, Any] = {
        "image_size": model.input_shape[1:3],
        "crop": crop,
        "interpolation": interpolation,
        "task": task,
    }
    done, total = 0, source.num_examples[split]
    for images, learned in batches(source, split, batch_size=batch_size, **view):
        tally.add(learned, model.predict_on_batch(input_range.from_pixels(images)))
        done += len(images)
        progress(done, total)
    return tally.result()
