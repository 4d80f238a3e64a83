"""Means over parts of a map against torch's formula, in numpy."""

import numpy as np
import pytest
import tf_keras as keras

from keras_mobattn import InputError
from keras_mobattn.layers import AdaptiveMean

SIDES = ((32, 32), (7, 12), (6, 6), (4, 5))


def parts(side, bins):
    return [slice(i * side // bins, -(-(i + 1) * side // bins)) for i in range(bins)]


@pytest.mark.parametrize("bins", [1, 2, 3, 6])
@pytest.mark.parametrize("sides", SIDES, ids=str)
def test_means(sides, bins):
    """Where there are more parts than pixels, too: then parts share pixels."""
    x = np.random.default_rng(0).normal(3, 1, (3, *sides, 5)).astype(np.float32)
    rows, columns = (parts(side, bins) for side in sides)
    expected = np.stack([np.stack([x[:, i, j].mean((1, 2)) for j in columns], 1) for i in rows], 1)
    layer = AdaptiveMean(bins)
    np.testing.assert_allclose(layer(x), expected, rtol=2e-5)
    again = AdaptiveMean.from_config(layer.get_config())
    np.testing.assert_array_equal(again(x), layer(x))


def test_a_map_of_open_size_is_refused():
    with pytest.raises(InputError, match="Expected a map of fixed size for means over 3 x 3 parts"):
        AdaptiveMean(3)(keras.Input((None, 8, 4)))
    with pytest.raises(InputError, match="Expected bins to be a whole number from 1"):
        AdaptiveMean(0)
