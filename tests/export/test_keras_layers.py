"""Every layer of tf_keras in both formats, checked against Keras, or left out with its reason."""

import inspect

import numpy as np
import pytest
import tf_keras as keras

from helpers.keras_layers import BOTH, LEFT_OUT, SHAPE, TFLITE_ALONE
from keras_mobattn import export, randomize_weights
from keras_mobattn.errors import InputError

IMAGES = np.random.default_rng(0).normal(0, 1, (6, *SHAPE)).astype("float32")


def test_every_public_layer_is_in_the_table():
    """Once: Convolution2D and Conv2D are one class."""
    public = {
        each for _, each in inspect.getmembers(keras.layers, inspect.isclass) if issubclass(each, keras.layers.Layer)
    }
    named = {**BOTH, **TFLITE_ALONE, **LEFT_OUT}
    assert len(named) == len(BOTH) + len(TFLITE_ALONE) + len(LEFT_OUT)
    assert {getattr(keras.layers, name) for name in named} == public
    assert len(named) == len(public)


def model_of(layers):
    """One model with an output for each layer, under its name."""
    image = keras.Input(SHAPE)
    return randomize_weights(keras.Model(image, {name: layer(image) for name, layer in layers.items()}))


@pytest.mark.sampled
@pytest.mark.parametrize("convert", [export.to_tflite, export.to_coreml])
def test_every_layer_in_both_formats(convert, tmp_path):
    """In one file, whose check compares every output."""
    path = tmp_path / ("model.tflite" if convert is export.to_tflite else "model.mlpackage")
    report = convert(model_of(BOTH), path, "fp32", check_images=IMAGES)
    assert report.max_abs_error <= 2e-5 * report.spread


@pytest.mark.sampled
@pytest.mark.parametrize("name", TFLITE_ALONE)
def test_layers_that_tflite_alone_takes(name, tmp_path):
    model = model_of({name: TFLITE_ALONE[name][0]})
    export.to_tflite(model, tmp_path / "model.tflite", check_images=IMAGES)
    with pytest.raises(InputError, match="Expected .* Received: "):
        export.to_coreml(model, tmp_path / "model.mlpackage", "fp32", check_images=IMAGES)
    assert [path.name for path in tmp_path.iterdir()] == ["model.tflite"]
