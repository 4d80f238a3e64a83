"""Dropout and stochastic depth, whose random numbers survive an interruption."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_mobattn.errors import expect_range


@keras.saving.register_keras_serializable(package="keras_mobattn")
class Dropout(keras.layers.Layer):
    """Set a share `rate` of the values to zero while training, and scale the others by 1 / (1 - rate). Any shape.

    As keras.layers.Dropout, but tf.train.Checkpoint saves the state of its generator, so that a resumed run draws what
    it would have drawn; Keras leaves the state out on purpose (BaseRandomLayer). It is no weight, and model files don't
    have it. The generator is seeded by `random`, as keras.utils.set_random_seed sets it.
    """

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = expect_range("rate", rate, 0, 1, below=True)
        self.generator = tf.random.Generator.from_seed(random.getrandbits(63)) if rate else None

    def call(self, x: tf.Tensor, training: bool | None = False) -> tf.Tensor:
        """The same shape as `x`."""
        if not training or not self.rate:
            return tf.identity(x)
        keep = self.generator.uniform(self.noise_shape(x)) >= self.rate  # type: ignore[union-attr]  # a rate has one
        return tf.where(keep, x / (1 - self.rate), tf.zeros((), x.dtype))

    def noise_shape(self, x: tf.Tensor) -> tf.Tensor:
        """The shape of the draws; it broadcasts to that of `x`."""
        return tf.shape(x)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}


@keras.saving.register_keras_serializable(package="keras_mobattn")
class DropPath(Dropout):
    """Stochastic depth (Huang et al., ECCV 2016, arXiv:1603.09382): drop a residual branch for whole examples.

    Shapes: [B, H, W, C] -> the same. In training each example is 0 with probability `rate`, else divided by 1 - rate.
    The name is timm's; torchvision calls it StochasticDepth of mode "row".
    """

    def noise_shape(self, x: tf.Tensor) -> tf.Tensor:
        return tf.stack([tf.shape(x)[0], 1, 1, 1])


@keras.saving.register_keras_serializable(package="keras_mobattn")
class SpatialDropout(Dropout):
    """Dropout of whole channels of a map (Tompson et al., arXiv:1411.4280): torch's Dropout2d.

    Shapes: [B, H, W, C] -> the same.
    """

    def noise_shape(self, x: tf.Tensor) -> tf.Tensor:
        return tf.stack([tf.shape(x)[0], 1, 1, tf.shape(x)[3]])


def drop_path_rates(rate: float, depths: Sequence[int]) -> list[list[float]]:
    """Rates of the units of each block, linearly from 0 at the very first to `rate` at the very last, as in timm.

    (0.3, (1, 3)) -> [[0.0], [0.1, 0.2, 0.3]].

    Raises:
        InputError: a rate that is not 0 <= rate < 1.
    """
    expect_range("drop_path_rate", rate, 0, 1, below=True)
    rates = iter(np.linspace(0, rate, sum(depths)).tolist())
    return [[next(rates) for _ in range(depth)] for depth in depths]


def drop_path(x: tf.Tensor, rate: float, *, name: str) -> tf.Tensor:
    """`DropPath`, or no layer at all for rate 0."""
    return DropPath(rate, name=name)(x) if rate else x
