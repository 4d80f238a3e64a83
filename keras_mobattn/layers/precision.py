"""Where half precision is not enough, and how to come back to it."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf
import tf_keras as keras

HALF = ("float16", "bfloat16")  # names of the dtypes whose range or precision is not enough for sums


@contextlib.contextmanager
def global_policy(name: str | keras.mixed_precision.Policy) -> Iterator[None]:
    """Set Keras's global dtype policy to `name` in this block, and restore it afterwards."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def at_least_float32(x: tf.Tensor) -> tf.Tensor:
    """Cast float16 and bfloat16 to float32; leave float32 and float64 alone.

    A sum over 1,000 tokens of magnitude 1e3 is 1e6, and float16 ends at 65,504.
    """
    return tf.cast(x, tf.float32) if x.dtype.name in HALF else x


def saturate(x: tf.Tensor, dtype: tf.DType | str) -> tf.Tensor:
    """Cast to `dtype`; what lies beyond its range becomes its largest value, not infinity."""
    return x if x.dtype == dtype else tf.saturate_cast(x, dtype)
