"""An image with boxes, as every format of annotations gives it, and the checks that all formats share."""

import dataclasses
from pathlib import Path

import numpy as np

from keras_mobattn.data.image_file import ImageFacts
from keras_mobattn.errors import InputError
from keras_mobattn.files import is_label

BORDER = 1.5  # pixels by which a box may leave the image without being counted: formats and rounding differ


@dataclasses.dataclass(frozen=True)
class Listed:
    """What an annotation says of one image.

    path: the image's file. size: the (height, width) that its boxes are pixels of, None where they are shares.
    boxes: float64 [n, 4] of (ymin, xmin, ymax, xmax), pixels, or shares of the sides. labels: the names of the classes.
    """

    path: Path
    size: tuple[int, int] | None
    boxes: np.ndarray
    labels: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class AnnotatedFile:
    """An image file with its boxes, float32 [n, 4] of (ymin, xmin, ymax, xmax) as shares of the sides, and the indices
    of their classes."""

    path: Path
    facts: ImageFacts
    boxes: np.ndarray
    box_labels: np.ndarray


def expect_class_names(names, where):
    """Return `names` unless two are the same, or one is no text that a file of labels, a name a line, gives back.

    Raises:
        InputError: they are; `where` names the file.
    """
    for name in names:
        if not is_label(name):
            raise InputError(
                f"Expected names of classes in {str(where)!r} that can be printed and don't begin or end with a space. "
                f"Received: {name!r}. Rename it there."
            )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(
            f"Expected another name for each class. Received: {str(where)!r} with one name twice, {twice!r}."
        )
    return names


def in_shares(listed, size, left_out):
    """(boxes float32 [n, 4] within 0..1, their places in `listed`): those that are boxes; `left_out` counts the others.

    `size` is the image's (height, width). What reaches over the border is cut off there, and counted as well.
    """
    sides = np.array(listed.size or (1, 1), np.float64)
    shares = listed.boxes / np.tile(sides, 2)
    finite = np.isfinite(shares).all(1)
    cut = np.clip(np.where(finite[:, None], shares, 0), 0, 1)
    kept = []
    slack = np.tile(BORDER / np.array(size), 2)
    for place in range(len(shares)):
        if not finite[place]:
            left_out.add("boxes of numbers that are none", listed.path)
        elif not (shares[place, 2:] > shares[place, :2]).all():
            left_out.add("boxes without an area", listed.path)
        elif not (cut[place, 2:] > cut[place, :2]).all():
            left_out.add("boxes outside of their image", listed.path)
        else:
            if (np.abs(cut[place] - shares[place]) > slack).any():
                left_out.add("parts of boxes beyond their image", listed.path)
            kept.append(place)
    return cut[kept].astype(np.float32), kept
