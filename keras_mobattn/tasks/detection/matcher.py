"""Which anchor learns which object: SSD's matching strategy, as apple/ml-cvnets has it (`ssd_utils.py`)."""

import tensorflow as tf

from keras_mobattn.data.boxes import overlaps
from keras_mobattn.tasks.detection.boxes import encode_boxes, to_centers, to_corners

ENOUGH = 0.5  # intersection over union from which on an anchor learns an object
BACKGROUND = 0  # class of an anchor that learns none; an object's is its label + 1


def match(boxes, labels, anchors):
    """What the anchors of one image learn: (classes int32 [A], offsets float32 [A, 4]).

    `boxes` are corners [n, 4] and `labels` [n] the objects; those with a label below 0 fill up a batch and are none.
    `anchors` are centers [A, 4]. Each anchor gets the object that it overlaps most, of several the first, if it does so
    by ENOUGH; then each object gets the anchor that overlaps it most, whatever that had, and of objects that want the
    same anchor the last one. The offsets of the background are 0.
    """
    real = labels >= 0
    boxes, labels = tf.boolean_mask(boxes, real), tf.boolean_mask(tf.cast(labels, tf.int32), real)
    # One object more, which overlaps nothing, so that there always is one; no anchor is forced to take it.
    boxes = tf.concat([boxes, [[-3.0, -3.0, -2.0, -2.0]]], 0)
    labels = tf.concat([labels, [-1]], 0)
    shared = overlaps(boxes, to_corners(anchors))  # [n + 1, A]
    nearest, most = tf.argmax(shared, 0, tf.int32), tf.reduce_max(shared, 0)
    wanted = tf.argmax(shared[:-1], 1, tf.int32)  # [n], the anchor of each object
    objects = tf.range(tf.size(wanted))[:, None]
    forced = tf.where(wanted[:, None] == tf.range(tf.shape(anchors)[0]), objects, -1)
    forced = tf.reduce_max(tf.concat([forced, tf.fill([1, tf.shape(anchors)[0]], -1)], 0), 0)  # the last; -1: none
    taken = tf.where(forced >= 0, forced, tf.where(most >= ENOUGH, nearest, tf.size(labels) - 1))
    classes = tf.gather(labels, taken) + 1
    learns = (classes != BACKGROUND)[:, None]
    centers = tf.where(learns, to_centers(tf.gather(boxes, taken)), anchors)
    return classes, tf.where(learns, encode_boxes(centers, anchors), 0.0)
