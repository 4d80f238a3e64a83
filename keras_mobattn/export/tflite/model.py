"""A .tflite file that runs: for the check of a conversion, and for the accuracy on a data set."""

import contextlib
import functools
import threading
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobattn._packages import needs
from keras_mobattn._quiet import quiet_stderr
from keras_mobattn._types import PathLike
from keras_mobattn.errors import InputError
from keras_mobattn.export.check import VerificationError
from keras_mobattn.export.exportable import INPUT_NAME
from keras_mobattn.export.file_model import FileModel
from keras_mobattn.export.tflite.io import dequantize, quantize
from keras_mobattn.formats.tflite.detector import read_detector
from keras_mobattn.formats.tflite.flatbuffer import read_tflite
from keras_mobattn.formats.tflite.graph import open_graph
from keras_mobattn.formats.tflite.labels import embedded_labels


class TFLiteModel(FileModel):
    """A .tflite file of this package, behind a Keras model's names.

    Images are pixels 0..255, outputs float32: quantized inputs and outputs are converted by their tensors' parameters.
    As in Keras, `input_shape` is (None, H, W, C), and `output_shape` {name: shape} of several outputs. Threads may
    share one: they take turns, since the file's interpreter has one memory.

    Raises:
        InputError: not a TFLite file, or one without a signature that takes "image".
        VerificationError: the interpreter refuses the file, or stops while running it.
        OSError: it can't be read.
    """

    labels: tuple[str, ...]
    input_shape: tuple[None, int, int, int]
    output_shape: tuple[int | None, ...] | dict[str, tuple[int | None, ...]]

    def __init__(self, path: PathLike) -> None:
        needs("ai-edge-litert")
        from ai_edge_litert.interpreter import Interpreter

        read_tflite(path)
        self._path = Path(path)
        self.name, self.labels = Path(path).name, embedded_labels(path)
        with quiet_stderr(), _refusal():  # quiet: "Created TensorFlow Lite XNNPACK delegate for CPU"
            interpreter = Interpreter(model_path=str(path))
            interpreter.allocate_tensors()  # here rather than in the first run, which would print that line
        signatures = interpreter.get_signature_list()
        if not any(signature["inputs"] == [INPUT_NAME] for signature in signatures.values()):
            raise InputError(
                f"Expected a file with a signature of one input, {INPUT_NAME!r}. Received: {str(path)!r} with "
                f"{signatures or 'none'}. Convert the model with mobattn export."
            )
        self._turn, self._signature = threading.Lock(), interpreter.get_signature_runner()
        self._taken, self._given = self._signature.get_input_details()[INPUT_NAME], self._signature.get_output_details()
        self.input_shape = (None, *(int(side) for side in self._taken["shape"][1:]))  # type: ignore[assignment]  # H, W, C
        shapes = {name: (None, *(int(side) for side in detail["shape"][1:])) for name, detail in self._given.items()}
        self.output_shape = shapes if len(shapes) > 1 else next(iter(shapes.values()))

    @functools.cached_property
    def detector(self) -> dict[str, Any] | None:  # type: ignore[override]  # it is read alone
        """What its metadata tell MediaPipe of boxes; see FileModel."""
        with open_graph(self._path) as graph:
            return read_detector(graph)

    @property
    def given_names(self) -> tuple[str, ...]:
        """The names of its outputs."""
        return tuple(self._given)

    def given(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """{input: array} of one image [1, H, W, C] as the file itself takes it."""
        return {INPUT_NAME: quantize(np.asarray(image, np.float32), self._taken)}

    def run(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """One image [1, H, W, C] -> {output name: array}; see FileModel."""
        self.input_range.expect(image, "image", alone=True)
        with self._turn, _refusal():
            results = self._signature(**self.given(image))
        return {name: dequantize(value, self._given[name]) for name, value in results.items()}


@contextlib.contextmanager
def _refusal():
    try:
        yield
    except (RuntimeError, ValueError) as error:  # what the interpreter's C++ side raises
        raise VerificationError(f"Expected a TFLite model that runs. Received: {error}") from error
