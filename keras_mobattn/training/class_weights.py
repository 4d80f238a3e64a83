"""Weights of classes: rare ones count as much as frequent ones."""

import numpy as np

from keras_mobattn.errors import InputError


def balanced(task, source):
    """A weight for each class, float32 [K]: all of the training / (K x those of the class), images or pixels, as the
    task counts.

    scikit-learn calls them "balanced".

    Raises:
        InputError: a class that isn't in the training images, or images without a label.
    """
    counts = task.class_counts(source)
    if not counts.all():
        empty = [name for name, count in zip(source.class_names, counts, strict=True) if not count]
        raise InputError(
            f"Expected training images of every class for class_weights. Received: none of {', '.join(empty[:3])}."
        )
    return np.float32(counts.sum() / (len(counts) * counts))
