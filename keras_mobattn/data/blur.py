"""Gaussian blur of 7x7 pixels, as torchvision's `gaussian_blur`, with which apple/ml-cvnets trains segmenters."""

import tensorflow as tf

SIGMA = (0.1, 1.0)  # in pixels
RADIUS = 3  # three sigma at most


def random_blur(image, seed, share):
    """The image uint8 [H, W, 3], blurred in a `share` of all by a sigma uniform in SIGMA; `seed` is int64 [2]."""
    chosen, place = tf.unstack(tf.random.stateless_uniform([2], seed))
    sigma = SIGMA[0] + (SIGMA[1] - SIGMA[0]) * place
    return tf.ensure_shape(tf.cond(chosen < share, lambda: blur(image, sigma), lambda: image), image.shape)


def blur(image, sigma):
    """The image uint8 [H, W, 3], smoothed by a Gaussian of `sigma` pixels; its border is mirrored. An image of up to
    RADIUS pixels a side stays."""
    places = tf.range(-RADIUS, RADIUS + 1, dtype=tf.float32)
    weights = tf.exp(-0.5 * (places / sigma) ** 2)
    return tf.cond(
        tf.reduce_min(tf.shape(image)[:2]) > RADIUS,
        lambda: _smoothed(image, weights / tf.reduce_sum(weights)),
        lambda: image,
    )


@tf.function(jit_compile=True)
def _smoothed(image, weights):
    pixels = tf.cast(image, tf.float32)
    for axis in (0, 1):
        side = tf.shape(image)[axis]
        around = tf.pad(pixels, [[RADIUS, RADIUS] if each == axis else [0, 0] for each in range(3)], "REFLECT")
        parts = [
            around[start : start + side] if axis == 0 else around[:, start : start + side]
            for start in range(2 * RADIUS + 1)
        ]
        pixels = tf.add_n([weights[number] * part for number, part in enumerate(parts)])
    return tf.cast(tf.round(pixels), tf.uint8)
