"""Means over the bins of a map, as torch's AdaptiveAvgPool2d cuts them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_mobattn.errors import InputError, expect_range


@keras.saving.register_keras_serializable(package="keras_mobattn")
class AdaptiveMean(keras.layers.Layer):
    """The means of `bins` x `bins` parts of a map.

    Shapes: [B, H, W, C] -> [B, bins, bins, C]. Part i of n goes from floor(i H / n) to ceil((i + 1) H / n), so that
    parts overlap where n does not divide H: of 32 rows in 6 parts the first has rows 0 to 5, the second 5 to 10. No
    pooling with a stride does that. Here it is a 1x1 convolution, whose channels are the map's pixels: every exporter
    and delegate knows it, while products of rank 3 are on record for wrong numbers on GPUs.

    Raises:
        InputError: bins below 1, or a map of open size.
    """

    def __init__(self, bins: int, **options: Any) -> None:
        super().__init__(**options)
        self.bins = expect_range("bins", bins, 1, whole=True)

    def build(self, input_shape: tf.TensorShape | Sequence[int | None]) -> None:
        if None in input_shape[1:]:
            raise InputError(
                f"Expected a map of fixed size for means over {self.bins} x {self.bins} parts. Received: "
                f"{tuple(input_shape)}. Build the backbone with input_shape."
            )
        super().build(input_shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Means, in the order of rows."""
        _, height, width, channels = x.shape
        if self.bins == 1:
            return tf.reduce_mean(x, (1, 2), keepdims=True)
        if height % self.bins == 0 == width % self.bins:
            size = (height // self.bins, width // self.bins)
            return tf.nn.avg_pool2d(x, size, size, "VALID")
        pixels = tf.transpose(tf.reshape(x, (-1, 1, height * width, channels)), (0, 1, 3, 2))
        shares = np.kron(_shares(height, self.bins), _shares(width, self.bins))  # [H * W, bins * bins]
        means = tf.nn.conv2d(pixels, tf.constant(shares[None, None], x.dtype), 1, "VALID")
        return tf.reshape(tf.transpose(means, (0, 1, 3, 2)), (-1, self.bins, self.bins, channels))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bins": self.bins}


def _shares(side, bins):
    """[side, bins]: how much each pixel counts in the mean of each part."""
    place, part = np.arange(side)[:, None], np.arange(bins)
    inside = (place >= part * side // bins) & (place < -(-(part + 1) * side // bins))
    return inside / inside.sum(0)
