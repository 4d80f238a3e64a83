"""Half a map's size, by one convolution that also lets the pixels through."""

from collections.abc import Sequence

import tensorflow as tf
import tf_keras as keras


@keras.saving.register_keras_serializable(package="keras_mobattn")
class HalvingConv(keras.layers.Layer):
    """Every second pixel, plus a 3x3 depthwise convolution of stride 2 with bias.

    Shapes: [B, H, W, C] -> [B, ceil(H/2), ceil(W/2), C]. So EfficientFormerV2 downsamples its query ("LocalGlobalQuery"
    in timm: `AvgPool2d(1, 2) + Conv2d(3, 2, 1)`). Both stand on the same pixels, so the pool is a 1 that is added to
    the kernel's centre: XNNPACK refuses a pool of 1x1 with a stride, and the sum of two maps is saved.
    """

    def build(self, input_shape: tf.TensorShape | Sequence[int | None]) -> None:
        channels = input_shape[-1]
        self.depthwise_kernel = self.add_weight(
            name="depthwise_kernel",
            shape=(3, 3, channels, 1),
            initializer=keras.initializers.RandomUniform(-1 / 3, 1 / 3),
        )
        self.bias = self.add_weight(name="bias", shape=(channels,), initializer="zeros")
        super().build(input_shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        centre = tf.reshape(tf.one_hot(4, 9, dtype=x.dtype), (3, 3, 1, 1))
        padded = tf.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        kernel = self.depthwise_kernel + centre
        return tf.nn.depthwise_conv2d(padded, kernel, (1, 2, 2, 1), "VALID") + self.bias
