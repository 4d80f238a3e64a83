"""ImageNet's 1000 classes and the normalisation of images: keras.applications' decode_predictions, preprocess_input."""

import functools
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from keras_mobattn.errors import InputError, choose, expect_range
from keras_mobattn.families import FAMILIES
from keras_mobattn.layers import ImageRange

CLASSES_FILE = Path(__file__).with_name("imagenet_classes.txt")  # made by tests/helpers/make_imagenet_classes.py


@functools.cache
def imagenet_classes() -> tuple[tuple[str, str], ...]:
    """The (WordNet id, name) of each class, in the order of the published weights' outputs."""
    return tuple(tuple(line.split("\t")) for line in CLASSES_FILE.read_text(encoding="utf-8").splitlines())  # type: ignore[misc]


def decode_predictions(predictions: ArrayLike | tf.Tensor, top: int = 5) -> list[list[tuple[str, str, np.number]]]:
    """The `top` classes of each row of `predictions` [n, 1000], best first, as keras.applications gives them.

    Returns a list of n lists of (WordNet id, name, score), e.g. ("n02504458", "African_elephant", 0.82).

    Raises:
        InputError: another shape, what is no finite number, or `top` outside of 1 to 1000.
    """
    predictions, classes = np.asarray(predictions), imagenet_classes()
    if predictions.dtype.kind not in "fiu" or not np.isfinite(predictions).all():
        raise InputError(
            f"Expected predictions to be finite numbers. Received: {predictions.dtype}, or NaN among them."
        )
    if predictions.ndim != 2 or predictions.shape[1] != len(classes):
        raise InputError(
            f"Expected predictions of ImageNet's {len(classes)} classes, of shape (n, {len(classes)}). "
            f"Received: {predictions.shape}. Other classes have names of their own."
        )
    expect_range("top", top, 1, len(classes), whole=True)
    ranked = np.argsort(-predictions, axis=1, kind="stable")[:, :top]
    return [[(*classes[i], row[i]) for i in best] for row, best in zip(predictions, ranked, strict=True)]


def _array(images):
    """A list as an array; of what is none, or of lists of other lengths, an array of objects."""
    try:
        return np.asarray(images)
    except ValueError:
        return np.empty(0, object)


def preprocess_input(images: ArrayLike | tf.Tensor, model: str = "MobileViTv2") -> np.ndarray | tf.Tensor:
    """RGB 0..255 -> the input of a model with include_preprocessing=False: float32, of the same shape.

    `model` is the name of a model function. Its Family has the mean to subtract from RGB / 255 and the deviation to
    divide by, as the published weights were trained: none for MobileViT and MobileViTv2, ImageNet's for the others.
    `images` is an array or a tensor, an image or a batch; it stays as it is. A model with include_preprocessing=True,
    the default, takes RGB 0..255 and needs no call of this.

    Raises:
        InputError: an unknown model, or images that are normalised already; within a tf.data map or a Keras model,
            where values aren't known yet, the latter goes unseen.
    """
    family = choose(FAMILIES, model, "model")
    images = images if hasattr(images, "dtype") else _array(images)
    if np.dtype(getattr(images.dtype, "as_numpy_dtype", images.dtype)).kind not in "fiuV":  # V: bfloat16
        raise InputError(f"Expected images to be an array or a tensor of numbers. Received: {images.dtype}.")
    mean, std = (np.float32(255) * np.float32(each) for each in (family.mean, family.std))  # type: ignore[arg-type]
    if isinstance(images, np.ndarray | tf.__internal__.EagerTensor):
        ImageRange().expect(np.asarray(images), "images")
    if isinstance(images, np.ndarray):
        return (images.astype(np.float32) - mean) / std
    return (tf.cast(images, tf.float32) - mean) / std  # symbolic Keras tensors too
