"""From a source of labelled images to batches for Keras `fit`, and to arrays for checks."""

import functools

import numpy as np
import tensorflow as tf

from keras_mobattn.data.augment import AUGMENTATIONS, augmenter, random_crop
from keras_mobattn.errors import InputError, choose

CACHE_BYTES = 2**29  # sets that are smaller than this, resized and as uint8, are decoded once and kept in memory
SHUFFLE_BYTES = 2**29  # the shuffle buffer: all of a cached set, 2,700 images of 256x256 of a larger one
INTERPOLATIONS = {"bilinear": tf.image.ResizeMethod.BILINEAR, "bicubic": tf.image.ResizeMethod.BICUBIC}


def batches(
    source,
    split,
    *,
    image_size,
    batch_size,
    augment="none",
    shuffle=False,
    seed=0,
    crop=1.0,
    interpolation="bilinear",
):
    """A tf.data.Dataset of (images float32 [B, H, W, 3] in 0..255, one-hot labels float32 [B, classes]).

    Without random crops an image goes through `fit_image` with `crop` and `interpolation`. With `shuffle` the order is
    new in each epoch, and the last batch is dropped when it is not full, unless it is the only one. The same seed (and
    TensorFlow's global one, where it is set) gives the same batches, epoch by epoch, each time that a dataset is made,
    whatever the number of threads.

    Raises:
        InputError: an unknown split, augmentation or interpolation, a size below 1, or a crop outside of 0 to 1.
    """
    augmentation = choose(AUGMENTATIONS, augment, "augmentation")
    image_size = _checked_size(image_size)
    fit = _fitter(image_size, crop, interpolation)
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1. Received: {batch_size}.")
    count = choose(source.num_examples, split, "split")
    image_bytes = image_size[0] * image_size[1] * 3

    dataset = source.open(split)
    if augmentation.crop_area:
        dataset = _cropped(dataset, augmentation.crop_area, image_size, seed)
    else:
        dataset = dataset.map(lambda x: (fit(x["image"]), x["label"]), tf.data.AUTOTUNE)
        if count * image_bytes <= CACHE_BYTES:
            dataset = dataset.cache()
    if shuffle:
        dataset = dataset.shuffle(min(count, max(1, SHUFFLE_BYTES // image_bytes)), seed=seed)
    dataset = dataset.batch(batch_size, drop_remainder=shuffle and count >= batch_size)

    classes = len(source.class_names)
    dataset = dataset.map(lambda images, labels: (tf.cast(images, tf.float32), tf.one_hot(labels, classes)))
    if augmentation.layers:
        vary = augmenter(augmentation)
        dataset = tf.data.Dataset.zip(dataset, _seeds(seed))
        dataset = dataset.map(lambda batch, seed: (vary(batch[0], seed), batch[1]), tf.data.AUTOTUNE)
    return dataset.prefetch(tf.data.AUTOTUNE)


def take_images(source, split, count, image_size):
    """The first `count` images of a split as evaluation sees them: (uint8 [count, H, W, 3], int64 labels [count]).

    Raises:
        InputError: an unknown split, or one with fewer images.
    """
    available = choose(source.num_examples, split, "split")
    if not 1 <= count <= available:
        raise InputError(f"Expected 1 to {available} images from {source.name!r}, split {split!r}. Received: {count}.")
    fit = _fitter(image_size)
    dataset = source.open(split).take(count).map(lambda x: (fit(x["image"]), x["label"]), tf.data.AUTOTUNE)
    images, labels = zip(*dataset.as_numpy_iterator(), strict=True)
    return np.stack(images), np.array(labels, np.int64)


def fit_image(image, image_size, crop=1.0, interpolation="bilinear"):
    """Evaluation's view of uint8 [h, w, 3]: resized to cover `image_size` / `crop`, cropped to `image_size` (H, W).

    The aspect is kept and the resize is antialiased ("bilinear" or "bicubic"); the crop is around the centre. Returns
    uint8 [H, W, 3], rounded so that what is cached, what evaluation sees and what `take_images` returns are the same
    numbers. Within one level of 0..255 they are those of timm's transform, with which the published accuracies were
    measured.

    Raises:
        InputError: an unknown interpolation, a size below 1, or a crop outside of 0 to 1.
    """
    return _fitter(image_size, crop, interpolation)(image)


def _fitter(image_size, crop=1.0, interpolation="bilinear"):
    """`fit_image` as a function of the image alone, its arguments checked: inside tf.data they would be too late."""
    method = choose(INTERPOLATIONS, interpolation, "interpolation")
    if not 0 < crop <= 1:
        raise InputError(f"crop expects the share of the resized side that is kept, 0 < crop <= 1. Received: {crop!r}.")
    return functools.partial(_fit, image_size=_checked_size(image_size), crop=crop, method=method)


def _fit(image, image_size, crop, method):
    height, width = (int(side / crop) for side in image_size)  # rounded down here and below, as torchvision and timm do
    h, w = tf.unstack(tf.shape(image)[:2])
    covering = tf.cond(height * w >= width * h, lambda: (height, w * height // h), lambda: (h * width // w, width))
    # Width first, then height: without Pillow's clipping between the two, bicubic was off by up to 23 levels in noise.
    image = tf.image.resize(tf.cast(image, tf.float32), (h, covering[1]), method, antialias=True)
    image = tf.clip_by_value(image, 0.0, 255.0)
    image = _to_uint8(tf.image.resize(image, covering, method, antialias=True))
    top, left = (_half(side - target) for side, target in zip(covering, image_size, strict=True))
    return tf.ensure_shape(image[top : top + image_size[0], left : left + image_size[1]], [*image_size, 3])


def _half(pixels):
    """Half of a number of pixels, rounded to the nearest even one as Python's round does."""
    return tf.cast(tf.round(pixels / 2), tf.int32)


def _cropped(dataset, area, image_size, seed):
    """Random crops of whole images. Not cached: that would keep the same crops, or whole images of any size."""

    def crop(x, seed):
        return tf.ensure_shape(_to_uint8(random_crop(x["image"], seed, area, image_size)), [*image_size, 3]), x["label"]

    seeds = _seeds(seed + 1)  # another stream than that of the layers, so that crops and flips are independent
    return tf.data.Dataset.zip(dataset, seeds).map(crop, tf.data.AUTOTUNE)


def _to_uint8(image):
    return tf.cast(tf.clip_by_value(tf.round(image), 0.0, 255.0), tf.uint8)


def _seeds(seed):
    """Endless int64 [2] seeds for stateless random ops: new ones in each epoch, the same in each run."""
    return tf.data.Dataset.random(seed, rerandomize_each_iteration=True).batch(2, drop_remainder=True)


def _checked_size(image_size):
    try:
        height, width = (int(side) for side in image_size)
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 1:
        raise InputError(f"image_size must be (height, width) in pixels, each at least 1. Received: {image_size!r}.")
    return height, width
