"""SSD's photometric distortion (arXiv:1512.02325), as apple/ml-cvnets has it (`PhotometricDistort`): brightness,
contrast, saturation, hue and the order of the channels, each changed in half of the images."""

import functools
import itertools

import tensorflow as tf

from keras_mobattn.data.image_ops import brightness, color, contrast

SHARE = 0.5  # of the images that a change is made to
BRIGHTNESS, CONTRAST, SATURATION, HUE = (0.875, 1.125), (0.5, 1.5), (0.5, 1.5), (-0.05, 0.05)
CHANNELS = tuple(itertools.permutations(range(3)))


def photometric(image, seed):
    """The image uint8 [H, W, 3] in another light; `seed` is int64 [2]. Contrast comes second, or in half of them
    fifth."""
    chosen = tf.random.stateless_uniform([5], seed) < SHARE
    late = tf.random.stateless_uniform([], seed + 1) < 0.5
    values = tf.random.stateless_uniform([4], seed + 2)
    order = tf.random.stateless_uniform([], seed + 3, maxval=len(CHANNELS), dtype=tf.int32)
    low, high = (tf.constant(each) for each in zip(BRIGHTNESS, CONTRAST, SATURATION, HUE, strict=True))
    light, spread, colour, turn = tf.unstack(low + (high - low) * values)
    steps = (
        (chosen[0], functools.partial(brightness, value=light)),
        (chosen[1] & ~late, functools.partial(contrast, value=spread)),
        (chosen[2], functools.partial(color, value=colour)),
        (chosen[3], lambda image: tf.image.adjust_hue(image, turn)),
        (chosen[1] & late, functools.partial(contrast, value=spread)),
        (chosen[4], lambda image: tf.gather(image, tf.gather(CHANNELS, order), axis=-1)),
    )
    for wanted, change in steps:
        image = tf.cond(wanted, functools.partial(change, image), functools.partial(tf.identity, image))
    return image
