"""Batches of a source for Keras `fit` and evaluation, and arrays of its images for checks."""

import numpy as np
import tensorflow as tf

from keras_mobattn._types import Size
from keras_mobattn.catalog import AUGMENTATIONS
from keras_mobattn.data.example_view import batch_view, example_view
from keras_mobattn.data.resizing import checked_size, resizer
from keras_mobattn.data.source import Source
from keras_mobattn.data.targets import LABELS, PADDING, Encoder, crop_of, expect_targets
from keras_mobattn.errors import choose, expect_range

CACHE_BYTES = 2**29  # sets that are smaller than this, resized and as uint8, are decoded once and kept in memory
SHUFFLE_BYTES = 2**29  # the shuffle buffer: all of a cached set, 2,700 images of 256x256 of a larger one


def batches(
    source: Source,
    split: str,
    *,
    image_size: Size,
    batch_size: int,
    augment: str = "none",
    shuffle: bool = False,
    seed: int = 0,
    crop: float | None = 1.0,
    interpolation: str = "bilinear",
    task: Encoder = LABELS,
) -> tf.data.Dataset:
    """A tf.data.Dataset of (images float32 [B, H, W, 3] in 0..255, labels) for an epoch.

    For evaluation, and for a `fit` of your own; a training run has `training_stream`. Labels are one-hot, float32 [B,
    classes], or of another `tasks.Task` the result of `task.encode` with the task's `truth`. Without random crops an
    image goes through `resize_and_crop` with `crop` and `interpolation`. With `shuffle` the order is new in each epoch,
    and the last batch is dropped when it is not full, unless it is the only one. The same seed (and TensorFlow's global
    one, where it is set) gives the same batches, epoch by epoch, each time that a dataset is made, whatever the number
    of threads.

    Raises:
        InputError: an unknown split, augmentation or interpolation, a size below 1, a crop outside of 0 to 1, or a
            source without what the task needs.
    """
    augmentation = choose(AUGMENTATIONS, augment, "augmentation")
    image_size, crop = checked_size(image_size), crop_of(task, crop)
    resizer(image_size, crop, interpolation)  # checks them
    expect_range("batch_size", batch_size, 1, whole=True)
    expect_range("seed", seed, whole=True)
    count = choose(source.num_examples, split, "split")
    expect_targets(task, source, augmentation)
    image_bytes = image_size[0] * image_size[1] * 3

    dataset = source.open_encoded(split)
    if augmentation.varies_images:  # not cached: that would keep the same crops, or whole images of any size
        view = example_view(augmentation, seed, task.targets, crop)
        dataset = tf.data.Dataset.zip(dataset, _numbers(seed + 1))
        dataset = dataset.map(lambda example, number: view(example, image_size, number), tf.data.AUTOTUNE)
    else:
        view = example_view(augmentation, seed, task.targets, crop, interpolation)
        dataset = dataset.map(lambda example: view(example, image_size, 0), tf.data.AUTOTUNE)
        if count * image_bytes <= CACHE_BYTES:
            dataset = dataset.cache()
    if shuffle:
        dataset = dataset.shuffle(min(count, max(1, SHUFFLE_BYTES // image_bytes)), seed=seed)
    dataset = batched(dataset, batch_size, drop_remainder=shuffle and count >= batch_size)
    finish = batch_view(augmentation, task, source, seed, task.truth)
    dataset = tf.data.Dataset.zip(dataset, _numbers(seed)).map(finish, tf.data.AUTOTUNE)
    return dataset.prefetch(tf.data.AUTOTUNE)


def batched(views, batch_size, drop_remainder=False):
    """Batches of views {"image": .., target: ..}. Where targets differ in rows, PADDING fills up the shorter ones."""
    spec = views.element_spec
    if not any(name in PADDING for name in spec):
        return views.batch(batch_size, drop_remainder=drop_remainder)
    values = {
        name: tf.constant(PADDING[name], each.dtype) if name in PADDING else tf.zeros([], each.dtype)
        for name, each in spec.items()
    }
    return views.padded_batch(batch_size, padding_values=values, drop_remainder=drop_remainder)


def _numbers(seed):
    """Endless int64 numbers that seed stateless random ops: new ones in each epoch, the same in each run."""
    return tf.data.Dataset.random(seed, rerandomize_each_iteration=True)


def take_images(
    source: Source,
    split: str,
    count: int,
    image_size: Size,
    crop: float | None = 1.0,
    interpolation: str = "bilinear",
) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` images of a split as evaluation sees them: (uint8 [count, H, W, 3], int64 labels [count]).

    `crop` and `interpolation` are those of `resize_and_crop`. Labels are -1 where the source has none.

    Raises:
        InputError: an unknown split, or one with fewer images.
    """
    available = choose(source.num_examples, split, "split")
    expect_range(f"count of {split!r} images of {source.name!r}", count, 1, available, whole=True)
    resized = resizer(image_size, crop, interpolation)
    dataset = source.open(split).take(count).map(lambda x: (resized(x["image"]), x.get("label", -1)), tf.data.AUTOTUNE)
    images, labels = zip(*dataset.as_numpy_iterator(), strict=True)
    return np.stack(images), np.array(labels, np.int64)
