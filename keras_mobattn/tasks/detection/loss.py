"""SSD's loss with hard negatives (arXiv:1512.02325, equations 1 to 3), as apple/ml-cvnets has it
(`ssd_multibox_loss.py`)."""

import tensorflow as tf

from keras_mobattn.tasks.detection.matcher import BACKGROUND

NEGATIVES = 3  # anchors of the background that are learnt, for each that has an object


def ssd_losses(classes, offsets, scores, predicted):
    """Losses float32 [B], whose mean is the batch's: of all images, over the number of anchors with an object in the
    batch, at least 1.

    `classes` int [B, A] and `offsets` [B, A, 4] are what `matcher.match` gives, `scores` [B, A, 1 + K] the logits, of
    the background first, and `predicted` [B, A, 4] the offsets. An image's sum is that of smooth L1 (half the square
    below 1, the magnitude less .5 above) over the four offsets of each anchor with an object, and of the cross-entropy
    of these anchors and of those `hard_negatives`.
    """
    positive = classes != BACKGROUND
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(classes, scores)  # [B, A]
    learns = positive | hard_negatives(positive, -tf.nn.log_softmax(scores)[..., BACKGROUND])
    off = tf.abs(offsets - predicted)
    places = tf.reduce_sum(tf.where(off < 1, off * off / 2, off - 0.5), -1)  # [B, A]
    sums = tf.reduce_sum(tf.where(learns, entropy, 0) + tf.where(positive, places, 0), 1)
    objects = tf.reduce_sum(tf.cast(positive, sums.dtype))
    return sums * tf.cast(tf.shape(sums)[0], sums.dtype) / tf.maximum(objects, 1)


def hard_negatives(positive, entropy):
    """Bool [B, A]: in each image the NEGATIVES anchors for each with an object whose `entropy`, that of the background,
    is largest, of equal ones the first; none in an image without objects."""
    order = tf.argsort(tf.where(positive, -tf.ones_like(entropy), entropy), direction="DESCENDING", stable=True)
    rank = tf.argsort(order, stable=True)
    wanted = NEGATIVES * tf.reduce_sum(tf.cast(positive, tf.int32), 1, keepdims=True)
    return (rank < wanted) & ~positive
