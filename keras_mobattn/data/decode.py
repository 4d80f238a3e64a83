"""Encoded images to pixels."""

import tensorflow as tf


def decode(image):
    """A JPEG, PNG, BMP or GIF (its first frame) as uint8 [h, w, 3] RGB; transparency is dropped. Pixels stay pixels."""
    if image.dtype == tf.string:
        image = tf.io.decode_image(image, channels=3, expand_animations=False)
    return tf.ensure_shape(image, [None, None, 3])
