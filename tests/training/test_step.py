"""The parts of a training step that were written for speed: the same numbers as Keras's own."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from helpers.cases import FAMILIES
from keras_mobattn.attention import ATTENTIONS
from keras_mobattn.layers import Dropout, Swish, global_policy
from keras_mobattn.models import load_model, randomize_weights, rematerialize
from keras_mobattn.training.adamw import AdamW

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-14), ("float32", 1e-6), ("bfloat16", 2e-2)])
def test_the_gradient_of_swish(dtype, tolerance, compiled):
    x, upstream = (RNG.normal(0, 4, (2, 3, 5, 7)) for _ in range(2))
    s = 1 / (1 + np.exp(-x))
    layer = Swish(dtype=dtype)

    def gradient(x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        return y, tape.gradient(y, x, upstream)

    y, received = (tf.function(gradient) if compiled else gradient)(tf.cast(x, dtype), tf.cast(upstream, dtype))
    np.testing.assert_allclose(tf.cast(y, "float64"), x * s, rtol=tolerance, atol=tolerance)
    expected = upstream * (s + x * s * (1 - s))
    np.testing.assert_allclose(tf.cast(received, "float64"), expected, rtol=tolerance, atol=4 * tolerance)


def test_the_gradient_of_swish_at_sizes_that_are_only_known_at_run_time():
    layer = Swish()

    @tf.function(input_signature=[tf.TensorSpec((None, None, 3))])
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        return tape.gradient(y, x)

    for size in (2, 5):
        x = RNG.normal(0, 1, (4, size, 3)).astype("float32")
        s = 1 / (1 + np.exp(-x))
        np.testing.assert_allclose(gradient(x), s + x * s * (1 - s), atol=1e-6)


def test_swish_in_a_converted_graph_is_two_operators():
    layer = Swish()
    function = tf.function(lambda x: layer(x)).get_concrete_function(tf.TensorSpec((1, 4)))
    types = {op.type for op in function.graph.get_operations()}
    assert types <= {"Placeholder", "Identity", "IdentityN", "Sigmoid", "Mul"}


@pytest.mark.parametrize("clip", [{}, {"global_clipnorm": 0.5}], ids=["free", "clipped"])
def test_adamw_takes_the_steps_of_keras(clip):
    starts = [RNG.normal(0, 1, shape).astype("float32") for shape in ((3, 5), (7,))]
    gradients = [[RNG.normal(0, 1, start.shape).astype("float32") for start in starts] for _ in range(20)]
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5)

    def train(make):
        weights = [tf.Variable(start) for start in starts]
        optimizer = make(schedule, weight_decay=0.1, epsilon=1e-3, beta_1=0.8, **clip)
        optimizer.exclude_from_weight_decay([weights[1]])
        for gradient in gradients:
            optimizer.apply_gradients(zip(gradient, weights, strict=True))
        return [*weights, *optimizer.variables]

    ours, theirs = train(AdamW), train(keras.optimizers.AdamW)
    assert [weight.name for weight in ours[2:]] == [weight.name for weight in theirs[2:]]
    for received, expected in zip(
        ours, theirs, strict=True
    ):  # 1 - 0.999 is 5e-5 larger in float32, as the kernel has it
        np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-5)


def test_adamw_is_its_formula():
    gradients = RNG.normal(0, 1, (20, 3, 5))
    weight, optimizer = tf.Variable(np.ones((3, 5))), AdamW(0.25, weight_decay=0.5, beta_1=0.75, beta_2=0.875)
    w, m, v = 1.0, 0.0, 0.0
    for t, g in enumerate(gradients, 1):
        optimizer.apply_gradients([(tf.constant(g), weight)])
        m, v = m + 0.25 * (g - m), v + 0.125 * (g * g - v)
        w = w - 0.25 * 0.5 * w
        w = w - 0.25 * np.sqrt(1 - 0.875**t) / (1 - 0.75**t) * m / (np.sqrt(v) + 1e-7)
    np.testing.assert_allclose(weight, w, rtol=1e-11)


def test_adamw_updates_every_replica():
    cpus = tf.config.list_logical_devices("CPU")
    with tf.distribute.MirroredStrategy([device.name for device in cpus]).scope():
        model = keras.Sequential([keras.layers.Dense(2, input_shape=(3,))])
        model.compile(AdamW(0.1), "mse")
    before = model.get_weights()
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    for received, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_allclose(np.abs(received - expected), 0.1, atol=2e-3)  # Adam's first step: the rate


IMAGES = RNG.uniform(0, 255, (4, 32, 32, 3)).astype("float32")
TARGETS = tf.one_hot([0, 1, 2, 3], 5)


def loss_and_gradients(model):
    with tf.GradientTape() as tape:
        loss = keras.losses.CategoricalCrossentropy()(TARGETS, model(IMAGES, training=True))
    return loss, tape.gradient(loss, model.trainable_variables)


def small(family, policy="float32", **options):
    with global_policy(policy):
        return randomize_weights(FAMILIES[family](input_shape=(32, 32, 3), classes=5, **options))


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_half_precision_gives_every_weight_a_finite_gradient(attention, policy):
    model = small("MobileViTv2", policy, attention=attention)
    loss, gradients = loss_and_gradients(model)
    assert np.isfinite(loss)
    for weight, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert gradient is not None, weight.name
        assert np.isfinite(gradient).all(), weight.name


REMATERIALIZED = [("MobileViTv2", "separable"), ("MobileViTv2", "mobile"), ("MobileViT", "softmax")]


@pytest.mark.parametrize(("family", "attention"), REMATERIALIZED)
def test_rematerialized_gradients_are_the_same(family, attention, tmp_path):
    keras.utils.set_random_seed(0)
    model = small(family, "float64", attention=attention)
    for layer in model._flatten_layers():
        if isinstance(layer, Dropout):
            layer.rate = 0.0
    before = model.get_weights()
    expected = loss_and_gradients(model)
    moved = model.get_weights()
    model.set_weights(before)
    rematerialize(rematerialize(model))
    received = loss_and_gradients(model)
    for one, other in zip(tf.nest.flatten(received), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    for one, other in zip(model.get_weights(), moved, strict=True):  # batch norm's statistics moved once
        np.testing.assert_allclose(one, other, rtol=1e-9)
    model.save(tmp_path / "model.keras")
    np.testing.assert_allclose(load_model(tmp_path / "model.keras")(IMAGES), model(IMAGES), atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_rematerialized_half_precision(family):
    _, gradients = loss_and_gradients(rematerialize(small(family, "mixed_bfloat16")))
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.sampled
def test_rematerialized_attention_runs_twice_and_the_rest_once():
    """By counting operators of a traced step."""

    def count(model):
        graph = tf.function(loss_and_gradients).get_concrete_function(model).graph
        return {kind: sum(op.type == kind for op in graph.get_operations()) for kind in ("Relu", "FusedBatchNormV3")}

    plain = count(small("MobileViTv2", attention="separable"))
    assert plain["Relu"] == 3  # one a unit
    assert count(rematerialize(small("MobileViTv2", attention="separable"))) == {**plain, "Relu": 6}
