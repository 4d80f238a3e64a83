"""A .mlpackage that runs: by the evaluator on any system, or by Core ML itself on a Mac."""

import functools
import json
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from keras_mobattn._quiet import import_coremltools
from keras_mobattn._types import PathLike
from keras_mobattn.catalog import COREML_UNITS
from keras_mobattn.errors import InputError, expect_name
from keras_mobattn.export.check import VerificationError
from keras_mobattn.export.exportable import INPUT_NAME
from keras_mobattn.export.file_model import FileModel
from keras_mobattn.formats.coreml.constants import read_constant
from keras_mobattn.formats.coreml.features import is_channels_first
from keras_mobattn.formats.coreml.program import read_program
from keras_mobattn.mil import Evaluator
from keras_mobattn.mil.classes import scores_behind
from keras_mobattn.mil.suppression import suppress

LEAST_SCORE, MOST_OBJECTS = 0.01, 100  # of an object detector's objects, when it is evaluated
COMPUTE_UNITS = ("CPU_ONLY", "ALL")  # of coremltools.ComputeUnit, what a conversion is checked with on a Mac


def on_mac():
    """Whether Core ML itself is here."""
    return sys.platform == "darwin"


class CoreMLModel(FileModel):
    """A .mlpackage of this package, fed and read alike whatever its interface.

    Threads may share one; by Core ML itself they take turns. `gives_classes` says that it ends in a class map [H, W].

    `compute_units` None runs our evaluator, a name of coremltools.ComputeUnit runs Core ML (macOS).

    Raises:
        InputError: no package, a damaged one, or one without the input "image"; other compute units.
        VerificationError: Core ML refuses it, or stops while running it.
    """

    def __init__(self, path: PathLike, compute_units: str | None = None) -> None:
        if compute_units is not None:
            expect_name([units for _, units in COREML_UNITS.values()], compute_units, "compute_units")
        program = read_program(path)
        self.spec = program.spec
        description = self.spec.description
        self.suppression = program.suppression
        thresholds = self.suppression.thresholds if self.suppression else ()
        inputs = {feature.name: feature.type for feature in description.input if feature.name not in thresholds}
        if list(inputs) != [INPUT_NAME]:
            raise InputError(
                f"Expected a package with one input, {INPUT_NAME!r}. Received: {str(path)!r} with {list(inputs)}. "
                "Convert the model with mobattn export."
            )
        self.name = Path(path).name
        self._input = inputs[INPUT_NAME]
        self.takes_pixels = inputs[INPUT_NAME].WhichOneof("Type") == "imageType"
        self.channels_first = not self.takes_pixels and is_channels_first(self._input.multiArrayType.shape)
        self.label = description.predictedFeatureName  # "" unless it is a classifier
        picks = [
            operation.operands["classes"][0].name for operation in program.operations if operation.kind == "classify"
        ]
        self._classes = tuple(label for name in picks for label in read_constant(program.constants[name]))
        self.gives_classes = any(each.dtype == "int32" and len(each.shape or ()) == 2 for each in program.outputs)
        self._run = self._evaluated(program) if compute_units is None else self._predicted(path, compute_units)

    def given(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """{input: array} of one image [1, H, W, C] as the program takes it."""
        return {INPUT_NAME: image.transpose(0, 3, 1, 2) if self.takes_pixels or self.channels_first else image}

    def run(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """[1, H, W, C] -> {output name: array}, a classifier's scores as [1, K]; see FileModel.

        Of an object detector the MOST_OBJECTS best objects with a score from LEAST_SCORE, filled up with zeros.
        """
        self.input_range.expect(image, "image", alone=True)
        return self._arrays(self._run(np.asarray(image, np.float32)))

    def computed(self, image: ArrayLike) -> dict[str, Any]:
        """What the evaluator computes of an image before objects are found or classes are picked: {name: [1, ..]}."""
        given = self.given(np.asarray(image, np.float32))
        if self.gives_classes:
            return {"scores": scores_behind(self._evaluate, given)}
        outputs = self._evaluate(given)
        return {name: np.asarray(value)[None] for name, value in outputs.items()} if self.suppression else outputs

    def _arrays(self, outputs):
        """Outputs without a classifier's most likely label, its scores by name as [1, K]."""
        if self.suppression:
            return {name: _filled(value) for name, value in outputs.items()}
        if self.gives_classes:  # [H, W]
            return {name: value[None] for name, value in outputs.items()}
        arrays = {name: value for name, value in outputs.items() if name != self.label}
        return {name: self._scores(value) if isinstance(value, dict) else value for name, value in arrays.items()}

    def _scores(self, by_label):
        """[1, K] in the order of the package's classes: Core ML's own dictionary is in an order of its own."""
        return np.asarray([[by_label[label] for label in self._classes]], np.float32)

    @functools.cached_property
    def _sample(self):
        """What a run on black gives, for what a package need not say."""
        return self._run(np.zeros((1, *self.input_shape[1:]), np.float32))

    @property
    def given_names(self) -> tuple[str, ...]:
        """The names of its outputs, without a classifier's most likely label."""
        return tuple(each.name for each in self.spec.description.output if each.name != self.label)

    @property
    def input_shape(self) -> tuple[None, int, int, int]:
        """(None, H, W, C)."""
        if self.takes_pixels:
            image = self._input.imageType
            return (None, image.height, image.width, 1 if image.colorSpace == image.GRAYSCALE else 3)
        shape = self._input.multiArrayType.shape
        return (None, *shape[2:], shape[1]) if self.channels_first else (None, *shape[1:])

    @functools.cached_property
    def output_shape(self) -> tuple[int | None, ...] | dict[str, tuple[int | None, ...]]:
        """As in Keras: {name: shape} of several outputs."""
        shapes = {name: (None, *value.shape[1:]) for name, value in self._arrays(self._sample).items()}
        return shapes if len(shapes) > 1 else next(iter(shapes.values()))

    @functools.cached_property
    def labels(self) -> tuple[str, ...]:
        """The class names in the package; () if there are none."""
        if self.label:
            return self._classes
        return tuple(json.loads(self.spec.description.metadata.userDefined.get("labels", "[]")))

    def _evaluated(self, program):
        self._evaluate = Evaluator(program)
        return self._objects if self.suppression else lambda image: self._evaluate(self.given(image))

    def _objects(self, image):
        computed, how = self.computed(image), self.suppression
        found = suppress(*(computed[name][0] for name in how.taken), how.overlap, LEAST_SCORE, how.by_class)
        return dict(zip(how.given, found, strict=True))

    def _predicted(self, path, compute_units):
        ct = import_coremltools()
        model, turn = ct.models.MLModel(str(path), compute_units=ct.ComputeUnit[compute_units]), threading.Lock()

        def run(image):
            given = {INPUT_NAME: _picture(image)} if self.takes_pixels else self.given(image)
            if self.suppression:
                given[self.suppression.thresholds[1]] = LEAST_SCORE
            try:
                with turn:
                    return dict(model.predict(given))
            except RuntimeError as error:
                raise VerificationError(f"Expected a package that Core ML runs. Received: {error}.") from error

        return run


def _filled(rows):
    """[n, k] as [1, MOST_OBJECTS, k]."""
    filled = np.zeros((1, MOST_OBJECTS, np.shape(rows)[1]), np.float32)
    filled[0, : len(rows)] = rows[:MOST_OBJECTS]
    return filled


def _picture(image):
    """[1, H, W, C] as the PIL image that Core ML takes."""
    from PIL import Image

    pixels = np.round(image[0]).astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
