"""Augmentations by name: what each training recipe does to its images.

keras-cv's layers serve the digits. For photographs the functions of randaugment.py and mixing.py take their place: they
are faster (docs/measurements.md), a resumed run can repeat their draws, and crops have torchvision's aspect and
antialiasing. training/benchmark_input.py times a whole recipe and its parts.
"""

import contextlib
import dataclasses
import functools
import io
from collections.abc import Callable

import tensorflow as tf

from keras_mobattn._packages import needs
from keras_mobattn._quiet import quiet_stderr
from keras_mobattn.data.mixing import Mixing
from keras_mobattn.data.photometric import photometric
from keras_mobattn.data.randaugment import TIMM, TORCHVISION, RandAugment

BLACK_OUTSIDE = {"fill_mode": "constant", "fill_value": 0.0}  # the digits' own background, and they touch the border
PIXELS = {"value_range": (0, 255)}
TRIES = 10  # of a random crop, before the middle is taken
FLOAT = {"dtype": "float32"}  # or with TF_USE_LEGACY_KERAS=1 the layers would have tf_keras's global dtype policy


class _Draws:
    """A source of random numbers for keras-cv's layers: they depend on one seed per batch and on nothing else.

    keras-cv's own numbers can't be repeated inside tf.data: its generators are shared state that parallel calls reach
    in any order, its factor samplers start anew with every epoch, and seed=0 means "no seed".
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
    """keras-cv's layers for digits. No flips: a mirrored 2 or 5 is no digit."""
    needs("keras-cv")
    from keras_cv import layers

    return [
        layers.RandomRotation(12 / 360, **BLACK_OUTSIDE, **FLOAT),
        layers.RandomZoom((-0.1, 0.1), (-0.1, 0.1), **BLACK_OUTSIDE, **FLOAT),
        layers.RandomTranslation(0.08, 0.08, **BLACK_OUTSIDE, **FLOAT),
        layers.RandomContrast(factor=0.3, **PIXELS, **FLOAT),
        layers.RandomBrightness(factor=0.1, **PIXELS, **FLOAT),
    ]


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How training images are varied: first each image, in the order of the fields, then whole batches.

    Attributes:
        crop_area: the smallest and largest share of an image's area that a random crop shows; None for the whole image,
            as evaluation sees it.
        object_crop: crop around objects, as SSD does, see data.object_crop; it needs boxes.
        short_side: the smallest and largest length, as a share of the view's side, to which an image's shorter side is
            resized before a view is cut from it, or filled up with black; see data.scaled_crop. None: neither.
        interpolation: of the resize, "bilinear" or "bicubic".
        flip: whether half of the images are mirrored left for right.
        blur: the share of images that are blurred.
        photometric: a function (image, seed) that changes light and colours, or None.
        rotation: degrees up to which an image is turned either way, on black.
        rand_augment: the settings of RandAugment, or None.
        erasing: the share of images in which a random box is blacked out.
        erasing_noise: (mean, deviation) by channel of the normal noise that fills the box instead, or None.
        layers: a function that builds the keras-cv layers that a batch passes through, or None.
        mixing: MixUp and CutMix, or None.
    """

    crop_area: tuple[float, float] | None = None
    object_crop: bool = False
    short_side: tuple[float, float] | None = None
    interpolation: str = "bilinear"
    flip: bool = False
    blur: float = 0.0
    photometric: Callable | None = None
    rotation: float = 0.0
    rand_augment: RandAugment | None = None
    erasing: float = 0.0
    erasing_noise: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    layers: Callable[[], list] | None = None
    mixing: Mixing | None = None

    @property
    def varies_images(self):
        """Whether single images are varied, so that a resized image can't be kept for the next epoch."""
        crops = (self.crop_area, self.object_crop, self.short_side, self.flip, self.rotation)
        return any((*crops, self.blur, self.photometric, self.rand_augment, self.erasing))


INCEPTION_AREA = (0.08, 1.0)
IMAGENET_MEAN, IMAGENET_STD = (124, 116, 104), (58, 57, 57)  # of 0..255
# Named in keras_mobattn.catalog.AUGMENTATIONS
NONE = Augmentation()
DIGITS = Augmentation(layers=_digit_layers)
# Things up to twice as large, and mirrored: the least that teaches a model other sizes than those of its images
ZOOM = Augmentation((0.25, 1.0), flip=True)
# Photographs, of which there are few: milder crops than ImageNet's, which may miss the thing, and RandAugment
PHOTOS = Augmentation((0.35, 1.0), interpolation="bicubic", flip=True, rand_augment=RandAugment(TORCHVISION, 9 / 30))
# SSD (arXiv:1512.02325) as cvnets trains detectors: no zooming out
SSD = Augmentation(object_crop=True, interpolation="bicubic", flip=True, photometric=photometric)
# SSD's without mirroring, for objects with a left and a right, such as digits
SSD_UPRIGHT = Augmentation(object_crop=True, interpolation="bicubic", photometric=photometric)
# MobileViT's and MobileViTv2's segmenters (arXiv:2206.02680; cvnets)
SEGMENTATION = Augmentation(short_side=(0.5, 1.5), flip=True, blur=0.5, photometric=photometric, rotation=10.0)
# The same without mirroring, for things with a left and a right, such as digits
SEGMENTATION_UPRIGHT = dataclasses.replace(SEGMENTATION, flip=False)
# MobileViT v1 (arXiv:2110.02178; cvnets)
IMAGENET = Augmentation(INCEPTION_AREA, flip=True)
# MobileViTv2's fine-tuning at 384 pixels (cvnets, finetune_higher_res_in1k)
IMAGENET_BICUBIC = Augmentation(INCEPTION_AREA, interpolation="bicubic", flip=True)
# MobileViTv2 (arXiv:2206.02680; cvnets), on ImageNet-21k too: RandAugment's magnitude 9 of 0 to 30
MOBILEVITV2 = Augmentation(
    INCEPTION_AREA,
    interpolation="bicubic",
    flip=True,
    rand_augment=RandAugment(TORCHVISION, 9 / 30),
    erasing=0.25,
    mixing=Mixing(0.2, 1.0),
)
# Flowformer's vision model (thuml/Flowformer, Flowformer_CV/main.py): DeiT's without erasing
FLOWFORMER = Augmentation(
    INCEPTION_AREA,
    interpolation="bicubic",
    flip=True,
    rand_augment=RandAugment(TIMM, 0.9, noise=0.05, probability=0.5, fill=IMAGENET_MEAN),
    mixing=Mixing(0.8, 1.0),
)
# DeiT (arXiv:2012.12877; facebookresearch/deit), PVTv2 and EfficientFormerV2, whose code is DeiT's: timm's
# rand-m9-mstd0.5-inc1, and RandomErasing with noise. Their colour jitter has no effect, since timm leaves it out beside
# RandAugment. Repeated augmentation is a setting of the run: see recipes/deit_in1k.py
DEIT = dataclasses.replace(FLOWFORMER, erasing=0.25, erasing_noise=(IMAGENET_MEAN, IMAGENET_STD))


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

    As in torchvision's and timm's RandomResizedCrop: its share of the image's area is uniform in `area`, its width to
    height log-uniform from 3/4 to 4/3 times `aspect`. It is the first of TRIES draws that fits, else the largest part
    in the middle whose aspect is within bounds. tf.image.stateless_sample_distorted_bounding_box won't do: it draws the
    side uniformly, and so shows less of the image.
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
