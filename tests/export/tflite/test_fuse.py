"""Deploy-time fusion: each rewrite happens where it may and nowhere else, and the numbers stay."""

import collections

import numpy as np
import pytest
import tensorflow as tf

from helpers.small_graphs import converted, kinds, rewritten, run
from keras_mobattn.export.tflite.fuse import fuse
from keras_mobattn.export.tflite.quantize import int8_operators
from keras_mobattn.formats.tflite.graph import Graph

RNG = np.random.default_rng(0)
SHAPE = (1, 6, 10, 8)


def weights(*shape):
    return RNG.normal(0, 1, shape).astype(np.float32)


GAMMA, BETA, BIAS = weights(8), weights(8), weights(8)


def conv(x, filters=8, size=1, strides=1, padding="SAME", kernel=None):
    kernel = weights(size, size, x.shape[-1], filters) if kernel is None else kernel
    return tf.nn.conv2d(x, kernel, strides, padding) + weights(filters)


def depthwise(x, multiplier=1):
    return tf.nn.depthwise_conv2d(x, weights(3, 3, x.shape[-1], multiplier), (1, 1, 1, 1), "SAME")


def centred(x):
    """What no rewrite takes away, so that what follows isn't folded into what went before."""
    return x - tf.reduce_mean(x, (1, 2, 3), keepdims=True)


def padded(x):
    return tf.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))


# Name -> (function of [1, 6, 10, 8], operators that are left). The first part is what the rewrites are for.
REWRITTEN = {
    "scale and shift, one 1x1 convolution": (lambda x: conv(centred(x) * GAMMA + BETA), "CONV_2D MEAN SUB"),
    "scale and shift, three of them": (
        lambda x: [conv(y, n) for y in [centred(x) * GAMMA + BETA] for n in (1, 8, 5)],
        "CONV_2D CONV_2D CONV_2D MEAN SUB",
    ),
    "shift and strides": (lambda x: conv(centred(x) + BETA, strides=2), "CONV_2D MEAN SUB"),
    "scalar scale through padding": (
        lambda x: conv(padded(x * 0.25), size=3, strides=2, padding="VALID"),
        "CONV_2D PAD",
    ),
    "scale through padding": (lambda x: conv(padded(x * GAMMA), size=3, strides=2, padding="VALID"), "CONV_2D PAD"),
    "scale into a 3x3 and a depthwise one": (
        lambda x: [f(y) for y in [centred(x) * GAMMA] for f in (lambda y: conv(y, size=3), depthwise)],
        "CONV_2D DEPTHWISE_CONV_2D MEAN SUB",
    ),
    "two linear 1x1 convolutions": (lambda x: conv(conv(x, 16), 24), "CONV_2D"),
    "three of them": (lambda x: conv(conv(conv(x, 16), 24), 32), "CONV_2D"),
    "the second has an activation": (lambda x: tf.nn.relu(conv(conv(x, 16), 24)), "CONV_2D"),
    "a dense layer": (lambda x: tf.matmul(tf.reshape(centred(x) * 3.0, (60, 8)), weights(8, 4)) + weights(4), None),
}
UNTOUCHED = {
    "shift before padding": (lambda x: conv(padded(x + BETA), size=3, strides=2, padding="VALID"), "ADD CONV_2D PAD"),
    "shift before a 3x3": (lambda x: conv(centred(x) + BETA, size=3), "ADD CONV_2D MEAN SUB"),
    "shift before a depthwise one": (lambda x: depthwise(centred(x) + BETA), "ADD DEPTHWISE_CONV_2D MEAN SUB"),
    "scale of each pixel": (lambda x: conv(x * weights(1, 6, 10, 1)), "CONV_2D MUL"),
    "scale that something else reads": (
        lambda x: [f(y) for y in [centred(x) * GAMMA] for f in (conv, tf.nn.tanh)],
        "CONV_2D MEAN MUL SUB TANH",
    ),
    "scale that is an output": (
        lambda x: [f(y) for y in [centred(x) * GAMMA] for f in (conv, tf.identity)],
        "CONV_2D MEAN MUL SUB",
    ),
    "shift into a grouped convolution": (
        lambda x: conv(centred(x) + BETA, kernel=weights(1, 1, 4, 8)),
        "ADD CONV_2D MEAN SUB",
    ),
    "a multiplier of two": (lambda x: depthwise(centred(x) * GAMMA, 2), "DEPTHWISE_CONV_2D MEAN MUL SUB"),
    "activation between": (lambda x: conv(tf.nn.relu(conv(x, 16))), "CONV_2D CONV_2D"),
    "a bottleneck, which saves MACs": (lambda x: conv(conv(x, 2), 8), "CONV_2D CONV_2D"),
    "a level that is an output": (
        lambda x: [f(y) for y in [conv(x, 16)] for f in (conv, tf.identity)],
        "CONV_2D CONV_2D",
    ),
    "strides in the first": (lambda x: conv(conv(x, 16, strides=2), 24), "CONV_2D CONV_2D"),
}


@pytest.mark.parametrize("name", REWRITTEN | UNTOUCHED)
def test_rewrites(name):
    function, left = (REWRITTEN | UNTOUCHED)[name]
    before = converted(function, SHAPE)
    after = rewritten(before, fuse)
    if left is not None:
        assert kinds(after) == left
    assert (kinds(after) == kinds(before)) == (name in UNTOUCHED or left is None)
    image = weights(*SHAPE)
    expected, received = run(before, image), run(after, image)
    assert expected.keys() == received.keys()
    for output in expected:
        np.testing.assert_allclose(received[output], expected[output], rtol=1e-4, atol=1e-4 * np.ptp(expected[output]))


def test_what_nothing_reads_leaves_the_file():
    before = converted(lambda x: conv(conv(x, 64), 80), SHAPE)
    assert len(rewritten(before, fuse)) < len(before) - 4 * (8 * 64 + 64 * 80 - 8 * 80)  # bytes of float32


def test_a_mobilevitv2_loses_its_affine_norms_and_double_projections(tmp_path, tiny_model):
    """Per block one merged pair where the next block expands, per norm a MUL and an ADD."""
    from keras_mobattn import export

    model = tiny_model("MobileViTv2", "separable")
    export.to_tflite(model, tmp_path / "model.tflite")
    left = collections.Counter(kinds((tmp_path / "model.tflite").read_bytes()).split())
    convolutions = [layer for layer in model._flatten_layers() if type(layer).__name__ == "Conv2D"]
    assert left["CONV_2D"] == len(convolutions) - 2  # layers 3 and 4 end in a projection that the next one widens
    norms = [layer for layer in model._flatten_layers() if type(layer).__name__ == "GroupNorm1"]
    assert left["RSQRT"] == len(norms)


def test_int8_lies_between_int8():
    """The swish and the residual sum between convolutions are int8; what a float operator reads or makes is not."""

    def network(x):
        y = conv(x)
        y = conv(y * tf.sigmoid(y)) + y  # LOGISTIC, MUL and ADD between convolutions
        z = conv(y)
        return conv(centred(z * tf.sigmoid(z)))  # read by a norm: float

    graph = Graph(rewritten(converted(network, SHAPE), fuse))
    chosen = collections.Counter(graph.kind(operator) for operator in int8_operators(graph))
    assert chosen == {"CONV_2D": 4, "LOGISTIC": 1, "MUL": 1, "ADD": 1}
