"""The loss of a mask: cross-entropy over the pixels that count."""

import tensorflow as tf

from keras_mobattn.data.targets import IGNORED
from keras_mobattn.layers import map_size, resize_bilinear
from keras_mobattn.tasks.objective import Objective
from keras_mobattn.tasks.segmentation.heads import AUXILIARY, LOGITS
from keras_mobattn.tasks.task import named


class SegmentationLoss(Objective):
    """The mean cross-entropy over a batch's pixels; in training, and of a model that has one, plus `auxiliary_weight`
    times that of the auxiliary head (arXiv:1612.01105).

    `class_weights`, float32 [K], weigh the training's pixels by their class.
    """

    def __init__(self, auxiliary_weight=0.0, class_weights=None):
        self._auxiliary_weight = auxiliary_weight
        self._class_weights = class_weights

    def weighted(self, weights):
        """The same with weights for the classes."""
        return SegmentationLoss(self._auxiliary_weight, tf.constant(weights))

    def __call__(self, images, learned, seen):
        """Losses float32 [B] of a training batch."""
        outputs = named(seen["outputs"], LOGITS)
        losses = pixel_losses(learned["mask"], outputs[LOGITS], self._class_weights)
        if AUXILIARY in outputs:
            losses += self._auxiliary_weight * pixel_losses(learned["mask"], outputs[AUXILIARY], self._class_weights)
        return losses

    def losses(self, learned, outputs):
        """Losses float32 [B] of the logits alone."""
        return pixel_losses(learned["mask"], named(outputs, LOGITS)[LOGITS])


def pixel_losses(mask, logits, class_weights=None):
    """Losses float32 [B], whose mean is the batch's: cross-entropy over all of its pixels that count, 0 without any.

    `mask` uint8 [B, H, W] has the class of each pixel, or IGNORED; `logits` [B, h, w, K] are resized to it with aligned
    corners, as apple/ml-cvnets does. With weights it is torch's weighted mean: over the sum of the pixels' weights.
    """
    logits = resize_bilinear(logits, map_size(mask), align_corners=True)
    counts = mask != IGNORED
    classes = tf.where(counts, tf.cast(mask, tf.int32), 0)
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(classes, tf.cast(logits, tf.float32))
    weights = tf.cast(counts, tf.float32)
    if class_weights is not None:
        weights *= tf.gather(class_weights, classes)
    sums = tf.reduce_sum(weights * entropy, (1, 2))
    images, total = tf.cast(tf.shape(mask)[0], tf.float32), tf.reduce_sum(weights)
    return sums * tf.math.divide_no_nan(images, total)
