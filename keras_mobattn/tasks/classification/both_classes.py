"""What one probability says of two classes."""

import numpy as np
import tensorflow as tf
import tf_keras as keras


def both_classes(scores):
    """[1 - p, p] of the one probability p of the second class, [.., 1] -> [.., 2]; scores of several as they are."""
    if scores.shape[-1] != 1:
        return scores
    concatenate = np.concatenate if isinstance(scores, np.ndarray) else tf.concat
    return concatenate([1 - scores, scores], -1)


def num_classes(output_shape):
    """How many classes an output [.., n] is about: two where it is one probability."""
    return max(output_shape[-1], 2)


class Accuracy(keras.metrics.CategoricalAccuracy):
    """The share of images whose label is the most likely class; with mixed labels, the heavier one."""

    def __init__(self):
        super().__init__("accuracy")

    def update_state(self, labels, outputs, sample_weight=None):
        """Add a batch: labels [B, classes], probabilities of the same shape, or [B, 1] of the second class."""
        return super().update_state(labels, both_classes(outputs), sample_weight)
