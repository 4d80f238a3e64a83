"""Which numbers a built model takes, read off its first layers."""

from typing import Any, Protocol

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import ArrayLike

from keras_mobattn.errors import InputError, expect_kind
from keras_mobattn.layers import ImageRange, InputRange
from keras_mobattn.models.input_shape import input_shape_of

PICTURES = (1, 3)  # channels of grey and RGB images
LAYER_THAT_TELLS = (
    "A layer tells it as well: keras.Sequential([keras.Input((224, 224, 3)), keras_mobattn.layers.InputRange(1/127.5, "
    "-1), model])."
)
_DIVIDES = 0.1  # a Rescaling by less, or a Normalization by means above 1, makes small numbers of pixels
# Layers that leave the range of an image alone. Brightness and the like only work in training.
KEEPS_RANGE = (
    keras.layers.Cropping2D,
    keras.layers.Dropout,
    keras.layers.ZeroPadding2D,
    keras.layers.Resizing,
    keras.layers.CenterCrop,
    keras.layers.RandomBrightness,
    keras.layers.RandomContrast,
    keras.layers.RandomCrop,
    keras.layers.RandomFlip,
    keras.layers.RandomHeight,
    keras.layers.RandomRotation,
    keras.layers.RandomTranslation,
    keras.layers.RandomWidth,
    keras.layers.RandomZoom,
)


def input_range_of(model: keras.Model) -> ImageRange | None:
    """The ImageRange that a Keras model takes; None where its first layers do not tell.

    An `InputRange` tells, as in each model of this package with include_preprocessing=False; so does a Rescaling or a
    Normalization that makes small numbers of pixels, unless what follows takes others than these. Models in models are
    looked into. A model of an input that is no image, with other channels than 1 or 3, takes any numbers.
    """
    inputs = tf.nest.flatten(getattr(model, "inputs", None) or [])
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        return None
    return _range_of(model, inputs[0]) or (None if inputs[0].shape[-1] in PICTURES else ImageRange(is_image=False))


class _ModelFile(Protocol):
    """What is read of an exported file, an export.FileModel."""

    @property
    def name(self) -> str: ...
    @property
    def input_shape(self) -> tuple[Any, ...]: ...
    @property
    def input_range(self) -> ImageRange: ...


def known_range(
    model: keras.Model | _ModelFile, scale: ArrayLike | None = None, bias: ArrayLike | None = None
) -> ImageRange:
    """The ImageRange that a Keras model takes: by its layers, else by the numbers that pixels 0..255 are multiplied by
    and shifted by, None where the caller does not say.

    Raises:
        InputError: nobody says it, what the caller says is not what the model says, or bad numbers.
    """
    own = getattr(model, "input_range", None)  # an exported file has it
    if own is None:
        advice = "Load it: keras_mobattn.models.load_model(file)."
        own = input_range_of(expect_kind("model", model, keras.Model, "a keras.Model", advice))
    if scale is None and bias is None:
        if own is None:
            raise InputError(
                f"Expected to know which numbers the model takes. Received: {model.name!r}, whose layers don't tell. "
                "Say what pixels 0..255 are multiplied by, and what is added: input_scale=1 for a model of 0..255, "
                "input_scale=0.00392157 for one of 0..1, input_scale=0.00784314 and input_bias=-1 for one of -1..1. "
                f"{LAYER_THAT_TELLS}"
            )
        return own
    told = ImageRange(1.0 if scale is None else scale, 0.0 if bias is None else bias)
    told.of_channels(input_shape_of(model)[-1])
    if own is not None and own.is_image and not _agree(own, told):
        raise InputError(
            f"Expected no input_scale and input_bias other than what the model says itself: {own}. Received: {told}. "
            "Leave them out."
        )
    return told


def _agree(one, other):
    ends = np.float32([[0.0], [255.0]]) + np.zeros(max(len(one.scale), len(other.scale)), np.float32)
    return np.allclose(one.from_pixels(ends), other.from_pixels(ends), rtol=1e-4, atol=1e-4)


def _range_of(model, tensor):
    """The ImageRange that `tensor` in a model has to be in, by the layers that take it; None where they don't tell."""
    layers = [layer for layer in model.layers if _takes(layer, tensor)]
    ranges = {_range_before(model, layer) for layer in layers}
    return ranges.pop() if len(ranges) == 1 else None


def _takes(layer, tensor):
    nodes = [node for node in layer._inbound_nodes if not node.is_input]
    return any(each is tensor for node in nodes for each in node.keras_inputs)


def _range_before(model, layer):
    if isinstance(layer, InputRange):
        return layer.range
    if isinstance(layer, keras.Model):
        return input_range_of(layer)
    if isinstance(layer, KEEPS_RANGE):
        return _range_of(model, layer.output)
    if isinstance(layer, keras.layers.Rescaling):
        scale, bias = layer.scale, layer.offset
    elif isinstance(layer, keras.layers.Normalization) and not layer.invert:
        deviation = np.maximum(np.sqrt(np.asarray(layer.variance)), keras.backend.epsilon()).ravel()
        scale, bias = 1 / deviation, -np.asarray(layer.mean).ravel() / deviation
    else:
        return None
    after, pixels, told = _range_of(model, layer.output), ImageRange(), None
    if after is not None and after.is_image:
        told = ImageRange(np.divide(after.scale, scale), np.subtract(after.bias, bias) / scale)
    if np.max(scale) < _DIVIDES:  # a model behind it that wants pixels itself was trained with both, or with one
        return pixels if told is None or _agree(told, pixels) else None
    return told
