"""From a source of labelled images to batches for Keras `fit`, and to arrays for checks."""

import numpy as np
import tensorflow as tf

from keras_mobattn.catalog import AUGMENTATIONS
from keras_mobattn.data.fit import checked_size, fitter
from keras_mobattn.data.views import batch_view, image_view
from keras_mobattn.errors import InputError, choose

CACHE_BYTES = 2**29  # sets that are smaller than this, resized and as uint8, are decoded once and kept in memory
SHUFFLE_BYTES = 2**29  # the shuffle buffer: all of a cached set, 2,700 images of 256x256 of a larger one


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
    image_size = checked_size(image_size)
    fit = fitter(image_size, crop, interpolation)
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1. Received: {batch_size}.")
    count = choose(source.num_examples, split, "split")
    image_bytes = image_size[0] * image_size[1] * 3

    if augmentation.varies_images:  # not cached: that would keep the same crops, or whole images of any size
        view = image_view(augmentation, seed)
        dataset = tf.data.Dataset.zip(source.open_encoded(split), _numbers(seed + 1))
        dataset = dataset.map(lambda x, number: (view(x["image"], image_size, number), x["label"]), tf.data.AUTOTUNE)
    else:
        dataset = source.open(split).map(lambda x: (fit(x["image"]), x["label"]), tf.data.AUTOTUNE)
        if count * image_bytes <= CACHE_BYTES:
            dataset = dataset.cache()
    if shuffle:
        dataset = dataset.shuffle(min(count, max(1, SHUFFLE_BYTES // image_bytes)), seed=seed)
    dataset = dataset.batch(batch_size, drop_remainder=shuffle and count >= batch_size)
    finish = batch_view(augmentation, len(source.class_names), seed)
    dataset = tf.data.Dataset.zip(dataset, _numbers(seed))
    dataset = dataset.map(lambda batch, number: finish(*batch, number), tf.data.AUTOTUNE)
    return dataset.prefetch(tf.data.AUTOTUNE)


def _numbers(seed):
    """Endless int64 numbers that seed stateless random ops: new ones in each epoch, the same in each run."""
    return tf.data.Dataset.random(seed, rerandomize_each_iteration=True)


def take_images(source, split, count, image_size):
    """The first `count` images of a split as evaluation sees them: (uint8 [count, H, W, 3], int64 labels [count]).

    Raises:
        InputError: an unknown split, or one with fewer images.
    """
    available = choose(source.num_examples, split, "split")
    if not 1 <= count <= available:
        raise InputError(f"Expected 1 to {available} images from {source.name!r}, split {split!r}. Received: {count}.")
    fit = fitter(image_size)
    dataset = source.open(split).take(count).map(lambda x: (fit(x["image"]), x["label"]), tf.data.AUTOTUNE)
    images, labels = zip(*dataset.as_numpy_iterator(), strict=True)
    return np.stack(images), np.array(labels, np.int64)
