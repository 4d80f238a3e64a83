"""Stochastic depth and dropout: what they compute, where they are, and that a checkpoint resumes their draws."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from helpers.cases import FAMILIES, FAMILY_CASES
from keras_mobattn.attention import MobileAttention
from keras_mobattn.errors import InputError
from keras_mobattn.layers import Dropout, DropPath, drop_path_rates
from keras_mobattn.models import load_model

RATES = {(0.3, (1, 3)): [[0.0], [0.1, 0.2, 0.3]], (0.0, (2,)): [[0.0, 0.0]], (0.5, (1,)): [[0.0]]}
LAYERS = {
    "DropPath": lambda: DropPath(0.5),
    "Dropout": lambda: Dropout(0.5),
    "attention": lambda: MobileAttention(8, dropout=0.5),
}


@pytest.mark.parametrize(("rate", "depths"), RATES)
def test_rates_are_linear_over_all_units(rate, depths):
    received = drop_path_rates(rate, depths)
    for rates, expected in zip(received, RATES[rate, depths], strict=True):
        np.testing.assert_allclose(rates, expected)


@pytest.mark.parametrize("rate", [-0.1, 1, True, "0.1"])
def test_a_rate_out_of_range(rate):
    with pytest.raises(InputError, match=f"drop_path_rate to be a number from 0 to below 1. Received: {rate!r}"):
        FAMILIES["MobileViT"](drop_path_rate=rate)


def test_whole_examples_are_dropped_and_the_mean_is_kept():
    x = tf.ones((4000, 2, 3, 5))
    y = DropPath(0.2)(x, training=True).numpy()
    assert set(np.unique(y.round(5))) == {0, 1.25}
    assert (y == y[:, :1, :1, :1]).all()
    assert abs(y.mean() - 1) < 0.05  # 5 standard deviations are 0.04
    np.testing.assert_array_equal(DropPath(0.2)(x), x)


@pytest.mark.parametrize("name", LAYERS)
def test_a_checkpoint_resumes_the_draws(name, tmp_path):
    x = np.random.default_rng(0).normal(0, 1, (16, 2, 4, 8)).astype("float32")

    def made():
        layer = LAYERS[name]()
        return layer, tf.function(lambda: layer(x, training=True)), tf.train.Checkpoint(layer=layer)

    layer, draw, checkpoint = made()
    draw()
    path = checkpoint.save(tmp_path / "checkpoint")
    expected = [draw().numpy() for _ in range(3)]
    assert (expected[0] != expected[1]).any()
    assert all("generator" not in weight.name for weight in layer.weights)

    other, draw_again, checkpoint = made()
    draw_again()  # another seed, and another place in its stream
    checkpoint.restore(path).assert_consumed()
    for y in expected:
        np.testing.assert_array_equal(draw_again(), y)
    _, draw_fresh, checkpoint = made()
    checkpoint.restore(path)  # before the layer is built
    for y in expected:
        np.testing.assert_array_equal(draw_fresh(), y)


def test_seeds_give_the_same_draws():
    def draw():
        keras.utils.set_random_seed(7)
        return [make()(np.ones((8, 2, 4, 8), "float32"), training=True).numpy() for make in LAYERS.values()]

    for received, expected in zip(draw(), draw(), strict=True):
        np.testing.assert_array_equal(received, expected)


UNITS = {
    **{f"layer4_1_unit0_drop_path{i}": 0.2 for i in (1, 2)},
    **{f"layer5_1_unit0_drop_path{i}": 0.4 for i in (1, 2)},
}
DROPS = {  # of the test-size models, at a rate of 0.4
    "MobileViT": UNITS,
    "MobileViTv2": UNITS,
    "DeiT": {f"block1_drop_path{i}": 0.4 for i in (1, 2)},
    "PVTv2": {f"stage{stage}_block0_drop_path{i}": 0.4 * (stage - 1) / 3 for stage in (2, 3, 4) for i in (1, 2)},
    "EfficientFormerV2": {
        "stage2_block0_mlp_drop_path": 0.4 / 3,
        **{f"stage3_block0_{branch}_drop_path": 0.8 / 3 for branch in ("mixer", "mlp")},
        **{f"stage4_block0_{branch}_drop_path": 0.4 for branch in ("mixer", "mlp")},
    },
}


@pytest.mark.parametrize("family", FAMILY_CASES)
def test_a_model_with_drop_path(family, tmp_path):
    options = {"input_shape": (32, 32, 3), "classes": 5}
    plain, model = FAMILIES[family](**options), FAMILIES[family](drop_path_rate=0.4, **options)
    drops = {layer.name: layer.rate for layer in model.layers if isinstance(layer, DropPath)}
    assert drops == pytest.approx(DROPS[family])
    assert [layer.name for layer in plain.layers] == [layer.name for layer in model.layers if layer.name not in drops]
    assert [weight.name for weight in plain.weights] == [weight.name for weight in model.weights]

    model.set_weights(plain.get_weights())
    images = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3)).astype("float32")
    np.testing.assert_array_equal(model(images), plain(images))
    assert np.abs(model(images, training=True) - model(images, training=True)).max() > 0
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images), model(images))
    assert loaded.get_layer(list(drops)[-1]).get_config()["rate"] == pytest.approx(0.4)
