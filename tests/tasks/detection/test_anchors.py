"""Anchors: cvnets' numbers, order and count."""

import numpy as np
import pytest

from keras_mobattn.errors import InputError
from keras_mobattn.tasks.detection.anchors import anchor_boxes, ssd_sizes

AT_320 = [(20, 20), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)]
# As printed for cvnets: the square of a level, and the one between it and the next
SQUARES = (0.1, 0.258333, 0.416667, 0.575, 0.733333, 0.891667)
BETWEEN = (0.160728, 0.328084, 0.489473, 0.649359, 0.808634, 0.9676)


def test_sizes_are_those_of_cvnets():
    levels = ssd_sizes()
    assert [len(sizes) for sizes in levels] == [6, 6, 6, 6, 6, 4]
    for sizes, square, between in zip(levels, SQUARES, BETWEEN, strict=True):
        np.testing.assert_allclose(sizes[:2], [(square, square), (between, between)], atol=1e-6)
        for ratio, (wide, tall) in zip((2, 3), zip(sizes[2::2], sizes[3::2], strict=True), strict=False):
            expected = np.minimum((square * ratio**0.5, square / ratio**0.5), 1)
            np.testing.assert_allclose(wide, expected, atol=1e-6)
            np.testing.assert_allclose(tall, expected[::-1], atol=1e-6)


def test_anchors_at_320():
    boxes = anchor_boxes(AT_320, ssd_sizes())
    assert (boxes.shape, boxes.dtype) == ((3232, 4), np.float32)
    assert boxes.min() > 0
    assert boxes.max() <= 1
    np.testing.assert_allclose(boxes[-1, :2], 0.5)


def test_the_order_is_level_row_cell_size():
    maps, sizes = [(2, 3), (1, 1)], [((0.1, 0.2), (0.3, 0.4)), ((0.5, 0.6),)]
    expected = [
        ((x + 0.5) / width, (y + 0.5) / height, *size)
        for (height, width), level in zip(maps, sizes, strict=True)
        for y in range(height)
        for x in range(width)
        for size in level
    ]
    np.testing.assert_allclose(anchor_boxes(maps, sizes), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("maps", "text"),
    [
        ([(2, 2)], "number of levels in maps to be a whole number from 6 to 6. Received: 1"),
        ([*AT_320[:5], (0, 1)], "a side of maps to be a whole number from 1 up. Received: 0"),
        (7, "maps to be .height, width. of each level. Received: 7"),
    ],
)
def test_bad_maps(maps, text):
    with pytest.raises(InputError, match=text):
        anchor_boxes(maps, ssd_sizes())


def test_bad_levels():
    with pytest.raises(InputError, match="num_levels to be a whole number from 1 up. Received: 0"):
        ssd_sizes(0)
