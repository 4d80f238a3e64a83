"""MixUp and CutMix, which mix the images of a batch, and RandomErasing."""

import dataclasses

import tensorflow as tf

ERASED_AREA = (0.02, 0.33)  # torchvision.transforms.RandomErasing, which cvnets uses
ERASED_ASPECT = (0.3, 3.3)
TRIES = 10


@dataclasses.dataclass(frozen=True)
class Mixing:
    """Mixes each image of a batch with the one before it, by MixUp or by CutMix.

    MixUp (Zhang et al., 2018, arXiv:1710.09412) adds them with weights lam and 1 - lam; CutMix (Yun et al., 2019,
    arXiv:1905.04899) pastes a box of 1 - lam of the area, cut off at the border, and weighs the labels by the visible
    areas. lam is drawn from Beta(alpha, alpha). With both, each is drawn for half of the batches.
    """

    mixup: float = 0.0  # alpha; 0 leaves it out
    cutmix: float = 0.0

    def __call__(self, images, labels, seed):
        """(uint8 or float32 [B, H, W, 3], float32 [B, classes], int64 [2]) -> both mixed, float32."""
        ways = [(way, alpha) for way, alpha in ((mix_up, self.mixup), (cut_mix, self.cutmix)) if alpha]
        pick = tf.random.stateless_uniform([], seed) * len(ways)
        branches = [
            lambda way=way, alpha=alpha: way(images, labels, beta(alpha, seed + 1), seed + 2) for way, alpha in ways
        ]
        mixed, targets = tf.switch_case(tf.cast(pick, tf.int32), branches)
        return tf.ensure_shape(mixed, images.shape), tf.ensure_shape(targets, labels.shape)


def mix_up(images, labels, lam, seed):
    """lam times each image and label, plus 1 - lam times those before it, both float32.

    Rolled before the cast: copies of a batch in float32 are expensive.
    """

    def mix(each):
        before = tf.cast(tf.roll(each, 1, axis=0), tf.float32)
        return before + lam * (tf.cast(each, tf.float32) - before)  # never beyond the two, as a sum of products can be

    return mix(images), mix(labels)


def cut_mix(images, labels, lam, seed):
    """Each image with a box of the one before it: sqrt(1 - lam) of both sides, around a uniformly drawn centre."""
    height, width = tf.unstack(tf.shape(images)[1:3])
    sides = tf.cast(tf.stack([height, width]), tf.float32)
    centre = tf.random.stateless_uniform([2], seed) * sides
    half = tf.sqrt(1 - lam) / 2 * sides
    low = tf.cast(tf.clip_by_value(tf.round(centre - half), 0.0, sides), tf.int32)
    high = tf.cast(tf.clip_by_value(tf.round(centre + half), 0.0, sides), tf.int32)
    pasted = tf.roll(images[:, low[0] : high[0], low[1] : high[1]], 1, axis=0)
    between = tf.concat([images[:, low[0] : high[0], : low[1]], pasted, images[:, low[0] : high[0], high[1] :]], axis=2)
    mixed = tf.cast(tf.concat([images[:, : low[0]], between, images[:, high[0] :]], axis=1), tf.float32)
    share = tf.cast(tf.reduce_prod(high - low), tf.float32) / tf.reduce_prod(sides)
    return mixed, (1 - share) * labels + share * tf.roll(labels, 1, axis=0)


def beta(alpha, seed):
    """One draw of Beta(alpha, alpha), from two gammas; for alpha from .1 up, below which they underflow."""
    gammas = tf.random.stateless_gamma([2], seed, alpha)
    return gammas[0] / tf.maximum(tf.reduce_sum(gammas), 1e-30)


def random_erasing(image, seed, probability, noise=None):
    """An image uint8 [H, W, 3], in which a random box is erased with `probability` (Zhong et al., arXiv:1708.04896).

    The box is black; or, with `noise`, normal noise of this (mean, deviation) by channel, cut off at 0 and 255.
    """
    draws = tf.random.stateless_uniform([4, TRIES], seed)
    chosen = tf.random.stateless_uniform([], seed + 1) < probability
    sides = tf.cast(tf.shape(image)[:2], tf.float32)
    low, high = ERASED_AREA
    area = (low + (high - low) * draws[0]) * tf.reduce_prod(sides)
    low, high = (tf.math.log(limit) for limit in ERASED_ASPECT)
    aspect = tf.exp(low + (high - low) * draws[1])
    box = tf.round(tf.sqrt(tf.stack([area * aspect, area / aspect])))  # [2, TRIES]
    fits = tf.reduce_all(box < sides[:, None], axis=0) & chosen
    first = tf.argmax(fits)  # the first True
    box = box[:, first]
    begin = tf.floor(draws[2:, first] * (sides - box + 1))
    top, left, bottom, right = tf.unstack(tf.cast(tf.concat([begin, begin + box], 0), tf.int32))

    def erased():
        shape = [bottom - top, right - left, 3]
        fill = tf.zeros(shape) if noise is None else tf.random.stateless_normal(shape, seed + 2) * noise[1] + noise[0]
        fill = tf.saturate_cast(tf.round(fill), tf.uint8)
        between = tf.concat([image[top:bottom, :left], fill, image[top:bottom, right:]], axis=1)
        return tf.concat([image[:top], between, image[bottom:]], axis=0)

    return tf.ensure_shape(tf.cond(tf.reduce_any(fits), erased, lambda: image), image.shape)
