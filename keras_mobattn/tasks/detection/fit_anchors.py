"""Sizes of anchors that fit the boxes of a training set, and how many boxes any anchors are near enough to.

SSD's sizes suit COCO at 320 pixels. Of objects of one tenth of the image and less, few have an anchor that overlaps
them by half; sizes that were seen in the set reach more with as many anchors.
"""

import numpy as np

from keras_mobattn.data.boxes import overlaps
from keras_mobattn.errors import InputError, expect_kind
from keras_mobattn.tasks.detection.anchors import anchor_boxes, ssd_sizes
from keras_mobattn.tasks.detection.boxes import to_corners
from keras_mobattn.tasks.detection.matcher import ENOUGH

CELLS = 2.0  # of a level, that an object has to be wide to belong to it: smaller ones lie too far from a cell's center
STARTS = 10  # of k-means, of which the best counts
AT_ONCE = 256  # boxes that are compared with all anchors


def fit_sizes(boxes, maps):
    """Sizes for `anchors.anchor_boxes`, fitted to `boxes`: corners [n, 4], shares of the image's sides.

    A box belongs to the coarsest of `maps`, (height, width) of each level, on which its geometric mean is CELLS cells,
    or to the finest. On each level k-means over the logarithms of width and height finds as many sizes as SSD has
    there, so that a size is near a box of which it is a share; a level with fewer different boxes keeps SSD's sizes for
    the others.

    Raises:
        InputError: no boxes, or some without an area.
    """
    boxes = _as_numbers(boxes)
    expect_kind("maps", maps, (list, tuple), "(height, width) of each level")
    if boxes.ndim != 2 or boxes.shape[1:] != (4,) or not len(boxes) or not (boxes[:, 2:] > boxes[:, :2]).all():
        raise InputError(
            f"Expected boxes with an area to fit anchors to, [n, 4] of (ymin, xmin, ymax, xmax). Received: "
            f"{list(boxes.shape)}{', some without area' if boxes.ndim == 2 and len(boxes) else ''}."
        )
    sizes = np.stack([boxes[:, 3] - boxes[:, 1], boxes[:, 2] - boxes[:, 0]], 1)
    cells = np.stack([np.prod(sizes * (width, height), 1) ** 0.5 for height, width in maps])  # [levels, n]
    level = np.max(np.where(cells >= CELLS, np.arange(len(maps))[:, None], 0), 0)
    defaults = ssd_sizes(len(maps))
    return tuple(_fitted(sizes[level == number], default) for number, default in enumerate(defaults))


def _as_numbers(boxes):
    """An array; an empty one of what holds no numbers."""
    try:
        return np.asarray(boxes, np.float64)
    except (TypeError, ValueError):
        return np.zeros(0)


def _fitted(sizes, default):
    """As many sizes as `default` has, from the smallest."""
    from sklearn.cluster import KMeans

    different = np.unique(sizes, axis=0)
    if len(different) <= len(default):
        return tuple(map(tuple, different.tolist())) + default[len(different) :]
    means = KMeans(len(default), n_init=STARTS, random_state=0).fit(np.log(sizes)).cluster_centers_
    means = np.exp(means[np.argsort(means.sum(1))])
    return tuple(map(tuple, np.minimum(means, 1.0).tolist()))


def coverage(boxes, maps, sizes):
    """The share of boxes, corners [n, 4], that some anchor overlaps by ENOUGH; of the others one anchor learns each."""
    corners = to_corners(anchor_boxes(maps, sizes))
    boxes = np.asarray(boxes, np.float32)
    parts = (boxes[start : start + AT_ONCE] for start in range(0, len(boxes), AT_ONCE))
    return float(np.mean(np.concatenate([overlaps(part, corners).numpy().max(1) >= ENOUGH for part in parts])))
