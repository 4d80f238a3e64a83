"""A random crop of an image at a random size, as apple/ml-cvnets trains segmenters (`RandomShortSizeResize`, and
`RandomCrop` with `seg_class_max_ratio`): crops that one class fills teach little."""

import tensorflow as tf

from keras_mobattn.data.targets import IGNORED

TRIES = 10  # of a crop
LARGEST_SHARE = 0.75  # of the pixels with a class that one class may have
LONGEST = 2.0  # times the view's longer side that an image's longer side has


def scaled_size(shape, image_size, shares, seed):
    """The size, int32 [2], to which an image of `shape` int32 [h, w] is resized for a view of `image_size`.

    Its shorter side is uniform between the `shares` of the view's shorter side; its longer one is at most LONGEST times
    the view's.
    """
    sides, view = tf.cast(shape, tf.float32), tf.cast(tf.stack(image_size), tf.float32)
    low, high = shares
    share = low + (high - low) * tf.random.stateless_uniform([], seed)
    scale = tf.minimum(
        share * tf.reduce_min(view) / tf.reduce_min(sides), LONGEST * tf.reduce_max(view) / tf.reduce_max(sides)
    )
    return tf.maximum(tf.cast(tf.round(sides * scale), tf.int32), 1)


def crop_corner(scaled, image_size, seed, mask=None):
    """The corner, int32 [2], of a random view of `image_size` in an image of `scaled` int32 [h, w]; 0 along a side that
    is no longer than the view's.

    With the image's `mask` uint8 [h, w, 1] it is the first of TRIES draws in which no class has more than
    LARGEST_SHARE, or the last.
    """
    view = tf.stack(image_size)
    room = tf.maximum(scaled - view, 0) + 1
    draws = tf.random.stateless_uniform([TRIES, 2], seed)
    corners = tf.minimum(tf.cast(draws * tf.cast(room, tf.float32), tf.int32), room - 1)
    if mask is None:
        return corners[0]
    mask = tf.image.resize(mask, scaled, tf.image.ResizeMethod.NEAREST_NEIGHBOR)[..., 0]

    def is_mixed(corner):
        end = tf.minimum(corner + view, scaled)
        part = mask[corner[0] : end[0], corner[1] : end[1]]
        counts = tf.math.bincount(tf.cast(tf.reshape(part, [-1]), tf.int32), minlength=256, maxlength=256)[:IGNORED]
        most, all_of_them = (tf.cast(count, tf.float32) for count in (tf.reduce_max(counts), tf.reduce_sum(counts)))
        return (most <= LARGEST_SHARE * all_of_them) & (most > 0)

    last = tf.while_loop(
        lambda place: (place < TRIES - 1) & ~is_mixed(corners[place]), lambda place: (place + 1,), (tf.constant(0),)
    )
    return corners[last[0]]
