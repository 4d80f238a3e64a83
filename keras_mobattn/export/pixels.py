"""Which numbers a converted file may take and give, whatever its format."""

import numpy as np

from keras_mobattn.catalog import IO_DTYPES
from keras_mobattn.errors import InputError, choose
from keras_mobattn.export.exportable import Exportable


def expect_io(source: Exportable, input_dtype: str = "float32", output_dtype: str = "float32") -> None:
    """Refuse an interface that doesn't exist or that the Exportable can't have."""
    choose(IO_DTYPES, input_dtype, "input_dtype")
    choose(IO_DTYPES, output_dtype, "output_dtype")
    if input_dtype != "float32" and not source.input_range.is_image:
        raise InputError(
            f"Expected input_dtype 'float32' for a model of other inputs than images. Received: {input_dtype!r} for "
            f"{source.input_shape[-1]} channels. Say by input_scale what the bytes 0..255 are multiplied by."
        )
    if output_dtype != "float32" and not source.gives_probabilities:
        raise InputError(
            f"Expected output_dtype 'float32' for outputs other than probabilities. Received: {output_dtype!r} for "
            f"{', '.join(map(repr, source.output_names))}. Their range isn't known. Leave them float32."
        )


def expect_bytes(pixels):
    """Refuse check images that bytes can't hold: the check would compare rounded images."""
    if pixels.min() < -0.01 or pixels.max() > 255.01 or np.abs(pixels - np.round(pixels)).max() > 0.01:
        raise InputError(
            "Expected check_images of whole pixels 0..255, in the range that the model takes, for an input of bytes. "
            f"Received: pixels from {pixels.min():g} to {pixels.max():g} with fractions. Round them."
        )
