"""The objects of one image, by a detector."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import ArrayLike

from keras_mobattn.data import resize_and_crop
from keras_mobattn.errors import expect_range
from keras_mobattn.models import known_range
from keras_mobattn.tasks._types import Array
from keras_mobattn.tasks.detection.forms import raw_objects
from keras_mobattn.tasks.detection.post_process import Rules, from_score
from keras_mobattn.tasks.detection.ssdlite import anchors_of
from keras_mobattn.tasks.task import expect_keras

MIN_SCORE = 0.3  # of objects that are shown; an evaluation looks at all


class Objects(NamedTuple):
    """Objects, the best first: boxes float32 [n, 4] of (ymin, xmin, ymax, xmax) in pixels, labels int [n], scores."""

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray


def detect(
    model: keras.Model,
    image: Array,
    min_score: float = MIN_SCORE,
    *,
    input_scale: ArrayLike | None = None,
    input_bias: ArrayLike | None = None,
) -> Objects:
    """Find the objects of an image by a detector, as SSDLite builds it; return Objects, with boxes in its pixels.

    The image is uint8 [height, width, 3], RGB, of any size: all of it is seen, stretched to the model's size. Labels
    count from 0, in the order of the classes that the model was trained on. Of objects that overlap, and of boxes below
    `min_score`, see `post_process.Rules`. `input_scale` and `input_bias` are for a model that doesn't say which numbers
    it takes.

    Raises:
        InputError: no detector, an image of another form, or a score outside of 0 to 1.
    """
    expect_keras(model)
    anchors = anchors_of(model)
    expect_range("min_score", min_score, 0, 1)
    seen = resize_and_crop(image, model.input_shape[1:3], crop=None, interpolation="bicubic")
    pixels = known_range(model, input_scale, input_bias).from_pixels(tf.cast(seen, tf.float32)[None])
    found = raw_objects(model(pixels, training=False), anchors, from_score(Rules(), min_score))
    return objects_of(found, tuple(image.shape[:2]), min_score)


def objects_of(found, sides, min_score=MIN_SCORE):
    """The Objects of the first image of a batch, as `forms` finds them; (height, width) of the image are `sides`."""
    boxes, labels, scores = (each[0].numpy() for each in found)
    there = (labels >= 0) & (scores >= min_score)
    return Objects(boxes[there] * np.tile(np.float32(sides), 2), labels[there], scores[there])
