"""Which numbers a model takes for an image's pixels, as a fact that goes with the model."""

import dataclasses
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import ArrayLike

from keras_mobattn.errors import InputError

PIXEL = 255.0  # the largest value of a pixel
_SLACK = 0.5  # of a pixel's step: far above rounding, far below any mistake of the range


@dataclasses.dataclass(frozen=True)
class ImageRange:
    """The numbers that a model takes: pixels 0..255 times `scale` plus `bias`.

    Each is a tuple of one number, or of one for each channel: (1 / 255,) and (0,) for RGB 0..1, (1 / 127.5,) and (-1,)
    for RGB -1..1. `is_image` is False for a model of other numbers than an image's: it takes any, as they are.

    Raises:
        InputError: scales that are not positive, or numbers that are not finite.
    """

    scale: tuple[float, ...] = (1.0,)
    bias: tuple[float, ...] = (0.0,)
    is_image: bool = True

    if TYPE_CHECKING:  # a number or a list will do

        def __init__(self, scale: ArrayLike = 1.0, bias: ArrayLike = 0.0, is_image: bool = True) -> None: ...

    def __post_init__(self):
        for name in ("scale", "bias"):
            object.__setattr__(self, name, _numbers(f"input_{name}", getattr(self, name)))
        if min(self.scale) <= 0:
            raise InputError(
                f"Expected input_scale above 0, what pixels 0..255 are multiplied by. Received: {list(self.scale)}. "
                "Pass 1 for a model of RGB 0..255, 1/255 for one of 0..1."
            )

    @property
    def is_pixels(self) -> bool:
        """Whether the model takes pixels 0..255 as they are."""
        return set(self.scale) == {1.0} and set(self.bias) == {0.0}

    def of_channels(self, channels: int) -> Self:
        """The range itself; raise an InputError if its numbers are neither one nor one for each of `channels`."""
        if {len(self.scale), len(self.bias)} - {1, channels}:
            raise InputError(
                f"Expected input_scale and input_bias of one number, or one for each of {channels} channels. Received: "
                f"{list(self.scale)} and {list(self.bias)}."
            )
        return self

    @overload
    def from_pixels(self, pixels: np.ndarray) -> np.ndarray: ...

    @overload
    def from_pixels(self, pixels: tf.Tensor) -> tf.Tensor: ...

    def from_pixels(self, pixels: np.ndarray | tf.Tensor) -> np.ndarray | tf.Tensor:
        """An array or tensor [.., C] in 0..255 as the model takes it, float32."""
        pixels = pixels.astype(np.float32) if isinstance(pixels, np.ndarray) else tf.cast(pixels, tf.float32)
        scale, bias = self._arrays()
        pixels = pixels if np.all(scale == 1) else pixels * scale
        return pixels if np.all(bias == 0) else pixels + bias

    def to_pixels(self, images: ArrayLike) -> np.ndarray:
        """An array [.., C] that the model takes, as pixels 0..255, float32."""
        scale, bias = self._arrays()
        images = np.asarray(images, np.float32)
        return images if self.is_pixels else (images - bias) / scale

    def expect(self, images: np.ndarray, what: str, alone: bool = False) -> None:
        """Refuse an array [.., C] of images, called `what`, that together can't be in this range.

        `alone`: one image, which may be black or all light, as several together are not.

        Raises:
            InputError: values outside of it; none above its lowest 255th, as of images that were divided once more
                (alone, with fractions); none below 0 where the range has a half below.
        """
        if not self.is_image or not images.size:
            return
        pixels = self.to_pixels(images)
        lowest, highest = pixels.min(), pixels.max()
        dark = 0 < highest <= 1 + 1e-3
        if alone:
            divided = dark and np.abs(pixels - np.round(pixels)).max() > 1e-3
        else:
            divided = dark or (self.from_pixels(np.zeros(1)).max() < -0.4 and images.min() >= 0)
        if lowest >= -_SLACK and highest <= PIXEL + _SLACK and not divided:
            return
        raise InputError(
            f"Expected {what} in the range that the model takes, {self}. Received: values from {images.min():.4g} to "
            f"{images.max():.4g}. {self._advice(images)}"
        )

    def _advice(self, images):
        if self.is_pixels and (images.min() < 0 or images.max() <= 1):
            return (
                "Leave out your own normalisation, since the model takes pixels as they are; or, if that is how it "
                "was trained, say so by input_scale and input_bias, where the model does not say it itself."
            )
        if not self.is_pixels and images.min() >= 0:
            return "Normalise them as in training; keras_mobattn.preprocess_input does it for this package's models."
        return "Prepare them as in training, and clip what resizing has made of them."

    def __str__(self):
        if self.is_pixels:
            return "pixels 0..255"
        low, high = (self.from_pixels(np.full(1, end)) for end in (0, 255))
        if len(low) == 1:
            return f"{low[0]:.4g}..{high[0]:.4g} for pixels 0..255"
        return f"for pixels 0..255 by channel {_text(low)} to {_text(high)}"

    def _arrays(self):
        return np.float32(self.scale), np.float32(self.bias)


def _numbers(name, values):
    """A number, or a list of them, as a tuple without repetition."""
    try:
        values = tuple(float(value) for value in np.atleast_1d(values))
    except (TypeError, ValueError):
        values = ()
    if not values or not np.isfinite(values).all():
        raise InputError(
            f"Expected {name} as a number, or one for each channel. Received: {values!r}. Pass finite numbers."
        )
    return values[:1] if len(set(values)) == 1 else values


def _text(values):
    return "[" + ", ".join(f"{value:.4g}" for value in values) + "]"


@keras.saving.register_keras_serializable(package="keras_mobattn")
class InputRange(keras.layers.Layer):
    """Its input, unchanged. It says which numbers the model takes: pixels 0..255 times `scale` plus `bias`.

    Put it first in a model that normalises nothing itself, and whoever feeds or exports the model knows, also after
    saving: `InputRange(1 / 127.5, -1)` for RGB -1..1. Numbers, or one for each channel.
    """

    def __init__(self, scale: ArrayLike = 1.0, bias: ArrayLike = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.range = ImageRange(scale, bias)

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """The images."""
        return tf.identity(images)

    def get_config(self) -> dict[str, Any]:
        """With scale and bias."""
        return super().get_config() | {"scale": list(self.range.scale), "bias": list(self.range.bias)}
