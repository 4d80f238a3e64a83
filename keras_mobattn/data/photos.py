"""Photographs that need no download: scikit-learn's two, for checks and for int8 calibration."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_mobattn._packages import needs
from keras_mobattn._types import Size
from keras_mobattn.data.reading import Indexed
from keras_mobattn.data.resizing import checked_size
from keras_mobattn.data.source import Source
from keras_mobattn.errors import expect_range

IMAGENET_SIZE = (375, 500)  # height and width of its average image
MOST = 10**6  # photographs at once: two hundred of ImageNet's size take 100 MB
SMALLEST_CROP = 0.3  # of the shorter side: at 427 pixels still 128, so a crop shows an object, not a blur


def whole_photos():
    """{"china.jpg": .., "flower.jpg": ..}, the two photographs of scikit-learn: uint8 [427, 640, 3]."""
    needs("scikit-learn")
    from sklearn.datasets import load_sample_images

    photos = load_sample_images()
    return {Path(name).name: pixels for name, pixels in zip(photos.filenames, photos.images, strict=True)}


def sample_photos(count: int, image_size: Size, seed: int = 0) -> np.ndarray:
    """Random crops, uint8 [count, height, width, 3] RGB, of scikit-learn's photographs of a temple and of a flower.

    Crops have the size `image_size` (height, width), alternate between the two, and depend on `seed` alone.

    Raises:
        InputError: a count below 0, a size below 1, or a seed that is none.
    """
    from PIL import Image

    expect_range("count", count, 0, MOST, whole=True)
    expect_range("seed", seed, 0, 2**32 - 1, whole=True)
    height, width = checked_size(image_size)
    photos = [Image.fromarray(pixels) for pixels in whole_photos().values()]
    rng = np.random.RandomState(seed)
    crops = np.empty((count, height, width, 3), np.uint8)
    for i in range(count):
        photo = photos[i % len(photos)]
        scale = rng.uniform(SMALLEST_CROP, 1.0) * min(photo.width / width, photo.height / height)
        left = rng.uniform(0, photo.width - scale * width)
        top = rng.uniform(0, photo.height - scale * height)
        box = (left, top, left + scale * width, top + scale * height)
        crops[i] = photo.resize((width, height), Image.Resampling.BICUBIC, box=box)
    return crops


def photo_source(count: int) -> Source:
    """A Source of `count` training images, `sample_photos` of ImageNet's size: "temple" and "flower" in turn."""
    photos = tf.constant(sample_photos(count, IMAGENET_SIZE))
    reader = Indexed(count, lambda index: {"image": photos[index], "label": index % 2})
    return Source("photos", ("temple", "flower"), {"train": count}, {"train": lambda: reader})
