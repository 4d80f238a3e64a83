"""Clipping of gradients: by the norm of all, or each unit's by the norm of its weights.

Named in keras_mobattn.catalog.CLIPS.
"""

import tensorflow as tf

from keras_mobattn.names import DEPTHWISE, role_of

SMALLEST_NORM = 1e-3  # of a unit's weights, so that one that starts at 0 can leave it
SMALLEST_GRADIENT = 1e-6  # keeps a gradient of 0 from dividing by 0


def by_norm(gradients, weights, limit, norm):
    """All gradients, scaled by `limit` / `norm` where their global norm `norm` is larger than `limit`."""
    return tf.clip_by_global_norm(gradients, limit, norm)[0]


def by_unit(gradients, weights, limit, norm):
    """Adaptive gradient clipping (Brock et al., arXiv:2102.06171, equation 3; timm/utils/agc.py).

    The gradient of each unit (the weights of one output channel) is scaled down to `limit` times the norm of the unit's
    weights. A vector of biases or scales is one unit. As in timm, no weight is left out.
    """

    def clipped(gradient, weight):
        axes = _within_unit(weight)
        largest = limit * tf.maximum(_norm(weight, axes), SMALLEST_NORM)
        seen = _norm(gradient, axes)
        return tf.where(seen < largest, gradient, gradient * (largest / tf.maximum(seen, SMALLEST_GRADIENT)))

    return [clipped(*pair) for pair in zip(gradients, weights, strict=True)]


def _norm(x, axes):
    return tf.sqrt(tf.reduce_sum(tf.square(x), axes, keepdims=True))


def _within_unit(weight):
    """The axes of a weight within one unit: all but the last, which counts units.

    Of a depthwise kernel [H, W, C, 1], with a filter for each channel, they are the first two; of a vector all.
    """
    axes = list(range(weight.shape.rank))
    if weight.shape.rank < 2:
        return axes
    return axes[:2] if role_of(weight.name) == DEPTHWISE else axes[:-1]
