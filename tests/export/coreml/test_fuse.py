"""Each rewrite of the Core ML graph: it fires where it should, nowhere else, and the numbers stay TensorFlow's."""

import collections
import functools
import tempfile

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from keras_mobattn import mil
from keras_mobattn._quiet import import_coremltools, quiet_stderr
from keras_mobattn.formats.coreml.program import read_program
from keras_mobattn.layers import GroupNorm1

import_coremltools()  # quietly, before passes imports it
from keras_mobattn.export.coreml import passes  # noqa: E402

SHAPE = (1, 6, 10, 8)  # a different size on every axis
rng = np.random.default_rng(0)


def draw(*shape):
    return tf.constant(rng.normal(size=shape), tf.float32)


EIGHT, POINT, OTHER, LAST = draw(1, 1, 8, 8), draw(1, 1, 8, 5), draw(1, 1, 8, 7), draw(1, 1, 7, 5)
NARROW, BACK = draw(1, 1, 8, 2), draw(1, 1, 2, 9)
THREE, THREE_OF_5, DEPTH, VECTOR = draw(3, 3, 8, 5), draw(3, 3, 5, 2), draw(3, 3, 8, 2), draw(8)


WIDE, TEN, COLUMNS = draw(1, 1, 8, 10), draw(1, 1, 10, 5), draw(1, 1, 10, 1)
PIXELS = tf.reshape(tf.range(60.0) / 60, (1, 6, 10, 1))


def start(x):
    """A map that is channels first in Core ML, as all maps inside a model are."""
    return tf.nn.relu(conv(x, EIGHT))


def mean(x):
    return tf.reduce_mean(x, (1, 2))


def centred(x):
    return x - tf.reduce_mean(x, (1, 2, 3), keepdims=True)


def two(x):
    return tf.concat([tf.nn.relu(conv(x, POINT)), conv(x, OTHER)], axis=3)


def and_itself(x):
    return {"map": x, "convolved": conv(x, POINT)}


def and_more(x):
    return mean(conv(x, EIGHT)) + mean(tf.exp(x))


def conv(x, kernel, padding="SAME", strides=1):
    return tf.nn.conv2d(x, kernel, strides, padding)


def depthwise(x, padding="SAME"):
    return tf.nn.depthwise_conv2d(x, DEPTH, (1, 1, 1, 1), padding)


def padded(x, value=0.0, rows=((1, 2), (3, 0))):
    return tf.pad(x, ((0, 0), *rows, (0, 0)), constant_values=value)


def norm(layer):
    layer.build(SHAPE)
    layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    return layer


LAYER, GROUP = norm(keras.layers.LayerNormalization(epsilon=1e-5)), norm(GroupNorm1(epsilon=1e-3))
BATCH = norm(keras.layers.BatchNormalization(epsilon=1e-5))
WIDE_BATCH = norm(keras.layers.BatchNormalization(epsilon=1e-3))
PATCHES, OF_18 = draw(16, 16, 8, 5), draw(18, 18, 8, 2)
HEADS = [draw(8, 5) for _ in range(8)]  # coremltools makes no linear layers of weights that several share


NEXT, ALONE, ALSO = draw(5, 8), draw(8, 5), draw(8, 5)


def head(x, number):
    return tf.matmul(x, HEADS[number]) + VECTOR[:5]


def both(x):
    return tf.nn.relu(x) + tf.exp(x)


def large(x, times=8):
    return tf.tile(x, (1, times, times, 1))


def heads(x):
    return tf.reshape(tf.transpose(tf.nn.space_to_depth(x, 2), (0, 3, 1, 2)), (4, 5, 15))


# What is rewritten -> (the function that does it, TensorFlow function of x, how many operations of a kind are left)
TAKEN = {
    "swish": ("fuse_swish", lambda x: conv(tf.nn.silu(conv(x, EIGHT)), POINT), {"sigmoid": 0, "silu": 1}),
    "activation": (
        "sink_transposes",
        lambda x: mean(tf.nn.silu(BATCH(conv(x, EIGHT), training=False))),
        {"transpose": 1},
    ),
    "pooling": ("pool_without_transpose", lambda x: mean(conv(x, THREE)), {"transpose": 1}),
    "maximum of a map": ("pool_without_transpose", lambda x: tf.reduce_max(conv(x, THREE), (1, 2)), {"transpose": 1}),
    "classes": ("pick_without_transpose", lambda x: tf.argmax(conv(x, THREE), -1, tf.int32), {"transpose": 1}),
    "probabilities": ("sink_last_softmax", lambda x: tf.nn.softmax(conv(x, THREE)), {"softmax": 1, "transpose": 2}),
    "padding": ("fold_padding", lambda x: conv(padded(x), THREE, "VALID", 2), {"pad": 0}),
    "padding of a depthwise one": ("fold_padding", lambda x: depthwise(padded(x), "VALID"), {"pad": 0}),
    "epsilon": ("fold_epsilons", lambda x: conv(x, POINT) * tf.math.rsqrt(tf.abs(conv(x, POINT)) + 0.3), {"add": 0}),
    "epsilon below float16, and a limit": (
        "fold_epsilons",
        lambda x: tf.minimum(tf.math.rsqrt(tf.exp(start(x)) + 1e-9), 5e3),
        {"add": 0},
    ),
    "shift": ("fold_shifts", lambda x: conv(start(x) + VECTOR, POINT), {"add": 0}),
    "shift that two read": ("fold_shifts", lambda x: two(start(x) + VECTOR), {"add": 0}),
    "scale": ("fold_scales", lambda x: conv(start(x) * VECTOR, THREE), {"mul": 0}),
    "scale that two read": ("fold_scales", lambda x: two(start(x) * VECTOR), {"mul": 0}),
    "scale of a depthwise one": ("fold_scales", lambda x: depthwise(start(x) * VECTOR), {"mul": 0}),
    "group norm": ("postpone_gamma", lambda x: conv(GROUP(start(x)), POINT), {"mul": 3, "add": 0}),
    "layer norm": ("centre_norms", lambda x: conv(LAYER(start(x)), POINT), {"mul": 1, "add": 0, "sub": 1}),
    "batch norm where channels come first": (
        "open_batch_norms",
        lambda x: conv(
            tf.transpose(
                tf.transpose(start(x), (0, 3, 1, 2)) * VECTOR[:, None, None] + DEPTH[0, 0, :, :1, None], (0, 2, 3, 1)
            ),
            POINT,
        ),
        {"batch_norm": 0, "mul": 0, "add": 0},
    ),
    "scalar": ("fold_scalars", lambda x: tf.exp(0.25 * heads(conv(x, POINT) + VECTOR[:5])), {"mul": 0}),
    "mean of a large map": ("means_by_steps", lambda x: centred(conv(large(x), POINT)), {"reduce_mean": 2}),
    "mean that keeps its rank": ("means_of_rank_4", lambda x: head(mean(start(x)), 0), {"linear": 0, "expand_dims": 0}),
    "head of a map": ("heads_of_rank_4", lambda x: tf.exp(head(mean(start(x)), 1)), {"linear": 0, "squeeze": 1}),
    "head of a token": (
        "heads_of_rank_4",
        lambda x: tf.exp(head(start(x)[:, 0, 0], 6)),
        {"linear": 0, "expand_dims": 1},
    ),
    "two heads": (
        "keep_maps",
        lambda x: tf.exp(tf.matmul(tf.nn.relu(head(mean(start(x)), 5)), NEXT)),
        {"expand_dims": 0},
    ),
    "product without a bias": ("heads_of_rank_4", lambda x: tf.exp(tf.matmul(mean(start(x)), ALONE)), {"matmul": 0}),
    "squeeze of all axes of 1": (
        "heads_of_rank_4",
        lambda x: tf.exp(tf.matmul(tf.squeeze(tf.reduce_mean(start(x), (1, 2), keepdims=True))[None], ALSO)),
        {"matmul": 0},
    ),
    "squeeze of other axes": (
        "heads_of_rank_4",
        lambda x: tf.exp(head(tf.squeeze(tf.reduce_mean(tf.reshape(start(x), (1, 60, 8)), 1, keepdims=True), 1), 7)),
        {"linear": 0, "expand_dims": 1},
    ),
    "activation of a head": ("sink_squeezes", lambda x: tf.nn.relu(head(mean(start(x)), 2)), {"squeeze": 1}),
    "softmax of a head": ("sink_squeezes", lambda x: tf.nn.softmax(head(mean(start(x)), 3)), {"squeeze": 1}),
    "patches": ("patches_by_moving", lambda x: conv(large(x), PATCHES, "VALID", 16), {"space_to_depth": 2}),
    "patches of 18": ("patches_by_moving", lambda x: conv(large(x, 9), OF_18, "VALID", 18), {"space_to_depth": 3}),
    "small epsilon": ("larger_epsilons", lambda x: tf.nn.relu(BATCH(tf.exp(x), training=False)), {"batch_norm": 1}),
    "two linear ones": ("merge_linear_convolutions", lambda x: conv(conv(x, OTHER) + VECTOR[:7], LAST), {"conv": 1}),
}

LEFT = {  # what must stay -> (the function that could take it, TensorFlow function of x)
    "padding that isn't zeros": ("fold_padding", lambda x: conv(padded(x, 0.5), THREE, "VALID")),
    "padding of channels": ("fold_padding", lambda x: conv(tf.pad(start(x), ((0, 0),) * 3 + ((1, 1),)), TEN)),
    "epsilon below float16": ("fold_epsilons", lambda x: conv(tf.math.rsqrt(tf.exp(start(x)) + 1e-9), POINT)),
    "epsilon of each channel": ("fold_epsilons", lambda x: conv(tf.math.rsqrt(start(x) + tf.exp(VECTOR)), POINT)),
    "shift before a border of zeros": ("fold_shifts", lambda x: conv(start(x) + VECTOR, THREE)),
    "shift of each pixel": ("fold_shifts", lambda x: conv(start(x) + PIXELS, POINT)),
    "shift of each column": ("fold_shifts", lambda x: conv(conv(start(x), WIDE) + COLUMNS, TEN)),
    "one that something else reads": ("merge_linear_convolutions", lambda x: and_more(conv(x, EIGHT))),
    "shift that is an output": ("fold_shifts", lambda x: and_itself(start(x) + VECTOR)),
    "scale that something else reads": ("fold_scales", lambda x: and_more(start(x) * VECTOR)),
    "scale too small for float16": ("fold_scales", lambda x: conv(start(x) / 255, POINT)),
    "scalar after an activation": ("fold_scalars", lambda x: tf.exp(0.25 * tf.nn.tanh(heads(conv(x, POINT))))),
    "scalar that is an output": ("fold_scalars", lambda x: 0.25 * heads(conv(x, POINT))),
    "two that cost more as one": ("merge_linear_convolutions", lambda x: conv(conv(x, NARROW), BACK)),
    "mean of a small map": ("means_by_steps", lambda x: centred(conv(x, POINT))),
    "patches that overlap": ("patches_by_moving", lambda x: conv(large(x), PATCHES, "VALID", 8)),
    "patches with a rest": ("patches_by_moving", lambda x: conv(large(x, 7), PATCHES, "VALID", 16)),
    "activation whose linear layer is read twice": ("sink_squeezes", lambda x: both(head(mean(start(x)), 4))),
    "epsilon that float16 holds": ("larger_epsilons", lambda x: tf.nn.relu(WIDE_BATCH(tf.exp(x), training=False))),
    "one with a border": ("merge_linear_convolutions", lambda x: conv(conv(x, POINT), THREE_OF_5)),
    "pooling of another order": ("pool_without_transpose", lambda x: tf.reduce_mean(tf.transpose(x, (0, 2, 1, 3)), 3)),
    "classes of another order": (
        "pick_without_transpose",
        lambda x: tf.argmax(tf.transpose(x, (0, 2, 1, 3)), 3, tf.int32),
    ),
    "softmax on the way": ("sink_last_softmax", lambda x: 3 * tf.nn.softmax(tf.transpose(x, (0, 2, 1, 3)))),
    "pooling that keeps its axes": (
        "pool_without_transpose",
        lambda x: tf.nn.tanh(tf.reduce_mean(tf.transpose(x, (0, 3, 1, 2)), (1, 2), keepdims=True)),
    ),
}


@functools.cache
def converted():
    """Every case in one program, each with an input of its own. A conversion of each would take a second.

    Returns {case: (rewrites that fired in it, Counter of the kinds of operations that its outputs come from)}. The
    numbers must be TensorFlow's.
    """
    ct, cases, fired = import_coremltools(), list((TAKEN | LEFT).values()), collections.defaultdict(set)
    inputs = [f"case{i}" for i in range(len(cases))]

    def every(**images):
        results = {}
        for name, (_, function, *_) in zip(inputs, cases, strict=True):
            with tf.name_scope(f"{name}_"):
                outputs = tf.nest.flatten(function(images[name]))
            results |= {f"{name}_out{i}": tf.identity(output) for i, output in enumerate(outputs)}
        return results

    def watched(rewrite):
        def run(op):
            found = rewrite(op)
            fired[op.name.split("_")[0]].update([rewrite.__name__] if found else [])
            return found

        return run

    specs = {name: tf.TensorSpec(SHAPE, tf.float32, name) for name in inputs}
    concrete = tf.function(every).get_concrete_function(**specs)
    with pytest.MonkeyPatch.context() as patch, quiet_stderr(), tempfile.TemporaryDirectory() as folder:
        patch.setattr(passes, "REWRITES", [watched(each) for each in passes.REWRITES])
        ct.convert(
            [concrete],
            source="tensorflow",
            minimum_deployment_target=ct.target.iOS17,
            compute_precision=ct.precision.FLOAT32,
            inputs=[ct.TensorType(name=name, shape=SHAPE, dtype=np.float32) for name in inputs],
            pass_pipeline=passes.pipeline(),
            skip_model_load=True,
        ).save(f"{folder}/model.mlpackage")
        program = read_program(f"{folder}/model.mlpackage")
        evaluate = mil.Evaluator(program)
    images = {name: np.random.default_rng(i).normal(size=SHAPE).astype(np.float32) for i, name in enumerate(inputs)}
    received, expected = evaluate(images), every(**{k: tf.constant(v) for k, v in images.items()})
    order = [tensor.name.split(":")[0] for tensor in concrete.outputs]
    kinds = collections.defaultdict(collections.Counter)
    for name, output in zip(sorted(expected), order, strict=True):
        np.testing.assert_allclose(received[output], expected[name], rtol=2e-5, atol=2e-5, err_msg=name)
        kinds[name.split("_")[0]] += collections.Counter(each.kind for each in ancestors(program, output))
    return {case: (fired[name], kinds[name]) for case, name in zip(TAKEN | LEFT, inputs, strict=True)}


def ancestors(program, name):
    """The operations that a value comes from, each once."""
    makers = {result.name: operation for operation in program.operations for result in operation.results}
    found, queue = {}, [name]
    while queue:
        operation = makers.get(queue.pop())
        if operation is not None and operation.name not in found:
            found[operation.name] = operation
            queue += [value.name for bound in operation.operands.values() for value in bound]
    return found.values()


@pytest.mark.parametrize("case", TAKEN)
def test_a_rewrite_takes_operations_away(case):
    rewrite, _, left = TAKEN[case]
    fired, kinds = converted()[case]
    assert rewrite in fired
    assert {kind: kinds[kind] for kind in left} == left


def test_every_rewrite_has_a_case():
    assert {rewrite for rewrite, _, _ in TAKEN.values()} == {rewrite.__name__ for rewrite in passes.REWRITES}


@pytest.mark.parametrize("case", LEFT)
def test_what_would_change_the_numbers_stays(case):
    assert LEFT[case][0] not in converted()[case][0]
