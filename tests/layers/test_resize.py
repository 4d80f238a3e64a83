"""Resizes against their formulas."""

import numpy as np
import pytest

from keras_mobattn.layers import Resize, ResizeLike


@pytest.mark.parametrize("align_corners", [True, False])
def test_resize_equals_the_formula(align_corners):
    """Bilinear interpolation at the source coordinates that torch defines, in float64."""
    x = np.random.default_rng(2).normal(size=(1, 5, 7, 3))

    def coordinates(small, large):
        i = np.arange(large)
        c = i * (small - 1) / (large - 1) if align_corners else np.clip((i + 0.5) * small / large - 0.5, 0, small - 1)
        low = np.floor(c).astype(int)
        return low, np.minimum(low + 1, small - 1), c - low

    top, bottom, fy = coordinates(5, 6)
    left, right, fx = coordinates(7, 8)
    rows = x[:, top] * (1 - fy)[:, None, None] + x[:, bottom] * fy[:, None, None]
    expected = rows[:, :, left] * (1 - fx)[:, None] + rows[:, :, right] * fx[:, None]
    received = Resize(2, align_corners)(x.astype("float32")).numpy()
    np.testing.assert_allclose(received, expected, atol=1e-6)
    if not align_corners:
        like = np.zeros((1, 6, 8, 1), "float32")
        np.testing.assert_array_equal(ResizeLike()([x.astype("float32"), like]), received)
