"""Means of the parts of a map against torch's, and against their definition."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from helpers import torch_peers
from keras_mobattn.errors import InputError
from keras_mobattn.layers import AdaptiveMean

SIZES = [(32, 32), (64, 64), (7, 7), (5, 9), (6, 12), (16, 24), (3, 2)]  # divided, overlapping, fewer than bins
BINS = (1, 2, 3, 6)


def by_definition(x, bins):
    """Part i of n from floor(i H / n) to ceil((i + 1) H / n), in float64."""
    rows, columns = (
        [slice(i * side // bins, -(-(i + 1) * side // bins)) for i in range(bins)] for side in x.shape[1:3]
    )
    parts = [[x[:, row, column].mean((1, 2), dtype=np.float64) for column in columns] for row in rows]
    return np.array(parts).transpose(2, 0, 1, 3)


def maps(size):
    return np.random.default_rng(0).normal(size=(2, *size, 5)).astype(np.float32)


@pytest.mark.parametrize("size", SIZES)
def test_means_are_those_of_the_definition(size):
    for bins in BINS:
        received = AdaptiveMean(bins)(maps(size)).numpy()
        np.testing.assert_allclose(received, by_definition(maps(size), bins), atol=1e-6)


@torch_peers.needs("torch")
@pytest.mark.parametrize("size", SIZES)
def test_means_are_torchs(size):
    import torch

    given = torch.from_numpy(maps(size).transpose(0, 3, 1, 2).copy())
    for bins in BINS:
        expected = torch.nn.functional.adaptive_avg_pool2d(given, bins).numpy().transpose(0, 2, 3, 1)
        np.testing.assert_allclose(AdaptiveMean(bins)(maps(size)).numpy(), expected, atol=1e-6)


def test_half_precision_and_configuration():
    layer = AdaptiveMean(3, dtype="mixed_float16")
    received = layer(maps((7, 7)))
    assert received.dtype == tf.float16
    np.testing.assert_allclose(received.numpy(), by_definition(maps((7, 7)), 3), atol=2e-3)
    assert AdaptiveMean.from_config(layer.get_config()).bins == 3


def test_bad_input():
    for bins in (0, 1.5, "2", None):
        with pytest.raises(InputError, match="bins to be a whole number from 1 up"):
            AdaptiveMean(bins)
    with pytest.raises(InputError, match="map of fixed size for means over 3 x 3 parts. Received"):
        AdaptiveMean(3)(keras.Input((None, 8, 4)))
