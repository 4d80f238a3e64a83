"""RandAugment (Cubuk et al., 2019, arXiv:1909.13719), one image at a time, as torchvision's and as timm's.

augment.py says why it takes the place of keras-cv's layer.
"""

import dataclasses
from collections.abc import Callable, Mapping

import tensorflow as tf

from keras_mobattn.data import image_ops


@dataclasses.dataclass(frozen=True)
class Op:
    """An operation of image_ops, and how its number follows from the strength."""

    apply: Callable
    value: Callable = lambda strength, side: strength  # (strength 0..1, side in pixels) -> the operation's number
    signed: bool = False  # whether half of the images get the negative strength
    geometric: bool = False  # whether it moves pixels, and takes `fill`


def _enhance(strength, side):
    return 1.0 + 0.9 * strength


def _whole_pixels(strength, side):
    pixels = 150 / 331 * strength * side
    return tf.sign(pixels) * tf.floor(tf.abs(pixels))


TORCHVISION = {  # torchvision.transforms.RandAugment, which cvnets uses
    "Identity": Op(image_ops.identity),
    "ShearX": Op(image_ops.shear_x, lambda s, side: 0.3 * s, True, True),
    "ShearY": Op(image_ops.shear_y, lambda s, side: 0.3 * s, True, True),
    "TranslateX": Op(image_ops.shift_x, _whole_pixels, True, True),
    "TranslateY": Op(image_ops.shift_y, _whole_pixels, True, True),
    "Rotate": Op(image_ops.rotate, lambda s, side: 30.0 * s, True, True),
    "Brightness": Op(image_ops.brightness, _enhance, True),
    "Color": Op(image_ops.color, _enhance, True),
    "Contrast": Op(image_ops.contrast, _enhance, True),
    "Sharpness": Op(image_ops.sharpness, _enhance, True),
    "Posterize": Op(image_ops.posterize, lambda s, side: 8 - tf.round(4 * s)),
    "Solarize": Op(image_ops.solarize, lambda s, side: 255 * (1 - s)),
    "AutoContrast": Op(image_ops.auto_contrast),
    "Equalize": Op(image_ops.equalize),
}
TIMM = {  # timm's "rand-...-inc1"
    "AutoContrast": Op(image_ops.auto_contrast),
    "Equalize": Op(image_ops.equalize),
    "Invert": Op(image_ops.invert),
    "Rotate": Op(image_ops.rotate, lambda s, side: 30.0 * s, True, True),
    "Posterize": Op(image_ops.posterize, lambda s, side: 4 - tf.floor(4 * s)),
    "Solarize": Op(image_ops.solarize, lambda s, side: 256 - tf.floor(256 * s)),
    "SolarizeAdd": Op(image_ops.solarize_add, lambda s, side: tf.floor(110 * s)),
    "Color": Op(image_ops.color, _enhance, True),
    "Contrast": Op(image_ops.contrast, _enhance, True),
    "Brightness": Op(image_ops.brightness, _enhance, True),
    "Sharpness": Op(image_ops.sharpness, _enhance, True),
    "ShearX": Op(image_ops.shear_x, lambda s, side: 0.3 * s, True, True),
    "ShearY": Op(image_ops.shear_y, lambda s, side: 0.3 * s, True, True),
    "TranslateX": Op(image_ops.translate_x, lambda s, side: 0.45 * s * side, True, True),
    "TranslateY": Op(image_ops.translate_y, lambda s, side: 0.45 * s * side, True, True),
}


@dataclasses.dataclass(frozen=True)
class RandAugment:
    """`layers` operations of the table `ops`, drawn with replacement, each applied with `probability`.

    Their strength is `strength`, plus normal noise of deviation `noise`, within 0..1. `fill` is the grey level or the
    colour of pixels that geometric operations leave empty.
    """

    ops: Mapping[str, Op]
    strength: float
    noise: float = 0.0
    probability: float = 1.0
    layers: int = 2
    fill: int | tuple[int, int, int] = 0

    def __call__(self, image, seed):
        """uint8 [H, W, 3] and a stateless seed, int64 [2] -> uint8 [H, W, 3]."""
        draws = tf.random.stateless_uniform([self.layers, 3], seed)
        strengths = tf.fill([self.layers], self.strength)
        if self.noise:
            strengths += self.noise * tf.random.stateless_normal([self.layers], seed + 1)
            strengths = tf.clip_by_value(strengths, 0.0, 1.0)
        sides = tf.cast(tf.shape(image), tf.float32)
        for layer in range(self.layers):
            pick, sign, skip = tf.unstack(draws[layer])
            signs = tf.where(sign < 0.5, -1.0, 1.0)
            branches = [
                lambda op=op, image=image, strength=strengths[layer], signs=signs: self._apply(
                    op, image, strength * signs if op.signed else strength, sides
                )
                for op in self.ops.values()
            ]
            index = tf.cast(pick * len(branches), tf.int32)
            index = tf.where(skip < self.probability, index, len(branches))  # the last one does nothing
            image = tf.ensure_shape(tf.switch_case(index, [*branches, lambda image=image: image]), image.shape)
        return image

    def _apply(self, op, image, strength, sides):
        side = sides[0] if op.apply in VERTICAL else sides[1]
        value = op.value(strength, side)
        return op.apply(image, value, self.fill) if op.geometric else op.apply(image, value)


VERTICAL = (image_ops.shift_y, image_ops.translate_y)
