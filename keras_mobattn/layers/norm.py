"""Normalisations, written with operators that XNNPACK, the GPU delegate and Core ML all take."""

import tensorflow as tf
import tf_keras as keras

from keras_mobattn.errors import expect_range
from keras_mobattn.layers.precision import at_least_float32, saturate


@keras.saving.register_keras_serializable(package="keras_mobattn")
class GroupNorm1(keras.layers.Layer):
    """Group normalisation with ONE group: mean and variance over pixels, patches and channels of each example.

    y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, with gamma and beta of shape [C].

    Shapes: [B, ..., C] -> the same. The statistics are float32 or wider whatever the dtype policy. It is the
    `GroupNorm(1)` of MobileViTv2 (arXiv:2206.02680; `LayerNorm2D_NCHW` in apple/ml-cvnets, `GroupNorm1` in timm).
    Keras's own GroupNormalization reshapes to rank 5, which the GPU delegate refuses.
    """

    def __init__(self, epsilon=1e-5, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = expect_range("epsilon", epsilon, 0, below=True)

    def build(self, input_shape):
        self.gamma = self.add_weight(name="gamma", shape=input_shape[-1:], initializer="ones")
        self.beta = self.add_weight(name="beta", shape=input_shape[-1:], initializer="zeros")
        super().build(input_shape)

    def call(self, x):
        wide = at_least_float32(x)
        axes = list(range(1, x.shape.rank))
        centred = wide - tf.reduce_mean(wide, axes, keepdims=True)
        # Not tf.square, of which TFLite makes a SQUARED_DIFFERENCE that reads x once more.
        variance = tf.reduce_mean(centred * centred, axes, keepdims=True)
        gamma, beta = tf.cast(self.gamma, wide.dtype), tf.cast(self.beta, wide.dtype)
        return saturate(centred * tf.math.rsqrt(variance + self.epsilon) * gamma + beta, x.dtype)

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon}


def l2_normalize(x, axis):
    """x / ||x|| along `axis`, and 0 for a zero vector, with a finite gradient there.

    `tf.math.l2_normalize` becomes L2_NORMALIZATION in TFLite, which neither XNNPACK nor the GPU delegate takes. With
    x * x in place of a square the converter doesn't recognise it.
    """
    return x * tf.math.rsqrt(tf.reduce_sum(x * x, axis, keepdims=True) + 1e-12)
