"""Normalisations, written with operators that XNNPACK, the GPU delegate and Core ML all take."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from keras_mobattn.errors import expect_range
from keras_mobattn.layers.precision import at_least_float32, saturate

SMALL = 1 / 16  # factor of what is squared
LARGEST = float(tf.float16.max)  # 65504


def normalize(x, axes, epsilon):
    """(x - mean) / sqrt(variance + epsilon) over `axes`, in numbers that float16 holds as well; [B, ..., C], the same.

    A phone's GPU computes an exported model in float16, which ends at 65504 and has few bits below 6e-5. So the squares
    are those of (x - mean) / 16: they overflow at 4096 from the mean instead of 256. What is left of an epsilon of 1e-5
    may be 0 there, and 1 / sqrt(0) is infinite where x is the same everywhere: it is cut off at 1 / sqrt(epsilon),
    which float32 never passes.
    """
    centred = (x - tf.reduce_mean(x, axes, keepdims=True)) * SMALL
    # Not tf.square, of which TFLite makes a SQUARED_DIFFERENCE that reads x once more.
    variance = tf.reduce_mean(centred * centred, axes, keepdims=True)
    return centred * reciprocal_root(variance, SMALL**2 * epsilon)


def reciprocal_root(x, epsilon):
    """1 / sqrt(x + epsilon) for x >= 0, at most 1 / sqrt(epsilon), whatever float16 leaves of epsilon.

    An epsilon below 2.3e-10 does not count: the most is 65504, float16's largest number.
    """
    most = min(epsilon**-0.5, LARGEST) if epsilon else LARGEST
    return tf.minimum(tf.math.rsqrt(x + epsilon), most)


def _normalized(layer, x, axes):
    """The call of a norm layer: gamma times `normalize`, and beta, in float32 or wider whatever the dtype policy."""
    wide = at_least_float32(x)
    gamma, beta = tf.cast(layer.gamma, wide.dtype), tf.cast(layer.beta, wide.dtype)
    return saturate(normalize(wide, axes, layer.epsilon) * gamma + beta, x.dtype)


@keras.saving.register_keras_serializable(package="keras_mobattn")
class GroupNorm1(keras.layers.Layer):
    """Group normalisation with ONE group: mean and variance over pixels, patches and channels of each example.

    y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, with gamma and beta of shape [C]. See `normalize`.

    Shapes: [B, ..., C] -> the same. The statistics are float32 or wider whatever the dtype policy. It is the
    `GroupNorm(1)` of MobileViTv2 (arXiv:2206.02680; `LayerNorm2D_NCHW` in apple/ml-cvnets, `GroupNorm1` in timm).
    Keras's own GroupNormalization reshapes to rank 5, which the GPU delegate refuses.
    """

    def __init__(self, epsilon: float = 1e-5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.epsilon = expect_range("epsilon", epsilon, 0, below=True)

    def build(self, input_shape: tf.TensorShape | Sequence[int | None]) -> None:
        self.gamma = self.add_weight(name="gamma", shape=input_shape[-1:], initializer="ones")
        self.beta = self.add_weight(name="beta", shape=input_shape[-1:], initializer="zeros")
        super().build(input_shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return _normalized(self, x, list(range(1, x.shape.rank)))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="keras_mobattn")
class LayerNormalization(keras.layers.LayerNormalization):
    """Keras's layer norm over the channels of each token or pixel, in numbers that float16 holds. See `normalize`.

    y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, with gamma and beta of shape [C] (Ba et al.,
    arXiv:1607.06450). Keras's own computes the same in float32, and infinite variances in float16 at 256 from the mean.
    The name is Keras's, so that files of weights fit both.

    Shapes: [B, ..., C] -> the same. The statistics are float32 or wider whatever the dtype policy.
    """

    def __init__(self, epsilon: float = 1e-5, **kwargs: Any) -> None:
        super().__init__(epsilon=expect_range("epsilon", epsilon, 0, below=True), **kwargs)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return _normalized(self, x, [x.shape.rank - 1])

    def get_config(self) -> dict[str, Any]:
        return {**keras.layers.Layer.get_config(self), "epsilon": self.epsilon}  # without Keras's other arguments


def l2_normalize(x: tf.Tensor, axis: int | Sequence[int], small: float = SMALL) -> tf.Tensor:
    """x / ||x|| along `axis`, and 0 for a zero vector, with a finite gradient there.

    The squares are those of x * `small`: 1/16 is right for norms up to 4096 in float16, 1 for norms below 256, down to
    1e-2. Vectors shorter than 2e-5 / `small` keep a length below 1.

    `tf.math.l2_normalize` becomes L2_NORMALIZATION in TFLite, which neither XNNPACK nor the GPU delegate takes. With
    x * x in place of a square the converter doesn't recognise it.
    """
    x = x * small if small != 1 else x
    return x * reciprocal_root(tf.reduce_sum(x * x, axis, keepdims=True), 1e-12)
