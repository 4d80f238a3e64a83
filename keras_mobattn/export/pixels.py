"""Which pixels and numbers a converted file may take and give, whatever its format."""

import numpy as np
import tf_keras as keras

from keras_mobattn.catalog import IO_DTYPES
from keras_mobattn.errors import InputError, choose, expect_range


def expect_io(source, input_dtype="float32", output_dtype="float32", input_scale=1.0):
    """Refuse an interface that doesn't exist or that the Exportable can't have."""
    choose(IO_DTYPES, input_dtype, "input_dtype")
    choose(IO_DTYPES, output_dtype, "output_dtype")
    advice = "Pass what RGB 0..255 is multiplied by: 1, or 1/255 for a model with include_preprocessing=False."
    expect_range("input_scale", input_scale, 0, above=True, below=True, advice=advice)
    if input_scale < 0.1 and any(_divides(layer) for layer in source.model.layers[:2]):
        raise InputError(
            f"Expected input_scale 1 for a model that divides RGB 0..255 itself. Received: {input_scale:g}, with which "
            "it would see black. Leave it out."
        )
    if output_dtype != "float32" and not source.gives_probabilities:
        raise InputError(
            f"Expected output_dtype 'float32' for outputs other than probabilities. Received: {output_dtype!r} for "
            f"{', '.join(map(repr, source.output_names))}. Their range isn't known. Leave them float32."
        )


def _divides(layer):
    return isinstance(layer, keras.layers.Rescaling) and np.max(layer.scale) < 0.1


def expect_bytes(images, input_scale, input_bias=0.0):
    """Refuse float32 images that pixels can't hold: the check would compare rounded images."""
    pixels = (images - np.float32(input_bias)) / np.float32(input_scale)
    if pixels.min() < -0.01 or pixels.max() > 255.01 or np.abs(pixels - np.round(pixels)).max() > 0.01:
        raise InputError(
            "Expected check_images of whole numbers 0..255 times input_scale, for an input of bytes. Received: values "
            f"from {images.min():g} to {images.max():g} with input_scale {input_scale:g}. Round them, or pass the "
            "input_scale that the model wants (1/255 with include_preprocessing=False)."
        )
