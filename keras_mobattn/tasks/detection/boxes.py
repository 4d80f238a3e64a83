"""Boxes in two forms, and as offsets from anchors (SSD, arXiv:1512.02325, section 2.2).

Corners are (ymin, xmin, ymax, xmax), as in `keras_mobattn.data.targets`; centers are (center x, center y, width,
height), as apple/ml-cvnets has anchors and predictions. All are shares of the image's sides.
"""

import tensorflow as tf

# What offsets are divided by: of centers, and of the logarithms of sizes. cvnets' center_variance and size_variance.
CENTER_VARIANCE, SIZE_VARIANCE = 0.1, 0.2


def to_corners(centers):
    """[.., 4] centers as corners."""
    x, y, width, height = tf.unstack(centers, axis=-1)
    return tf.stack([y - height / 2, x - width / 2, y + height / 2, x + width / 2], -1)


def to_centers(corners):
    """[.., 4] corners as centers."""
    top, left, bottom, right = tf.unstack(corners, axis=-1)
    return tf.stack([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top], -1)


def encode_boxes(centers, anchors):
    """Centers [.., A, 4] as offsets from anchors [A, 4]: (center - anchor's) / its size / CENTER_VARIANCE, and
    log(size / anchor's) / SIZE_VARIANCE. Sizes have to be above 0."""
    places = (centers[..., :2] - anchors[..., :2]) / anchors[..., 2:] / CENTER_VARIANCE
    return tf.concat([places, tf.math.log(centers[..., 2:] / anchors[..., 2:]) / SIZE_VARIANCE], -1)


def decode_boxes(offsets, anchors):
    """The centers [.., A, 4] of offsets: what `encode_boxes` made them of."""
    places = offsets[..., :2] * CENTER_VARIANCE * anchors[..., 2:] + anchors[..., :2]
    return tf.concat([places, tf.exp(offsets[..., 2:] * SIZE_VARIANCE) * anchors[..., 2:]], -1)
