"""What a .mlpackage takes: an array or pixels, one size or several."""

import collections
import dataclasses

import numpy as np
import tensorflow as tf

from keras_mobattn._quiet import import_coremltools
from keras_mobattn._types import Size
from keras_mobattn.catalog import INPUT_TYPES
from keras_mobattn.errors import InputError, choose
from keras_mobattn.export import check
from keras_mobattn.export.exportable import INPUT_NAME, Exportable
from keras_mobattn.export.pixels import expect_bytes

COLOURS = {1: "GRAYSCALE", 3: "RGB"}  # channels -> coremltools' name
MOST_SIZES = 128  # Core ML's limit for enumerated shapes
SMALLEST_SIDE = 32
CLASSIFIER, SEGMENTER = "imageClassifier", "imageSegmenter"  # as a task's coreml_type; the first gives a label and
# {label: probability}, the second numbers of classes or scores in an array


@dataclasses.dataclass(frozen=True)
class Interface:
    """The input of a package. `sizes` are (height, width) besides the model's own."""

    kind: str
    sizes: tuple[Size, ...]

    def array(self, size: Size, channels: int) -> tuple[int, int, int, int]:
        """The shape of the program's input for (height, width)."""
        return (1, channels, *size) if self.channels_first else (1, *size, channels)

    def given(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """{input: array} of one image [1, H, W, C] as the program takes it."""
        return {INPUT_NAME: image if self.kind == "tensor" else image.transpose(0, 3, 1, 2)}

    @property
    def channels_first(self) -> bool:
        """Whether it takes an array of which the channels come first."""
        return self.kind == "channels_first"

    def is_classifier(self, source: Exportable) -> bool:
        """Whether the package gives a label and {label: probability} rather than an array."""
        return self.kind == "image" and bool(source.axis_labels) and source.task.coreml_type == CLASSIFIER


def expect_input(source, input_type, sizes):
    """Return the Interface, or raise an InputError for one that the model can't have."""
    choose(INPUT_TYPES, input_type, "input_type")
    *size, channels = source.input_shape
    if input_type != "tensor" and channels not in COLOURS:
        raise InputError(
            f"Expected 1 or 3 channels for input_type {input_type!r}. Received: a model of {channels}. Take 'tensor'."
        )
    if input_type == "image":
        by_name = source.axis_labels if source.task.coreml_type != SEGMENTER else ()
        if by_name and source.scores_classes and not source.gives_probabilities:
            raise InputError(
                "Expected a model that ends in probabilities, to make a classifier of it. Received: "
                f"{', '.join(map(repr, source.output_names))}. Leave the labels out, or end the model in softmax."
            )
        if doubles := [label for label, count in collections.Counter(by_name).items() if count > 1]:
            raise InputError(
                "Expected class names that differ, since a classifier gives {name: probability}. Received: "
                f"{', '.join(map(repr, doubles))} more than once. Rename them in the file of labels."
            )
    return Interface(input_type, _sizes(sizes, tuple(size)))


def _sizes(sizes, own):
    try:
        pairs = tuple((int(height), int(width)) for height, width in sizes)
    except (TypeError, ValueError):
        pairs = ((0, 0),)
    if any(min(pair) < SMALLEST_SIDE for pair in pairs) or len(pairs) >= MOST_SIZES:
        raise InputError(
            f"Expected input_sizes as (height, width) pairs, each side from {SMALLEST_SIDE} up, fewer than "
            f"{MOST_SIZES}. Received: {sizes!r}."
        )
    return tuple(pair for pair in dict.fromkeys(pairs) if pair != own)


def input_of(source, interface):
    """The coremltools input type. A new one for each conversion, since ct.convert writes into it."""
    ct = import_coremltools()
    *size, channels = source.input_shape
    shapes = [interface.array(pair, channels) for pair in (tuple(size), *interface.sizes)]
    shape = ct.EnumeratedShapes(shapes=shapes, default=shapes[0]) if interface.sizes else shapes[0]
    if interface.kind != "image":
        return ct.TensorType(name=INPUT_NAME, shape=shape, dtype=np.float32)
    colours = getattr(ct.colorlayout, COLOURS[channels])
    return ct.ImageType(name=INPUT_NAME, shape=shape, color_layout=colours)


def check_images_of(images, source, interface):
    """Check images as pixels float32 [n, H, W, C], photographs for None."""
    pixels = check.images_or_photos(images, source)
    if interface.kind == "image":
        expect_bytes(pixels)
    return pixels


def resized(pixels, size):
    """The check images at another size, in whole pixel values."""
    return np.round(np.clip(tf.image.resize(pixels, size, antialias=True), 0, 255))
