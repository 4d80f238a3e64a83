"""Augmentations by name: keras-cv layers made repeatable, and the random-resized crop of ImageNet training.

Throughput of one layer in a tf.function on a 2-core CPU, batches of 128 at 64x64, images/s: RandomBrightness 190,000,
RandomContrast 28,000, RandomFlip 19,000, RandomTranslation 16,000, RandomZoom 16,000, RandomRotation 14,000,
RandomShear 7,500, RandomColorJitter 3,400.
"""

import contextlib
import dataclasses
import functools
import io
from collections.abc import Callable

import tensorflow as tf

from keras_mobattn._quiet import quiet_stderr

BLACK_OUTSIDE = {"fill_mode": "constant", "fill_value": 0.0}  # the digits' own background, and they touch the border
PIXELS = {"value_range": (0, 255)}
TRIES = 10  # of a random crop, before the middle is taken
FLOAT = {"dtype": "float32"}  # also where TF_USE_LEGACY_KERAS=1 gives the layers tf_keras's global dtype policy


class _Draws:
    """Random numbers that depend on one seed per batch and on nothing else, for keras-cv's layers to draw from.

    keras-cv's own can't be repeated inside tf.data: its generators are shared state that parallel calls reach in any
    order, its factor samplers start anew with every epoch, and seed=0 means "no seed".
    """

    def start(self, seed):
        """Begin a batch; `seed` is int64 [2]."""
        self._seed = seed
        self._count = 0

    def uniform(self, shape, minval=0.0, maxval=1.0, dtype=tf.float32):
        """As tf.random.Generator.uniform."""
        self._count += 1
        seed = tf.random.fold_in(self._seed, self._count)
        return tf.random.stateless_uniform(shape, seed, minval=minval, maxval=maxval, dtype=dtype)

    def serve(self, layer):
        """Make a keras-cv layer draw from here: its generator, and its factors that are uniform over a range."""
        from keras_cv.core import UniformFactorSampler

        layer._random_generator = self  # where keras-cv documents that a layer's random numbers come from
        for name, factor in list(vars(layer).items()):
            if isinstance(factor, UniformFactorSampler):
                sample = functools.partial(self.uniform, minval=factor.lower, maxval=factor.upper)
                setattr(layer, name, sample)


def _digit_layers():
    """No flips: a mirrored 2 or 5 is no digit. All five in tf.data: 2,500 images of 64x64 per second of CPU time."""
    from keras_cv import layers

    return [
        layers.RandomRotation(12 / 360, **BLACK_OUTSIDE, **FLOAT),
        layers.RandomZoom((-0.1, 0.1), (-0.1, 0.1), **BLACK_OUTSIDE, **FLOAT),
        layers.RandomTranslation(0.08, 0.08, **BLACK_OUTSIDE, **FLOAT),
        layers.RandomContrast(factor=0.3, **PIXELS, **FLOAT),
        layers.RandomBrightness(factor=0.1, **PIXELS, **FLOAT),
    ]


def _photo_layers():
    from keras_cv import layers

    return [layers.RandomFlip("horizontal", **FLOAT)]


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How training images are varied.

    `layers` builds the keras-cv layers that a whole batch in 0..255 passes through. With `crop_area` (smallest and
    largest share of the image's area) each image is a random crop of the whole picture; without, it is what evaluation
    sees.
    """

    layers: Callable[[], list] | None = None
    crop_area: tuple[float, float] | None = None


AUGMENTATIONS = {
    "none": Augmentation(),
    "digits": Augmentation(_digit_layers),
    "imagenet": Augmentation(_photo_layers, crop_area=(0.08, 1.0)),
}


def augmenter(augmentation):
    """A function (images float32 [B, H, W, 3] in 0..255, seed int64 [2]) -> the same, varied as `augmentation` says.

    The same seed gives the same images, in any order of calls, so the function can be mapped in parallel.
    """
    with quiet_stderr(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        layers = augmentation.layers()  # importing keras_cv may say "Using TensorFlow backend"

    draws = _Draws()
    for layer in layers:
        draws.serve(layer)

    def augment(images, seed):
        draws.start(seed)
        for layer in layers:
            images = layer(images)
        return tf.clip_by_value(images, 0.0, 255.0)

    return augment


def random_box(shape, seed, area, aspect):
    """A random part of an image of `shape` int32 [h, w]: its (top, left) and (height, width), each int32 [2].

    Drawn as torchvision's and timm's RandomResizedCrop do: a share of the image's area, uniform in `area`; width to
    height log-uniform from 3/4 to 4/3 times `aspect`; the first of TRIES draws that fits, else the largest part in the
    middle whose aspect is within bounds. Not tf.image's stateless_sample_distorted_bounding_box, which draws the side
    uniformly and not the area (mean area .45 for (.08, 1) and not .52), nor keras-cv's RandomCropAndResize, whose
    aspect is relative to the image, whose resize has no antialiasing, and which crops all images of a batch alike.
    """
    draws = tf.random.stateless_uniform([4, TRIES], seed)
    h, w = tf.unstack(tf.cast(shape, tf.float32))
    aspect = tf.cast(aspect, tf.float32)
    low, high = tf.math.log(aspect * 3 / 4), tf.math.log(aspect * 4 / 3)
    pixels = h * w * (area[0] + (area[1] - area[0]) * draws[0])
    ratio = tf.exp(low + (high - low) * draws[1])
    sides = tf.round(tf.sqrt(tf.stack([pixels / ratio, pixels * ratio])))  # [2, TRIES] heights and widths
    room = tf.stack([[h], [w]]) - sides
    fits = tf.reduce_all((room >= 0) & (sides >= 1), axis=0)
    corners = tf.floor(draws[2:] * (room + 1))
    first = tf.argmax(fits)  # the first True
    ratio = tf.clip_by_value(w / h, tf.exp(low), tf.exp(high))
    largest = tf.maximum(1.0, tf.round(tf.stack([tf.minimum(h, w / ratio), tf.minimum(w, h * ratio)])))
    middle = tf.floor((tf.stack([h, w]) - largest) / 2)
    found = tf.reduce_any(fits)
    begin = tf.where(found, corners[:, first], middle)
    size = tf.where(found, sides[:, first], largest)
    return tf.cast(begin, tf.int32), tf.cast(size, tf.int32)


def random_crop(image, seed, area, image_size):
    """A random part of `image` [h, w, 3], resized to `image_size`: float32 [H, W, 3], unrounded."""
    begin, size = random_box(tf.shape(image)[:2], seed, area, image_size[1] / image_size[0])
    begin, size = tf.pad(begin, [[0, 1]]), tf.concat([size, [3]], 0)
    return tf.image.resize(tf.slice(image, begin, size), image_size, antialias=True)
