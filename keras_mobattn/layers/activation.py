"""Swish, with a gradient that is one pass over memory on a CPU."""

import tensorflow as tf
import tf_keras as keras


@keras.saving.register_keras_serializable(package="keras_mobattn")
class Swish(keras.layers.Layer):
    """x * sigmoid(x), of any shape: `Activation("swish")` with a faster gradient. The forward pass is the same graph.

    The gradient, g (s + x s (1 - s)) with s = sigmoid(x), is five operators that each read and write whole maps. XLA
    makes one loop of them, which takes a third of the time on a CPU: 3.8 instead of 12.4 ms for [16, 64, 64, 128] on
    two cores, .92 of a whole step of MobileViTv2-1.0. Only x is kept for it, as in `tf.nn.silu`.
    """

    def call(self, x):
        return _swish(x)


@tf.custom_gradient
def _swish(x):
    def gradient(upstream):
        # A GPU has the bandwidth for the operators, and XLA there needs CUDA files that not every machine has.
        # Eagerly each shape would be compiled in the middle of other work.
        plain = tf.executing_eagerly() or tf.config.list_physical_devices("GPU")
        return _swish_gradient(x, upstream) if plain else _compiled_gradient(x, upstream)

    return x * tf.sigmoid(x), gradient


def _swish_gradient(x, upstream):
    with tf.control_dependencies([upstream]):  # or TensorFlow keeps the forward pass's sigmoid until now
        s = tf.sigmoid(x)
    return upstream * (s + x * s * (1 - s))


_compiled_gradient = tf.function(_swish_gradient, jit_compile=True)
