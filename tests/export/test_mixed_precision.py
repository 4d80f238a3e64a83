"""Models of mixed precision are exported in float32, whatever layers they are of."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_mobattn
from helpers.small_models import CONVERT, convert
from keras_mobattn import export
from keras_mobattn.data import sample_photos


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_a_mixed_precision_model_is_exported_in_float32(policy, tmp_path):
    keras.mixed_precision.set_global_policy(policy)
    try:
        model = keras_mobattn.MobileViTv2(variant="test", attention="mobile", input_shape=(32, 32, 3), classes=5)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    keras_mobattn.randomize_weights(model)
    source = export.load(model)
    assert {layer.compute_dtype for layer in source.model._flatten_layers()} == {"float32"}
    assert keras.mixed_precision.global_policy().name == "float32"
    images = sample_photos(2, (32, 32)).astype(np.float32)
    np.testing.assert_allclose(source.predict(images)["probabilities"], model(images).numpy(), atol=0.05)
    for ours, theirs in zip(source.model.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


class Doubled(keras.layers.Layer):
    """A user's own layer, which nobody registered."""

    def call(self, x):
        return x + x


class Wrapped(keras.layers.Wrapper):
    def call(self, x):
        return self.layer(x)


def mixed_models(image):
    """{what is in it: a model on `image`} that only the live objects tell how to build again."""
    inner = keras.Input((8, 8, 4))
    nested = keras.Model(inner, Doubled()(keras.layers.Conv2D(4, 3, padding="same")(inner)), name="nested")
    layers = {
        "own layer": [Doubled()],
        "lambda": [keras.layers.Lambda(lambda x: tf.nn.relu(x), name="relu")],  # noqa: PLW0108  the module's tf
        "own layer in a wrapper": [Wrapped(Doubled()), Wrapped(keras.layers.Conv2D(4, 3))],
        "model": [nested],
        "sequential": [keras.Sequential([keras.layers.Conv2D(4, 3), Doubled()])],
    }
    models = {}
    for name, added in layers.items():
        x = keras.layers.Conv2D(4, 3, padding="same")(image)
        for layer in (*added, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3, dtype="float32")):
            x = layer(x)
        models[name] = keras.Model(image, x)
    return models


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_with_layers_of_ones_own(policy, tmp_path):
    keras.mixed_precision.set_global_policy(policy)
    try:
        models = mixed_models(keras.Input((8, 8, 3)))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    images = np.random.default_rng(0).uniform(0, 1, (4, 8, 8, 3)).astype(np.float32)
    for name, model in models.items():
        before = [layer.compute_dtype for layer in model._flatten_layers()]
        source = export.load(model, input_scale=1 / 255)
        assert {layer.compute_dtype for layer in source.model._flatten_layers()} == {"float32"}, name
        assert [layer.compute_dtype for layer in model._flatten_layers()] == before, name
        (received,) = source.predict(255 * images).values()
        np.testing.assert_allclose(received, model(images), atol=0.05, err_msg=name)
    for suffix in CONVERT:
        convert(suffix, "fp32", source, tmp_path / f"model{suffix}", check_images=images)
