"""Where half precision is not enough, and how to come back to it."""

import tensorflow as tf


def at_least_float32(x):
    """Cast float16 and bfloat16 to float32; leave float32 and float64 alone.

    A sum over 1,000 tokens of magnitude 1e3 is 1e6, and float16 ends at 65,504.
    """
    return tf.cast(x, tf.float32) if x.dtype in (tf.float16, tf.bfloat16) else x


def saturate(x, dtype):
    """Cast to `dtype`; what lies beyond its range becomes its largest value, not infinity."""
    return x if x.dtype == dtype else tf.saturate_cast(x, dtype)
