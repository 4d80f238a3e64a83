"""How evaluation brings an image to a model's input size: its middle, cut out of what covers it; or the whole image."""

import functools

import numpy as np
import tensorflow as tf

from keras_mobattn._types import Size
from keras_mobattn.errors import InputError, choose, expect_range

INTERPOLATIONS = {"bilinear": tf.image.ResizeMethod.BILINEAR, "bicubic": tf.image.ResizeMethod.BICUBIC}


SMALLEST_CROP = 0.01  # below, an image would be resized to thousands of times its size


def resize_and_crop(
    image: np.ndarray | tf.Tensor, image_size: Size, crop: float | None = 1.0, interpolation: str = "bilinear"
) -> tf.Tensor:
    """An image uint8 [h, w, 3], resized to cover `image_size` / `crop` and cropped to `image_size` (H, W): uint8.

    For example 400x600 pixels, to (256, 256) with crop .888: resized to 288x432, then cut to the middle 256x256. The
    resize keeps the aspect and is antialiased, "bilinear" or "bicubic". With crop None the whole image is seen, its
    sides stretched to the new ones, as detectors see it. The result is rounded to uint8 [H, W, 3] before it is cached
    or evaluated, so that `take_images` returns the same numbers. Within one level of 0..255 these are timm's, with
    whose transform the published accuracies were measured.

    Raises:
        InputError: an unknown interpolation, a size below 1, or a crop outside of 0.01 to 1; an image of other numbers
            or another shape: fractions of 0..1 would all be rounded to black.
    """
    shape, dtype = tf.TensorShape(getattr(image, "shape", ())), getattr(image, "dtype", None)
    if not shape.is_compatible_with((None, None, 3)) or dtype != tf.uint8:
        raise InputError(
            f"Expected an image of uint8 [height, width, 3]. Received: {getattr(dtype, 'name', type(image).__name__)} "
            f"{shape}. keras_mobattn.data.read_image reads one."
        )
    return resizer(image_size, crop, interpolation)(image)


def resizer(image_size, crop=1.0, interpolation="bilinear"):
    """`resize_and_crop` as a function of the image alone; checks the other arguments now, before tf.data runs it."""
    method = choose(INTERPOLATIONS, interpolation, "interpolation")
    if crop is not None:
        expect_range("crop, the share of the resized side that is kept,", crop, SMALLEST_CROP, 1)
    return functools.partial(_resize_and_crop, image_size=checked_size(image_size), crop=crop, method=method)


def _resize_and_crop(image, image_size, crop, method):
    if crop is None:
        return with_size(resize(image, image_size, method), image_size)
    scaled, (top, left) = covering_size(tf.shape(image)[:2], image_size, crop)
    image = resize(image, scaled, method)
    return with_size(image[top : top + image_size[0], left : left + image_size[1]], image_size)


def covering_size(shape, image_size, crop=1.0):
    """The size to which an image of `shape` is resized, so that it covers `image_size` / `crop`; and the crop's corner.

    Both are (vertical, horizontal) pixels; with `crop` 1 the sides of `image_size` may be tensors too.
    """
    h, w = tf.unstack(shape)
    height, width = image_size
    if crop < 1:  # rounded down here and below, as torchvision and timm do
        height, width = (int(side / crop) for side in image_size)
    scaled = tf.cond(height * w >= width * h, lambda: (height, w * height // h), lambda: (h * width // w, width))
    return scaled, tuple(_half(side - target) for side, target in zip(scaled, image_size, strict=True))


def with_size(image, image_size):
    """The image with its static shape set where the sides of `image_size` are ints."""
    return tf.ensure_shape(image, [*(side if isinstance(side, int) else None for side in image_size), 3])


def _half(pixels):
    """Half of a number of pixels; halves are rounded to the even number, as by Python's round."""
    return tf.cast(tf.round(pixels / 2), tf.int32)


def resize(image, size, method):
    """uint8 [h, w, 3] -> uint8 [H, W, 3], antialiased, within one level of Pillow's.

    First the width, then the height, rounded in between as Pillow does. The pixels of a row are channels, since
    tf.image.resize is vectorised over channels alone.
    """
    height, width = size
    h, w = tf.unstack(tf.shape(image)[:2])
    # The 0.5 is for rounding. It stands between cast and transpose, which grappler would swap: then oneDNN prints that
    # it has no transpose for uint8.
    columns = tf.reshape(tf.transpose(tf.cast(image, tf.float32) + 0.5, [1, 0, 2]), [w, 3 * h])
    columns = tf.clip_by_value(tf.floor(_resize_first(columns, width, method)), 0.0, 255.0)
    rows = tf.transpose(tf.reshape(columns, [width, h, 3]), [1, 0, 2])
    rows = _resize_first(tf.reshape(rows, [h, 3 * width]), height, method)
    return tf.cast(tf.clip_by_value(tf.round(tf.reshape(rows, [height, width, 3])), 0.0, 255.0), tf.uint8)


def _resize_first(values, size, method):
    """[n, channels] -> [size, channels]."""
    return tf.image.resize(values[:, None], [size, 1], method, antialias=True)[:, 0]


def checked_size(image_size):
    """`image_size` as (height, width), two ints of at least 1; else an InputError."""
    try:
        height, width = (int(side) for side in image_size)
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 1:
        raise InputError(f"Expected image_size to be (height, width) in pixels, from 1 up. Received: {image_size!r}.")
    return height, width
