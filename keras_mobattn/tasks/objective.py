"""What training minimises."""

import tensorflow as tf
import tf_keras as keras
from numpy.typing import ArrayLike

from keras_mobattn.tasks._types import Arrays


class Objective:
    """The losses that training minimises. A subclass defines `losses`; `student` where it needs more than the outputs.

    Raises:
        NotImplementedError: `losses` of this class.
    """

    def student(self, network: keras.Model) -> keras.Model:
        """A model on the layers of `network`; its output is `seen` in `__call__`: {"outputs": network's output, ..}."""
        return keras.Model(network.inputs, {"outputs": network.output})

    def __call__(self, images: tf.Tensor, learned: Arrays, seen: dict[str, Arrays]) -> tf.Tensor:
        """Losses float32 [B] of a training batch; `learned` are its labels by `Task.encode`."""
        return self.losses(learned, seen["outputs"])

    def losses(self, learned: Arrays, outputs: Arrays) -> tf.Tensor:
        """Losses float32 [B] from the model's outputs alone, for evaluation."""
        raise NotImplementedError(f"{type(self).__name__} must define losses(learned, outputs).")

    def weighted(self, weights: ArrayLike) -> "Objective":
        """This objective with weights, float32 [K], for the classes; by default a ClassWeighted."""
        return ClassWeighted(self, weights)


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
