"""Norms against their formulas, at any scale, and in float16."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from helpers.half_cases import write_cases
from helpers.small_graphs import rewritten
from keras_mobattn import randomize_weights
from keras_mobattn.errors import InputError
from keras_mobattn.export.tflite.device_forms import rewrite_for_devices
from keras_mobattn.half import MODES, evaluate_half
from keras_mobattn.layers import GroupNorm1, LayerNormalization, l2_normalize, norm

SHAPE = (2, 5, 7, 12)
NORMS = {GroupNorm1: (1, 2, 3), LayerNormalization: (3,)}
HALF = tuple(mode for mode in MODES if mode != "float32")


def normal(scale=1.0, shape=SHAPE, seed=3):
    return (scale * np.random.default_rng(seed).normal(2, 3, shape)).astype("float32")


def formula(x, axes, epsilon):
    x = x.astype(np.float64)
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + epsilon)


@pytest.mark.parametrize(
    ("scale", "epsilon"),  # variances of 1e-7 to 1e7
    [(scale, epsilon) for scale in (1e-4, 1e-2, 1.0, 1e3) for epsilon in (1e-3, 1e-5, 1e-6)] + [(1e-2, 0.0)],
)
@pytest.mark.parametrize("layer", NORMS)
def test_norms_equal_the_formula(layer, scale, epsilon):
    made, x = layer(epsilon), normal(scale)
    made(x)
    randomize_weights(made, 5)
    gamma, beta = (w.astype("float64") for w in made.get_weights())
    expected = formula(x, NORMS[layer], epsilon) * gamma + beta
    np.testing.assert_allclose(made(x), expected, atol=1e-5)


@pytest.mark.parametrize("epsilon", [1e-3, 1e-5, 1e-6])
def test_layer_norm_is_keras_s(epsilon):
    ours, theirs, x = LayerNormalization(epsilon), keras.layers.LayerNormalization(epsilon=epsilon), normal()
    ours(x), theirs(x)
    randomize_weights(theirs, 5)
    assert [w.name.split("/")[-1] for w in ours.weights] == [w.name.split("/")[-1] for w in theirs.weights]
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(ours(x), theirs(x), atol=2e-6)


@pytest.mark.parametrize("value", [0.0, 1e-8, 1.0, 1e4])
@pytest.mark.parametrize("layer", NORMS)
def test_what_is_the_same_everywhere_becomes_beta(layer, value):
    made, x = layer(), tf.fill(SHAPE, value)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = made(x)
    np.testing.assert_allclose(y, np.broadcast_to(made.beta, SHAPE), atol=2e-3)  # 1e4's mean is rounded
    assert np.isfinite(tape.gradient(y, x)).all()


def test_an_epsilon_below_0_is_refused():
    for layer in NORMS:
        with pytest.raises(InputError, match="epsilon"):
            layer(-1e-5)


FUNCTIONS = {  # of a map in float16 -> the same in float64
    "group norm": (lambda x: norm.normalize(x, [1, 2, 3], 1e-5), lambda x: formula(x, (1, 2, 3), 1e-5)),
    "layer norm": (lambda x: norm.normalize(x, [3], 1e-6), lambda x: formula(x, (3,), 1e-6)),
    "length of channels": (lambda x: l2_normalize(x, 3), lambda x: x / np.linalg.norm(x, axis=3, keepdims=True)),
    "length over tokens": (lambda x: l2_normalize(x, [1, 2]), lambda x: x / np.sqrt((x**2).sum((1, 2), keepdims=True))),
}
MAP = (1, 16, 16, 64)


def in_half(folder, names, x):
    """{mode: {name: output}} of FUNCTIONS in float16, by the evaluator."""
    path = write_cases(folder / "norms.tflite", {name: (FUNCTIONS[name][0], None) for name in names}, {"x": MAP})
    # As in a converted model: means over a whole map axis by axis
    path.write_bytes(rewritten(path.read_bytes(), rewrite_for_devices))
    reports = {mode: evaluate_half(path, x, mode) for mode in HALF}
    return {
        mode: {name: report.outputs[f"case {i}"] for i, name in enumerate(names)} for mode, report in reports.items()
    }


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])  # up to 400 and a variance of 8,100
def test_float16_holds_them(scale, tmp_path):
    x = normal(scale, MAP)
    for mode, outputs in in_half(tmp_path, list(FUNCTIONS), x).items():
        for name, received in outputs.items():
            expected = FUNCTIONS[name][1](x.astype(np.float64))
            assert np.abs(received - expected).max() <= 2e-2 * np.abs(expected).max(), (name, mode)


def test_float16_holds_a_residual_of_1000(tmp_path):
    x = normal(70.0, MAP)
    assert 900 < np.abs(x).max() < 1200
    for outputs in in_half(tmp_path, ["group norm", "layer norm"], x).values():
        assert all(np.isfinite(received).all() for received in outputs.values())


def test_float16_gives_0_for_what_is_the_same_everywhere(tmp_path):
    x = np.full(MAP, 3.0, np.float32)
    for outputs in in_half(tmp_path, ["group norm", "layer norm"], x).values():
        assert all((received == 0).all() for received in outputs.values())
    for outputs in in_half(tmp_path, ["length of channels", "length over tokens"], 0 * x).values():
        assert all((received == 0).all() for received in outputs.values())


def _without_limit(monkeypatch):
    monkeypatch.setattr(tf, "minimum", lambda x, most: x)
    return np.full(MAP, 3.0, np.float32)


def _of_whole_values(monkeypatch):
    monkeypatch.setattr(norm, "SMALL", 1.0)
    return normal(30.0, MAP)


@pytest.mark.parametrize("mutate", [_without_limit, _of_whole_values])
def test_the_norm_without_its_care_fails(mutate, tmp_path, monkeypatch):
    """The evaluator shows it: 0 times infinity, and squares that overflow."""
    x = mutate(monkeypatch)
    for outputs in in_half(tmp_path, ["group norm", "layer norm"], x).values():
        received = outputs["layer norm"]
        assert not np.isfinite(received).all() or (received == 0).any()
