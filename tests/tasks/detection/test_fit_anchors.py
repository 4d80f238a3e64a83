"""Fitted anchors: on digit_scenes they reach what was computed for them elsewhere; one size is found again."""

import numpy as np
import pytest

from keras_mobattn.data import open_source
from keras_mobattn.errors import InputError
from keras_mobattn.tasks.detection.anchors import ssd_sizes
from keras_mobattn.tasks.detection.fit_anchors import coverage, fit_sizes

AT_192 = [(12, 12), (6, 6), (3, 3), (2, 2), (1, 1), (1, 1)]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Corners of the digits of the test scenes."""
    source = open_source("digit_scenes", tmp_path_factory.mktemp("tfds"), targets=("boxes",))
    return np.concatenate([example["boxes"] for example in source.open_encoded("test").as_numpy_iterator()])


@pytest.mark.sampled
def test_digits_of_scenes(scenes):
    """At 192 pixels two thirds have one of cvnets' anchors, and four fifths a fitted one."""
    assert coverage(scenes, AT_192, ssd_sizes()) == pytest.approx(0.67, abs=0.02)
    sizes = fit_sizes(scenes, AT_192)
    assert [len(level) for level in sizes] == [6, 6, 6, 6, 6, 4]
    assert sizes[1:] == ssd_sizes()[1:]  # all digits are small
    assert coverage(scenes, AT_192, sizes) > 0.8


def test_sizes_are_found_again():
    rng = np.random.default_rng(0)
    true = np.array([(0.2, 0.2), (0.21, 0.3), (0.3, 0.21), (0.25, 0.25), (0.18, 0.3), (0.3, 0.3)])
    sizes = true[rng.integers(0, 6, 600)] * rng.uniform(0.99, 1.01, (600, 2))
    corners = np.concatenate([np.zeros((600, 2)), sizes[:, ::-1]], 1)
    found = np.array(fit_sizes(corners, AT_192)[0])
    assert np.abs(found[:, None] - true[None]).max(-1).min(0) == pytest.approx(0, abs=2e-3)


def test_a_large_box_belongs_to_a_coarse_level():
    sizes = fit_sizes([(0.0, 0.0, 0.9, 0.8)], AT_192)
    assert sizes[2][0] == pytest.approx((0.8, 0.9))  # of three cells; of two it would be 1.7 wide
    assert sizes[2][1:] == ssd_sizes()[2][1:]
    assert sizes[0] == ssd_sizes()[0]


@pytest.mark.parametrize("boxes", [np.zeros((0, 4)), np.zeros((2, 4)), np.zeros(4)])
def test_bad_boxes(boxes):
    with pytest.raises(InputError, match="boxes with an area to fit anchors to"):
        fit_sizes(boxes, AT_192)
