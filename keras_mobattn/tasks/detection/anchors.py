"""Anchors of SSD (Liu et al., ECCV 2016, arXiv:1512.02325): the boxes that a detector's offsets start from.

A level is a map of the detector; each of its cells has the same few sizes of anchors around its centre. Boxes are
shares of the image's sides. `ssd_sizes` are those of apple/ml-cvnets (`ssd_anchor_generator.py`).
"""

import numpy as np

from keras_mobattn.errors import expect_kind, expect_range

SMALLEST, LARGEST = 0.1, 1.05  # shares of the image, of the first level and of what would come after the last one
RATIOS = (2, 3)  # width to height, each way; the last level has the first alone


def ssd_sizes(num_levels=6):
    """The sizes of the anchors of each level: a tuple of (width, height) for each of `num_levels`.

    With s growing evenly from SMALLEST: (s, s), then (t, t) where t is the geometric mean of this level's s and the
    next one's, then s * sqrt(r) by s / sqrt(r) and the other way round for each of RATIOS. All at most 1.
    """
    expect_range("num_levels", num_levels, 1, whole=True)
    scales = np.linspace(SMALLEST, LARGEST, num_levels + 1)
    levels = []
    for level, (scale, larger) in enumerate(zip(scales[:-1], scales[1:], strict=True)):
        between = (scale * larger) ** 0.5
        sizes = [(scale, scale), (between, between)]
        for ratio in RATIOS[:1] if level == num_levels - 1 else RATIOS:
            sizes += [(scale * ratio**0.5, scale / ratio**0.5), (scale / ratio**0.5, scale * ratio**0.5)]
        levels.append(tuple((min(float(width), 1.0), min(float(height), 1.0)) for width, height in sizes))
    return tuple(levels)


def level_maps(image_size, strides):
    """(height, width) of each level's map for images of this size, the whole map's mean last, (1, 1)."""
    return [*(tuple(-(-side // stride) for side in image_size) for stride in strides), (1, 1)]


def anchor_boxes(maps, sizes):
    """The anchors of all levels, float32 [A, 4] of (center x, center y, width, height).

    `maps` are (height, width) of each level, `sizes` as of `ssd_sizes`. Levels follow one another, in each its rows
    from the top, in a row its cells from the left, in a cell its sizes.

    Raises:
        InputError: another number of maps than of levels of sizes, or a map without cells.
    """
    expect_kind("maps", maps, (list, tuple), "(height, width) of each level")
    expect_range("the number of levels in maps", len(maps), len(sizes), len(sizes), whole=True)
    return np.concatenate([_level(*each) for each in zip(maps, sizes, strict=True)])


def _level(shape, sizes):
    height, width = (expect_range("a side of maps", side, 1, whole=True) for side in shape)
    y, x = np.meshgrid((np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width, indexing="ij")
    centers = np.repeat(np.stack([x, y], -1).reshape(-1, 1, 2), len(sizes), 1)  # [H W, sizes, 2]
    boxes = np.concatenate([centers, np.broadcast_to(np.array(sizes), centers.shape)], -1)
    return boxes.reshape(-1, 4).astype(np.float32)
