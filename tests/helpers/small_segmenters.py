"""Segmenters on a backbone of three convolutions: quick to convert, and all that their heads compute is in them."""

import tf_keras as keras

import keras_mobattn
from helpers.segmenters import NAMES, SIDES
from keras_mobattn.layers import InputRange
from keras_mobattn.tasks.segmentation.task import HEADS


def small_backbone():
    """A model with maps of stride 8 and 16."""
    image = keras.Input((*SIDES, 3))
    x = keras.layers.Conv2D(8, 3, 4, "same", activation="relu", name="stem")(InputRange()(image))
    x = keras.layers.Conv2D(16, 3, 2, "same", activation="relu", name="P3")(x)
    x = keras.layers.Conv2D(24, 3, 2, "same", activation="relu", name="P4")(x)
    return keras.Model(image, x, name="small")


def small_segmenter(head="lraspp", names=NAMES, **options):
    """A segmenter of these classes with random weights."""
    model = HEADS[head](small_backbone(), len(names), width=16, **options)
    return keras_mobattn.randomize_weights(model, 1)
