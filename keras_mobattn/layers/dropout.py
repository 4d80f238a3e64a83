"""Dropout whose random numbers survive an interruption."""

import random

import tensorflow as tf
import tf_keras as keras


@keras.saving.register_keras_serializable(package="keras_mobattn")
class Dropout(keras.layers.Layer):
    """Set a share `rate` of the values to zero while training, and scale the others by 1 / (1 - rate). Any shape.

    As keras.layers.Dropout, but the state of its generator is saved by tf.train.Checkpoint, so that a resumed run draws
    what it would have drawn; Keras leaves it out on purpose (BaseRandomLayer). It is not among the weights, and files
    of models don't have it. The generator is seeded by `random`, as keras.utils.set_random_seed sets it.
    """

    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.generator = tf.random.Generator.from_seed(random.getrandbits(63)) if rate else None

    def call(self, x, training=False):
        """The same shape as `x`."""
        if not training or not self.rate:
            return tf.identity(x)
        keep = self.generator.uniform(self.noise_shape(x)) >= self.rate
        return tf.where(keep, x / (1 - self.rate), tf.zeros((), x.dtype))

    def noise_shape(self, x):
        """The shape of the draws; it broadcasts to that of `x`."""
        return tf.shape(x)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}
