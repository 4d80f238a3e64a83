"""Masks from a segmenter's outputs: a class for each pixel."""

import numpy as np
import tensorflow as tf

from keras_mobattn.layers import resize_bilinear
from keras_mobattn.tasks.segmentation.heads import LOGITS


def scores_of(outputs):
    """The main output of a Keras model or file, of whatever form: scores [B, h, w, K], or classes [B, h, w]."""
    if not isinstance(outputs, dict):
        return outputs
    return outputs[LOGITS] if LOGITS in outputs else next(iter(outputs.values()))


def masks_of(outputs, sides):
    """Classes int32 [B, *sides] of a batch of outputs: scores are resized with aligned corners, then the best is taken,
    as MediaPipe does; classes are resized to the nearest."""
    scores = tf.convert_to_tensor(scores_of(outputs))
    if len(scores.shape) == 3:
        places = [_places(int(side), int(wanted)) for side, wanted in zip(scores.shape[1:], sides, strict=True)]
        return tf.cast(tf.gather(tf.gather(scores, places[0], axis=1), places[1], axis=2), tf.int32)
    return tf.argmax(resize_bilinear(scores, tuple(map(int, sides)), align_corners=True), -1, tf.int32)


def _places(side, wanted):
    """For each of `wanted` pixels in a row the nearest of `side`, by the pixels' centers."""
    return np.minimum((np.arange(wanted) + 0.5) * side / wanted, side - 1).astype(np.int32)
