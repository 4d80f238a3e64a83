"""Random weights of models whose batch norms are frozen, or are told not to train."""

import warnings

import numpy as np
import pytest
import tf_keras as keras

from helpers.cases import FAMILIES
from keras_mobattn import randomize_weights


def frozen(model):
    model.trainable = False
    return model


def half_frozen(model):
    for layer in model.layers[: len(model.layers) // 2]:
        layer.trainable = False
    return model


def transferred(model):
    """As Keras's guide to transfer learning has it."""
    image = keras.Input(model.input_shape[1:])
    return keras.Model(image, model(image, training=False))


def settings_of(model):
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    return [(norm.momentum, norm.trainable, "call" in vars(norm)) for norm in norms]


@pytest.mark.parametrize("change", [frozen, half_frozen, transferred])
@pytest.mark.parametrize("family", FAMILIES)
def test_frozen_norms_get_statistics_too(family, change):
    model = change(FAMILIES[family](input_shape=(64, 64, 3), classes=3, classifier_activation=None))
    before = settings_of(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        randomize_weights(model, seed=3)
    assert settings_of(model) == before
    for variable in model.weights:
        assert np.isfinite(variable.numpy()).all(), variable.name
        if "moving_variance" in variable.name:
            assert variable.numpy().min() > 0, variable.name
    images = np.random.default_rng(0).uniform(0, 255, (4, 64, 64, 3)).astype("float32")
    assert np.ptp(model(images), axis=0).max() > 0.1  # the images are told apart


def test_a_norm_that_is_not_called_stays_finite():
    class Two(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.used, self.spare = keras.layers.BatchNormalization(), keras.layers.BatchNormalization()

        def build(self, shape):
            self.used.build(shape)
            self.spare.build(shape)

        def call(self, x):
            return self.used(x)

    image = keras.Input((32, 32, 3))
    model = randomize_weights(keras.Model(image, Two()(image)))
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
