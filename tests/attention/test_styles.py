"""Every style against its formula in float64, see helpers/attention_formulas.py; prime sizes on every axis."""

import functools
import warnings

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from tensorflow.python.autograph.impl import conversion
from tensorflow.python.autograph.pyct import cache
from tensorflow.python.profiler import model_analyzer, option_builder

from helpers.attention_formulas import (
    BATCH,
    DIM,
    FORMULAS,
    HEAD_DIM,
    HEADS,
    TOKENS,
    linear,
    sigmoid,
    tokens,
    weights_of,
)
from keras_mobattn.attention import (
    ATTENTIONS,
    Attention,
    HeadwiseAttention,
    MobileAttention,
    SpatialReductionAttention,
    attention_layer,
    information_flow,
)
from keras_mobattn.catalog import ATTENTION_FORMS
from keras_mobattn.errors import InputError
from keras_mobattn.models import randomize_weights

HEADWISE = [name for name, style in ATTENTIONS.items() if issubclass(style, HeadwiseAttention)]


def make(name, dim=DIM, dtype=None, **options):
    if name in HEADWISE or name in ATTENTION_FORMS:
        options.setdefault("num_heads", HEADS)
    return {**ATTENTIONS, **ATTENTION_FORMS}[name](dim, dtype=dtype, **options)


@pytest.mark.parametrize("name", FORMULAS)
def test_no_style_prints_a_warning_of_tensorflow(name, monkeypatch):
    """AutoGraph can't take every construct of Python, := for one, and tells every user of it who trains or converts."""
    monkeypatch.setattr(conversion, "_ALLOWLIST_CACHE", cache.UnboundInstanceCache())  # what it has told of already
    said = []
    monkeypatch.setattr(tf.get_logger(), "warning", lambda *text: said.append(text))
    layer, x = make(name), keras.Input((TOKENS, DIM))
    layer(x)
    tf.function(make(name)).get_concrete_function(tf.TensorSpec((1, 256, DIM)))  # so many that shares are lifted
    assert said == []


def test_every_style_has_a_formula():
    assert set(FORMULAS) == {*ATTENTIONS, "mobile_published"}


@pytest.mark.parametrize("name", FORMULAS)
def test_equals_the_formula(name):
    layer, x = make(name), tokens()
    layer(x.astype("float32"))
    randomize_weights(layer, 1)
    expected = np.stack([FORMULAS[name](example, weights_of(layer)) for example in x])
    received = layer(x.astype("float32")).numpy()
    assert received.shape == x.shape
    assert np.abs(received - expected).max() <= 2e-6 * max(1, np.ptp(expected))


@pytest.mark.parametrize("name", ATTENTIONS)
def test_patches_of_a_map_attend_by_themselves(name):
    """A map with patch_size p equals p * p separate calls on the pixels at each position inside a patch."""
    p, height, width = 3, 2, 5
    x = np.random.default_rng(2).normal(size=(BATCH, p * height, p * width, DIM)).astype("float32")
    layer, alone = make(name, patch_size=p), make(name)
    layer(x), alone(x[:, :height, :width])
    randomize_weights(layer, 3)
    alone.set_weights(layer.get_weights())
    received = layer(x).numpy()
    for i in range(p):
        for j in range(p):
            expected = alone(x[:, i::p, j::p]).numpy()  # a map with patch_size 1
            np.testing.assert_allclose(received[:, i::p, j::p], expected, atol=1e-5)


@pytest.mark.parametrize("name", ATTENTIONS)
def test_permuting_tokens_permutes_outputs(name):
    layer, x = make(name), tokens().astype("float32")
    layer(x)
    randomize_weights(layer, 4)
    order = np.random.default_rng(5).permutation(TOKENS)
    same = np.abs(layer(x[:, order]).numpy() - layer(x).numpy()[:, order]).max() < 1e-5
    assert same == (name != "focused")  # its convolution sees the neighbours


@pytest.mark.parametrize("name", ATTENTIONS)
def test_every_weight_gets_a_gradient(name):
    layer, x = make(name, dropout=0.0), tf.constant(tokens(), tf.float32)
    layer(x)
    randomize_weights(layer, 6)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.sin(layer(x, training=True)))
    for variable, gradient in zip(layer.weights, tape.gradient(loss, layer.weights), strict=True):
        assert gradient is not None, variable.name
        assert np.all(np.isfinite(gradient)), variable.name
        # A bias that is the same for every token cancels in a softmax over tokens, and in no other place.
        if (name, variable.name.split("/")[-2]) not in {
            ("softmax", "key"),
            ("separable", "query"),
            ("efficient", "key"),
        }:
            assert np.abs(gradient).max() > 0, variable.name


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", ATTENTIONS)
def test_finite_for_large_and_constant_inputs(name, policy):
    layer = make(name, dtype=policy)
    large = 1e3 * tokens(count=257)
    for x in (large, np.full_like(large, 1e3), np.full_like(large, -1e3), np.zeros_like(large)):
        y = layer(tf.cast(x, layer.compute_dtype))
        assert y.dtype == layer.compute_dtype
        assert np.all(np.isfinite(tf.cast(y, tf.float32))), (name, policy)
    randomize_weights(layer, 7)
    assert np.all(np.isfinite(tf.cast(layer(tf.cast(large, layer.compute_dtype)), tf.float32)))


@pytest.mark.parametrize("name", ATTENTIONS)
def test_half_precision_agrees_with_float32(name):
    x = tokens().astype("float32")
    layer, half = make(name), make(name, dtype="mixed_float16")
    layer(x), half(x)
    randomize_weights(layer, 8)
    half.set_weights(layer.get_weights())
    expected = layer(x).numpy()
    assert np.abs(half(x).numpy() - expected).max() <= 0.01 * np.ptp(expected)


@pytest.mark.parametrize("name", ATTENTIONS)
def test_config_round_trip(name):
    layer, x = make(name, dropout=0.25, patch_size=1), tokens().astype("float32")
    expected = layer(x).numpy()
    config = keras.saving.serialize_keras_object(layer)
    again = keras.saving.deserialize_keras_object(config)
    again(x)
    again.set_weights(layer.get_weights())
    assert again.get_config() == layer.get_config()
    assert again.dropout == 0.25
    np.testing.assert_array_equal(again(x).numpy(), expected)


def count_flops(name, count):
    """TensorFlow's own profiler: floating-point operations of every kind, not ours."""
    layer = make(name, dim=32, num_heads=4) if name in HEADWISE else make(name, dim=32)
    graph = tf.function(layer).get_concrete_function(tf.TensorSpec((1, count, 32), tf.float32)).graph
    options = option_builder.ProfileOptionBuilder(option_builder.ProfileOptionBuilder.float_operation())
    return model_analyzer.profile(graph, options=options.with_empty_output().build()).total_float_ops


@pytest.mark.parametrize("name", ATTENTIONS)
def test_cost_in_tokens(name):
    growth = count_flops(name, 1024) / count_flops(name, 512)
    if name == "softmax":
        assert growth > 3.9  # 7.9: the profiler also misreads the transposed operand of Q^T K
    else:
        assert 1.99 < growth < 2.01


@pytest.mark.parametrize("name", HEADWISE)
def test_parameters_of_headwise_styles(name):
    extra = {"xca": HEADS, "focused": DIM + 26 * HEAD_DIM}.get(name, 0)
    layer = make(name)
    layer(tokens().astype("float32"))
    assert layer.count_params() == 4 * DIM**2 + 4 * DIM + extra


def test_mobile_attention_names_and_dropout():
    layer = MobileAttention(16, head_dim=2)
    x = tf.random.stateless_normal((3, 50, 16), (1, 2))
    layer(x)
    names = {variable.name.split(":")[0].split("/", 1)[1] for variable in layer.weights}
    assert names == {f"{part}/{kind}" for part in ("query", "key", "value", "out") for kind in ("kernel", "bias")}
    assert (layer.num_heads, layer.head_dim, layer.dropout) == (8, 2, 0.05)
    randomize_weights(layer)
    assert 0.02 < np.mean(layer(x, training=True) == 0) < 0.09
    assert all(make(name).dropout == 0 for name in ATTENTIONS if name != "mobile")


class Mixer(keras.layers.Layer):
    """A user's own layer, which knows tokens only."""

    def __init__(self, dim, **kwargs):
        super().__init__(**kwargs)
        self.dim = dim
        self.dense = keras.layers.Dense(dim, name="dense")

    def call(self, x):
        assert x.shape.rank == 3
        return self.dense(x) + tf.reduce_mean(x, 1, keepdims=True)

    def get_config(self):
        return {**super().get_config(), "dim": self.dim}


def test_slot_takes_a_name_a_class_and_a_callable():
    x = tf.random.stateless_normal((2, 4, 6, 16), (3, 4))
    for attention, expected in (
        ("mobile", MobileAttention),
        (MobileAttention, MobileAttention),
        (functools.partial(MobileAttention, head_dim=2), MobileAttention),
    ):
        layer = attention_layer(attention, 16, name="a", patch_size=2)
        assert isinstance(layer, expected)
        assert (layer.name, layer.patch_size) == ("a", 2)
        assert layer(x).shape == x.shape
    assert layer.head_dim == 2


def test_slot_builds_a_name_or_a_class_once(monkeypatch):
    made, build = [], MobileAttention.__init__

    def spy(self, *args, **options):
        made.append(options)
        build(self, *args, **options)

    monkeypatch.setattr(MobileAttention, "__init__", spy)
    for attention, times in (("mobile", 1), (MobileAttention, 1), (lambda dim: MobileAttention(dim), 2)):
        made.clear()
        attention_layer(attention, 16, name="a", patch_size=2, num_heads=4)
        assert len(made) == times


def test_spatial_reduction_attention_has_no_patches():
    layer = SpatialReductionAttention(16, num_heads=2, sr_ratio=2, name="a")
    assert "patch_size" not in layer.get_config()
    again = SpatialReductionAttention.from_config({**layer.get_config(), "patch_size": 1})  # as files of before have it
    assert again.get_config() == layer.get_config()
    with pytest.raises(TypeError, match="patch_size"):
        SpatialReductionAttention(16, patch_size=2)
    for attention in (SpatialReductionAttention, lambda dim: SpatialReductionAttention(dim)):
        with pytest.raises(InputError, match="takes patches of 2x2 pixels apart. Received: SpatialReductionAttention"):
            attention_layer(attention, 16, name="a", patch_size=2)
        assert attention_layer(attention, 16, name="a").name == "a"


def test_slot_folds_patches_for_a_users_own_layer():
    x = np.random.default_rng(9).normal(size=(2, 4, 6, 16)).astype("float32")
    layer = attention_layer(Mixer, 16, name="a", patch_size=2)
    received = layer(x).numpy()
    for i in (0, 1):
        for j in (0, 1):
            part = x[:, i::2, j::2]
            expected = layer.layer(part.reshape(2, 6, 16)).numpy().reshape(part.shape)
            np.testing.assert_allclose(received[:, i::2, j::2], expected, atol=1e-6)


BAD = {
    "unknown style": (lambda: attention_layer("mobil", 16, name="a"), "'mobile'.*Received: 'mobil'"),
    "no layer": (lambda: attention_layer(lambda dim: dim, 16, name="a"), "returned 16"),
    "dim": (lambda: MobileAttention(0), "Expected dim of MobileAttention to be a whole number from 1 up. Received: 0"),
    "heads that do not divide": (lambda: MobileAttention(16, num_heads=3), "divisor of dim=16.*num_heads=3"),
    "heads that disagree": (lambda: MobileAttention(16, num_heads=2, head_dim=2), "num_heads=2, head_dim=2"),
    "dropout": (lambda: MobileAttention(16, dropout=1.5), "to be a number from 0 to below 1. Received: 1.5"),
    "rank": (lambda: MobileAttention(16)(np.zeros((2, 16), "float32")), r"Received: shape \(2, 16\)"),
    "width": (lambda: MobileAttention(16)(np.zeros((2, 5, 8), "float32")), r"Received: shape \(2, 5, 8\)"),
    "odd map": (
        lambda: MobileAttention(16, patch_size=2)(np.zeros((1, 3, 4, 16), "float32")),
        "multiples of patch_size=2",
    ),
    "tokens with patches": (lambda: MobileAttention(16, patch_size=2)(np.zeros((1, 4, 16), "float32")), "patch_size=1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    call, message = BAD[case]
    with pytest.raises(InputError, match=message):
        call()


def test_a_base_layer_says_what_to_define():
    with pytest.raises(NotImplementedError, match="attend"):
        Attention(8)(np.zeros((1, 2, 8), "float32"))


def mobile_core(tokens, heads, shares, clip=None):
    """The core of normal Q, K and V + 1/2 in 16 channels: [64, heads, 16 / heads, tokens]."""
    shape = (64, heads, 16 // heads, tokens)
    query, key, value = (tf.random.stateless_normal(shape, (i, 1)) for i in range(3))
    over = information_flow.HEADS
    return information_flow.information_flow_attention(query, key, value + 0.5, over, shares, clip).numpy()


@pytest.mark.parametrize("heads", [1, 2, 8])
def test_mobile_attention_keeps_its_magnitude_whatever_the_number_of_tokens(heads):
    """The published form's grows as N / h: 9 times from 64 to 576 tokens."""
    few, many = (np.sqrt(np.mean(mobile_core(tokens, heads, heads) ** 2)) for tokens in (64, 576))
    assert many == pytest.approx(few, rel=0.1)
    assert 0.2 < many < 0.6  # of V's mean .5
    few, many = (
        np.sqrt(np.mean(mobile_core(tokens, heads, tokens, information_flow.CLIP) ** 2)) for tokens in (64, 576)
    )
    assert many == pytest.approx(9 * few, rel=0.1)
    assert few == pytest.approx(64 / heads * 0.731 * 0.5, rel=0.1)


@pytest.mark.parametrize(("heads", "tokens"), [(1, 64), (8, 64), (4, 576)])
def test_the_default_form_is_the_published_one_without_clip_times_heads_over_tokens(heads, tokens):
    layers = [make(name, dim=16, num_heads=heads, dropout=0.0) for name in ("mobile", "mobile_published")]
    query, key, value = (tf.random.stateless_normal((2, heads, 16 // heads, tokens), (i, 1)) for i in range(3))
    default, published = (layer.mix(query, key, value).numpy() for layer in layers)
    unclipped = mobile_core(tokens, heads, tokens)
    np.testing.assert_allclose(mobile_core(tokens, heads, heads), unclipped * heads / tokens, rtol=1e-6, atol=1e-7)
    # Of the layers, the clip makes a difference, but with one head, whose flows are all 1.
    assert (np.abs(default - published * heads / tokens).max() < 1e-6) == (heads == 1)


@pytest.mark.parametrize(("tokens", "lift"), [(49, 1), (64, 8), (256, 16), (576, 16), (4096, 64), (None, 1)])
def test_products_over_many_tokens_are_lifted_and_no_bit_changes(tokens, lift, monkeypatch):
    """What is multiplied with the values is no less than float16's smallest normal number in the mean, times 64."""
    share = 4 / 4
    assert information_flow.lift_of(share, tokens) == lift
    if tokens:
        lifted = mobile_core(tokens, 4, 4)
        monkeypatch.setattr(information_flow, "lift_of", lambda share, tokens: 1)
        np.testing.assert_array_equal(lifted, mobile_core(tokens, 4, 4))
        assert lift == 1 or lift / tokens >= 64 * 2.0**-14


def test_the_flows_over_heads_sum_to_the_number_of_heads():
    """Hence their mean is 1, where the published formula clips them, and none is more than h."""
    rng = np.random.default_rng(0)
    q, k = (sigmoid(3 * rng.normal(size=(HEADS, TOKENS, HEAD_DIM))) for _ in range(2))
    i, o = 1 / (q * k.sum(0)).sum(-1), 1 / (k * q.sum(0)).sum(-1)  # [h, N]
    conserved_sink = (q * (k * o[..., None]).sum(0)).sum(-1)
    conserved_source = (k * (q * i[..., None]).sum(0)).sum(-1)
    np.testing.assert_allclose(conserved_sink.sum(0), HEADS, rtol=1e-12)
    np.testing.assert_allclose(conserved_source.sum(0), HEADS, rtol=1e-12)
    assert 0.3 < np.mean(conserved_source > 1) < 0.7


@pytest.mark.parametrize("name", ["mobile", "flow"])
@pytest.mark.parametrize(("dim", "heads"), [(32, 2), (64, 8), (96, 12), (96, 48)])
@pytest.mark.parametrize("count", [16, 576])
def test_query_and_key_learn_from_the_first_step(name, dim, heads, count):
    """What a relative change of a kernel does to the loss: with a deviation of .02 it was 50 to 4,000 times less for
    query than for value."""
    keras.utils.set_random_seed(0)
    layer, x = make(name, dim=dim, num_heads=heads, dropout=0.0), tf.random.stateless_normal((8, count, dim), (1, 2))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x) * tf.random.stateless_normal(x.shape, (3, 4)))
    kernels = [layer.query.kernel, layer.key.kernel, layer.value.kernel]
    query, key, value = (
        float(tf.norm(kernel) * tf.norm(gradient))
        for kernel, gradient in zip(kernels, tape.gradient(loss, kernels), strict=True)
    )
    assert query > value / 20
    assert key > value / 20


@pytest.mark.parametrize("name", [*HEADWISE, "mobile_published"])
def test_kernels_start_with_the_deviation_of_their_style(name):
    for dim in (64, 192, 1024):
        layer = make(name, dim=dim, num_heads=4)
        layer(np.zeros((1, 2, dim), "float32"))
        gain = {"mobile": 2.0, "flow": 4.0}.get(name)
        linear_deviation = max(0.02, (3 * dim) ** -0.5)
        for part in ("query", "key", "value", "out"):
            gained = gain and part in ("query", "key")
            expected = gain / dim**0.5 if gained else linear_deviation
            assert np.std(getattr(layer, part).kernel) == pytest.approx(expected, rel=0.08)


def test_one_head_is_warned_of_once():
    information_flow._warn_of_one_head.cache_clear()
    with pytest.warns(UserWarning, match="MobileAttention with one head: nothing competes"):
        MobileAttention(16, num_heads=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MobileAttention(16, num_heads=1)


def test_with_one_head_all_tokens_weigh_the_same():
    layer, x = make("mobile", dim=16, num_heads=1, dropout=0.0), tokens(dim=16).astype("float32")
    layer(x)
    randomize_weights(layer, 9)
    w = weights_of(layer)
    q, k, v = (linear(x[0], w, part) for part in ("query", "key", "value"))
    q, k = sigmoid(q), sigmoid(k)
    mixed = q / (q * k).sum(-1, keepdims=True) @ (k.T @ v)  # all flows are a token's own
    expected = linear(sigmoid(1.0) * mixed / TOKENS, w, "out")
    np.testing.assert_allclose(layer(x)[0], expected, rtol=1e-4, atol=1e-5)
