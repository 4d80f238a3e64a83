"""SSD's random crop (arXiv:1512.02325, section 2.2, "data augmentation"), as apple/ml-cvnets has it
(`SSDCroping`): a part of the image in which objects remain, large and small ones."""

import tensorflow as tf

from keras_mobattn.data.boxes import overlaps

# What the crop and one of the objects overlap at least, one of them drawn for each image; None: the whole image.
OVERLAPS = (None, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
TRIES = 40  # after which the image stays whole
SIDES = (0.3, 1.0)  # of the image's
ASPECT = (0.5, 2.0)  # height to width
LEAST_PIXELS = 100  # of a side; in images of less than twice that, half of their side


def object_crop(shape, boxes, seed):
    """A random part of an image of `shape` int32 [h, w]: its (top, left) and (height, width), each int32 [2].

    `boxes` are the image's objects, corners [n, 4] in shares. It is the first of TRIES draws with sides and aspect in
    range that one of the objects overlaps by the drawn one of OVERLAPS and that has the centre of an object in it.
    """
    sides = tf.cast(shape, tf.float32)
    draws = tf.random.stateless_uniform([4, TRIES], seed)
    which = tf.random.stateless_uniform([], seed + 1, maxval=len(OVERLAPS), dtype=tf.int32)
    low, high = SIDES
    size = tf.floor(sides[:, None] * (low + (high - low) * draws[:2]))  # [2, TRIES]
    begin = tf.floor((sides[:, None] - size) * draws[2:])
    windows = tf.transpose(tf.concat([begin, begin + size], 0))  # [TRIES, 4] corners in pixels
    boxes = boxes * tf.tile(sides, [2])
    shared = overlaps(windows, boxes)  # [TRIES, n]
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = tf.reduce_all((centre > windows[:, None, :2]) & (centre < windows[:, None, 2:]), -1)
    enough = tf.gather([least or 0.0 for least in OVERLAPS], which)
    aspect = size[0] / tf.maximum(size[1], 1)
    fits = (
        tf.reduce_any(shared >= enough, 1)
        & tf.reduce_any(inside, 1)
        & tf.reduce_all(size >= tf.minimum(float(LEAST_PIXELS), sides / 2)[:, None], 0)
        & (aspect >= ASPECT[0])
        & (aspect <= ASPECT[1])
        & (which > 0)
    )
    first, found = tf.argmax(fits), tf.reduce_any(fits)  # the first True
    begin = tf.where(found, tf.cast(begin[:, first], tf.int32), 0)
    return begin, tf.where(found, tf.cast(size[:, first], tf.int32), shape)
