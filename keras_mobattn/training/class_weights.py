"""Losses by class: rare classes count as much as frequent ones."""

import numpy as np
import tensorflow as tf

from keras_mobattn.errors import InputError
from keras_mobattn.tasks import Objective


def balanced(source):
    """A weight for each class, float32 [classes]: training images / (classes x training images of the class).

    scikit-learn calls them "balanced".

    Raises:
        InputError: a class without training images, or images without a label.
    """
    if "label" not in source.targets:
        raise InputError(f"Expected images with a label each for class_weights. Received: {source.name!r}.")
    labels = source.open_encoded("train").map(lambda example: example["label"], tf.data.AUTOTUNE)
    counts = np.zeros(len(source.class_names), np.int64)
    for batch in labels.batch(4096).as_numpy_iterator():
        counts += np.bincount(batch, minlength=len(counts))
    if not counts.all():
        empty = [name for name, count in zip(source.class_names, counts, strict=True) if not count]
        raise InputError(
            f"Expected training images of every class for class_weights. Received: none of {', '.join(empty[:3])}."
        )
    return np.float32(counts.sum() / (len(counts) * counts))


class ClassWeighted(Objective):
    """An objective that weights the training losses of another one by class; mixed labels count by their shares.

    Evaluation has the other's losses as they are.
    """

    def __init__(self, objective, weights):
        self._objective, self._weights = objective, tf.constant(weights)

    def student(self, network):
        """The other objective's."""
        return self._objective.student(network)

    def __call__(self, images, labels, seen):
        """Losses float32 [B] of a training batch with labels [B, classes]."""
        weights = tf.linalg.matvec(tf.cast(labels, tf.float32), self._weights)
        return weights * self._objective(images, labels, seen)

    def losses(self, labels, outputs):
        """The other objective's."""
        return self._objective.losses(labels, outputs)
