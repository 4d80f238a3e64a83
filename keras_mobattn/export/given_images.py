"""Images that a caller gives, in any of the forms that TensorFlow's users have them in, as one array."""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_mobattn.errors import InputError

MOST, MOST_BYTES = 10_000, 4e9  # images, where nobody knows how many will come
# An array, or one image or batch after the other, or a function that returns such: see as_images
GivenImages: TypeAlias = Iterable[Any] | Callable[[], Iterable[Any]]


def as_images(images, source, what):
    """Return images in the Keras model's range as pixels float32 [n, H, W, C], which its exported files take.

    `images` is an array of numbers, or one after the other: a list, a tf.data set, a generator, or a function that
    returns one, as TFLite's representative_dataset. Each element is an image or a batch, alone, in a list or dict of
    one, or beside its label: `image`, `[image]`, `{"image": image}`, `(images, labels)`.

    Raises:
        InputError: none, endless, of another size or range than the Exportable `source` takes, or with NaN; `what`
            they are called.
    """
    shape, images = source.input_shape, _collected(images, what)
    fits = images.ndim == 4 and images.shape[1:] == shape and len(images) > 0
    if not fits or not (np.issubdtype(images.dtype, np.integer) or np.issubdtype(images.dtype, np.floating)):
        advice = "Resize the images to the model's input size."
        if images.ndim == 4 and images.shape[1:3] == shape[:2] and images.shape[3] != shape[2]:
            advice = f"The model takes {shape[2]} channels, and files have three: from Python, give arrays of so many."
        raise InputError(
            f"Expected {what} to be numbers [n, {', '.join(map(str, shape))}] in the model's input range, or as many "
            f"images of that size one after the other. Received: {images.dtype} {list(images.shape)}. {advice}"
        )
    images = images.astype(np.float32)
    if not np.isfinite(images).all():
        raise InputError(
            f"Expected {what} to be finite. Received: NaN or infinity among them. Look at how they are made."
        )
    source.input_range.expect(images, what)
    return source.input_range.to_pixels(images)


def _collected(images, what):
    """All of them as one array, of whatever shape and type."""
    if callable(images):
        images = images()
    if isinstance(images, tf.data.Dataset) and images.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise InputError(
            f"Expected {what} to come to an end. Received: a tf.data set that repeats for ever. Take some: "
            "dataset.take(100)."
        )
    if hasattr(images, "__array__") or isinstance(images, str) or not hasattr(images, "__iter__"):
        return np.asarray(images)
    known = hasattr(images, "__len__")
    if isinstance(images, keras.utils.Sequence):  # which begins again at its end, as ImageDataGenerator's
        images = map(images.__getitem__, range(len(images)))
    batches, count, size = [], 0, 0
    for element in images:
        part = np.asarray(_image_of(element))
        batches.append(part if part.ndim == 4 else part[None])
        count, size = count + len(batches[-1]), size + batches[-1].nbytes
        if not known and (count > MOST or size > MOST_BYTES):
            raise InputError(
                f"Expected up to {MOST:,} images as {what}, of {MOST_BYTES / 1e9:.0f} GB at most. Received: more, "
                "perhaps of a generator that never ends. Take some: itertools.islice(images, 100)."
            )
    if len(shapes := list(dict.fromkeys(batch.shape[1:] for batch in batches))) > 1:
        raise InputError(
            f"Expected {what} of one size. Received: {' and '.join(str(list(shape)) for shape in shapes[:2])}. Resize "
            "the images to the model's input size."
        )
    return np.concatenate(batches) if batches else np.empty(0)


def _image_of(element):
    """The image or batch in an element of a set."""
    if isinstance(element, dict):
        element = tuple(element.values())
    holds_arrays = isinstance(element, list | tuple) and bool(element) and hasattr(element[0], "shape")
    return element[0] if holds_arrays and np.ndim(element[0]) >= 3 else element
