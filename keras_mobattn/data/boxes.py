"""How much boxes overlap. Corners are (ymin, xmin, ymax, xmax), in shares or in pixels."""

import tensorflow as tf

OVERLAP_EPSILON = 1e-5  # cvnets' (ssd_utils.py): two boxes of no area have nothing in common


def overlaps(one, other):
    """Intersection over union [n, m] of corners [n, 4] and [m, 4]."""
    top_left = tf.maximum(one[:, None, :2], other[None, :, :2])
    bottom_right = tf.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = tf.reduce_prod(tf.maximum(bottom_right - top_left, 0), -1)
    areas = [tf.reduce_prod(tf.maximum(boxes[:, 2:] - boxes[:, :2], 0), -1) for boxes in (one, other)]
    return shared / (areas[0][:, None] + areas[1][None] - shared + OVERLAP_EPSILON)
