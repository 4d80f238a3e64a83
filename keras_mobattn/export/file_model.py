"""What a file that runs looks like to whoever knows Keras models: the few names that evaluation and prediction use."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from keras_mobattn.layers import ImageRange
from keras_mobattn.models.input_range import PICTURES


class FileModel:
    """An exported file behind a Keras model's names. A subclass defines `run`, `input_shape` and `output_shape`.

    Attributes:
        name: of the file.
        labels: the class names in it; () if there are none.
        input_shape: (None, H, W, C), as in Keras.
        output_shape: (None, ..), or {name: (None, ..)} of several outputs.
        detector: what the file tells of its boxes, see `formats.tflite.detector`; None of most.
    """

    name: str
    detector: dict[str, Any] | None = None

    if TYPE_CHECKING:  # attributes or properties of a subclass

        @property
        def labels(self) -> tuple[str, ...]: ...
        @property
        def input_shape(self) -> tuple[None, int, int, int]: ...
        @property
        def output_shape(self) -> tuple[int | None, ...] | dict[str, tuple[int | None, ...]]: ...

    @property
    def given_names(self) -> tuple[str, ...]:
        """The names of all that `run` gives."""
        raise NotImplementedError(f"{type(self).__name__} must define given_names.")

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names of what `run` gives, where there are several; () for one."""
        return tuple(self.output_shape) if isinstance(self.output_shape, dict) else ()

    @property
    def input_range(self) -> ImageRange:
        """Pixels 0..255, whatever the Keras model took; any numbers where there are other channels than an image's."""
        return ImageRange(is_image=self.input_shape[-1] in PICTURES)

    def run(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """One image [1, H, W, C] -> {output name: array [1, ..]}.

        Raises:
            InputError: an image that was normalised: files take pixels 0..255.
        """
        raise NotImplementedError(f"{type(self).__name__} must define run(image).")

    def predict_on_batch(self, images: ArrayLike) -> np.ndarray | dict[str, np.ndarray]:
        """[n, H, W, C] -> the output, or {output name: array} of several, for all of them, one after the other: a file
        has a batch of one."""
        rows = [self.run(image[None]) for image in np.asarray(images, np.float32)]
        outputs = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
        return outputs if len(outputs) > 1 else next(iter(outputs.values()))
