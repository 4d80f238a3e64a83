"""Small segmenters with random weights, and images."""

import functools

import numpy as np

import keras_mobattn
from helpers.cases import FAMILIES
from keras_mobattn.data import sample_photos
from keras_mobattn.tasks.segmentation.task import HEADS

SIDES = (64, 128)
NAMES = ("background", "ant", "bee", "cat", "dog")
IMAGES = sample_photos(4, SIDES).astype(np.float32)


@functools.cache
def segmenter(head="deeplabv3", family="MobileViTv2", classes=5, auxiliary=True):
    """A segmenter with random weights. Do not train it: it is shared."""
    backbone = FAMILIES[family](include_top=False, input_shape=(*SIDES, 3))
    return keras_mobattn.randomize_weights(HEADS[head](backbone, classes, width=32, auxiliary=auxiliary), 1)


def logits_of(model, images=IMAGES):
    """The Keras model's logits [n, h, w, K] for pixels 0..255."""
    outputs = model(images, training=False)
    return (outputs["logits"] if isinstance(outputs, dict) else outputs).numpy()
