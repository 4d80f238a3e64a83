"""Activations with a gradient that is one pass over memory on a CPU."""

import math

import tensorflow as tf
import tf_keras as keras


@keras.saving.register_keras_serializable(package="keras_mobattn")
class Swish(keras.layers.Layer):
    """x * sigmoid(x), of any shape: `Activation("swish")` with a faster gradient. The forward pass is the same graph.

    The gradient, g (s + x s (1 - s)) with s = sigmoid(x), is five operators that each read and write whole maps. On a
    CPU, XLA makes one loop of them, which takes a third of the time. Only x is kept for it, as in `tf.nn.silu`.
    """

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return _swish(x)


@keras.saving.register_keras_serializable(package="keras_mobattn")
class Gelu(keras.layers.Layer):
    """x Phi(x) = 0.5 x (1 + erf(x / sqrt(2))), of any shape: the exact GELU (arXiv:1606.08415), torch's default.

    `tf.nn.gelu` is written with erfc, which Core ML's converter doesn't know. This form, in this order, becomes one
    GELU in TFLite and one gelu in Core ML. The gradient is compiled as `Swish`'s.
    """

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return _gelu(x)


@tf.custom_gradient
def _swish(x):
    return x * tf.sigmoid(x), _one_pass(_swish_gradient, _compiled_swish_gradient, x)


@tf.custom_gradient
def _gelu(x):
    return 0.5 * x * (1 + tf.math.erf(x * math.sqrt(0.5))), _one_pass(_gelu_gradient, _compiled_gelu_gradient, x)


def _one_pass(plain, compiled, x):
    def gradient(upstream):
        # A GPU has the bandwidth for the operators, and XLA there needs CUDA files that not every machine has.
        # Eagerly each shape would be compiled in the middle of other work.
        as_operators = tf.executing_eagerly() or tf.config.list_physical_devices("GPU")
        return (plain if as_operators else compiled)(x, upstream)

    return gradient


def _swish_gradient(x, upstream):
    with tf.control_dependencies([upstream]):  # or TensorFlow keeps the forward pass's sigmoid until now
        s = tf.sigmoid(x)
    return upstream * (s + x * s * (1 - s))


def _gelu_gradient(x, upstream):
    with tf.control_dependencies([upstream]):
        cumulative = 0.5 * (1 + tf.math.erf(x * math.sqrt(0.5)))
    return upstream * (cumulative + x * tf.exp(-0.5 * x * x) * (0.5 / math.pi) ** 0.5)


_compiled_swish_gradient = tf.function(_swish_gradient, jit_compile=True)
_compiled_gelu_gradient = tf.function(_gelu_gradient, jit_compile=True)
