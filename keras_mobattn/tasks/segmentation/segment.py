"""The mask of one image, by a segmenter."""

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import ArrayLike

from keras_mobattn.data import resize_and_crop
from keras_mobattn.errors import InputError
from keras_mobattn.models import known_range
from keras_mobattn.tasks._types import Array
from keras_mobattn.tasks.segmentation.heads import CLASSIFIER
from keras_mobattn.tasks.segmentation.masks import masks_of
from keras_mobattn.tasks.task import expect_keras


def segment(
    model: keras.Model,
    image: Array,
    *,
    input_scale: ArrayLike | None = None,
    input_bias: ArrayLike | None = None,
) -> np.ndarray:
    """Return the mask of an image by a segmenter, as DeepLabV3 builds it: int32 [height, width], each pixel's class.

    The image is uint8 [height, width, 3], RGB, of any size: all of it is seen, stretched to the model's size, and the
    mask is of the image's own. Classes count from 0, in the order in which the model was trained. `input_scale` and
    `input_bias` are for a model that doesn't say which numbers it takes.

    Raises:
        InputError: no segmenter, or an image of another form.
    """
    expect_keras(model)
    if not is_segmenter(model):
        raise InputError(f"Expected a segmenter, as DeepLabV3 builds it. Received: {model.name!r}. Take one.")
    seen = resize_and_crop(image, model.input_shape[1:3], crop=None, interpolation="bicubic")
    pixels = known_range(model, input_scale, input_bias).from_pixels(tf.cast(seen, tf.float32)[None])
    return masks_of(model(pixels, training=False), image.shape[:2])[0].numpy()


def is_segmenter(model):
    """Whether a Keras model is one, by the layer that gives the logits."""
    return any(layer.name == CLASSIFIER for layer in model.layers)
