"""Other forms of what phones' GPUs get wrong: each rewrite happens where it must, and the numbers stay.

And what all of them are for: no file of this package holds anything that is firmly on record.
"""

import collections

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

import keras_mobattn
from helpers.cases import FAMILIES, RECORDS, STYLES
from helpers.small_graphs import converted, kinds, rewritten, run
from keras_mobattn import export
from keras_mobattn.attention import ATTENTIONS
from keras_mobattn.data import sample_photos
from keras_mobattn.describe.tflite.record import FIRM, RECORD, record_findings
from keras_mobattn.export.tflite.device_forms import rewrite_for_devices
from keras_mobattn.export.tflite.fuse import fuse
from keras_mobattn.formats.tflite.contents import read_contents
from keras_mobattn.formats.tflite.interpreter import delegation
from keras_mobattn.layers import from_heads, to_heads
from keras_mobattn.models.pyramid import feature_pyramid

RNG = np.random.default_rng(0)


def values(*shape):
    return RNG.normal(0, 1, shape).astype(np.float32)


def conv(x, filters, size=1, strides=1, padding="SAME"):
    kernel = values(size, size, x.shape[-1], filters) / (size * size * x.shape[-1]) ** 0.5
    return tf.nn.conv2d(x, kernel, strides, padding) + values(filters)


def heads(x, number, patch=1):
    return to_heads(conv(x, x.shape[-1]), number, patch)


def softmax_attention(x, patch=1):
    query, key, value = (heads(x, 2, patch) for _ in range(3))
    scores = tf.nn.softmax(tf.matmul(query, key, transpose_a=True))
    return from_heads(tf.matmul(value, scores, transpose_b=True), x, patch)


def linear_attention(x):
    query, key, value = (heads(x, 2) for _ in range(3))
    return tf.matmul(tf.matmul(value, tf.nn.relu(key), transpose_b=True), query)


def width_40(x):
    query = tf.reshape(conv(x, 80), (1, 2, 60, 40))
    return tf.matmul(tf.reshape(conv(x, 80), (1, 2, 40, 60)) @ tf.nn.relu(query), query, transpose_b=True)


def two_heads(x):
    vector = tf.reduce_mean(x, (1, 2))
    logits = [vector @ values(8, 5) + values(5) for _ in range(2)]
    return tf.nn.softmax((logits[0] + logits[1]) * 0.5)


def last_batch_norm(x):
    return tf.reduce_mean(tf.nn.tanh(x) * values(8) + values(8), (1, 2)) @ values(8, 5) + values(5)


def level(x):
    y = tf.nn.tanh(x)
    return [y, tf.nn.relu(y)]


def normalised(x, padding):
    x = x * values(8) + values(8)
    x = tf.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))) if padding else x
    return conv(x, 4, 3, 2, "VALID")


SHAPE = (1, 6, 10, 8)
CASES = {  # name -> (function of a map, its shape, rules that found something before, operators that are left)
    "a mean over a large map": (
        lambda x: tf.reduce_mean(x, (1, 2, 3), keepdims=True), (1, 40, 52, 8), {"reduction"}, "MEAN MEAN MEAN",
    ),
    "one without keepdims": (
        lambda x: tf.reduce_mean(x, (2, 3)), (1, 2, 100, 200), {"reduction"}, "MEAN MEAN RESHAPE",
    ),
    "softmax attention": (
        softmax_attention, SHAPE, {"transposed operand"},
        "BATCH_MATMUL BATCH_MATMUL CONV_2D CONV_2D CONV_2D RESHAPE RESHAPE RESHAPE RESHAPE SOFTMAX "
        "TRANSPOSE TRANSPOSE TRANSPOSE TRANSPOSE",
    ),
    "softmax attention on patches": (lambda x: softmax_attention(x, 2), SHAPE, {"transposed operand"}, None),
    "linear attention": (linear_attention, SHAPE, {"transposed operand"}, None),
    "a constant on the left": (
        lambda x: tf.matmul(values(7, 10), x), SHAPE, {"constant on the left"}, "FULLY_CONNECTED TRANSPOSE TRANSPOSE",
    ),
    "a constant on the left, and turned": (
        lambda x: tf.matmul(values(8, 7), x, transpose_a=True, transpose_b=True), SHAPE,
        {"constant on the left", "transposed operand"}, None,
    ),
    "a product 40 wide": (width_40, SHAPE, {"transposed operand", "width 40"}, None),
    "a layer scale": (
        lambda x: x + values(8) * (conv(x, 8) + conv(x, 8, 3)), SHAPE, {"layer scale"}, "ADD ADD CONV_2D CONV_2D",
    ),
    "a layer scale of what no convolution made": (
        lambda x: x + values(8) * tf.nn.tanh(x), SHAPE, {"layer scale"}, "ADD DEPTHWISE_CONV_2D TANH",
    ),
    "a batch norm at the end": (
        lambda x: tf.nn.tanh(x) * values(8) + values(8), SHAPE, {"layer scale"}, "DEPTHWISE_CONV_2D TANH",
    ),
    "one before a mean": (last_batch_norm, SHAPE, {"layer scale"}, "FULLY_CONNECTED MEAN TANH"),
    "the mean of two heads": (
        two_heads, SHAPE, {"rank 2 and a constant"}, "ADD FULLY_CONNECTED FULLY_CONNECTED MEAN SOFTMAX",
    ),
    "a normalised image": (lambda x: normalised(x, False), SHAPE, {"layer scale"}, "CONV_2D"),
    "a normalised and padded one": (lambda x: normalised(x, True), SHAPE, {"layer scale"}, "ADD CONV_2D PAD"),
    "a level of a pyramid": (level, SHAPE, {"output that is read"}, "MUL RELU TANH"),
}  # fmt: skip
UNTOUCHED = {
    "two outputs of one tensor": (lambda x: [tf.nn.tanh(x)] * 2, SHAPE),
    "a mean over one axis": (lambda x: tf.reduce_mean(x, 1), (1, 20_000, 1, 2)),
    "a mean over a small map": (lambda x: tf.reduce_mean(x, (1, 2, 3)), (1, 8, 16, 8)),
    "a plain product": (lambda x: tf.matmul(x, tf.nn.relu(tf.reshape(x, (1, 6, 8, 10)))), SHAPE),
    "a scale that nothing is added to": (lambda x: tf.nn.relu(tf.nn.tanh(x) * values(8)), SHAPE),
    "a scale of a sum that something else reads": (lambda x: [f(y) for y in [conv(x, 8)] for f in (
        tf.nn.relu, lambda y: tf.nn.tanh(y * values(8)))], SHAPE),
}  # fmt: skip


def firm_rules(path):
    """{rule: how many findings} of those that --require gpu may count."""
    rules = {rule.construct: name for name, rule in RECORD.items() if rule.target == "gpu" and rule.firmness == FIRM}
    found = [f for f in record_findings(read_contents(path)) if f.target == "gpu" and f.firmness == FIRM]
    return collections.Counter(rules[finding.reason] for finding in found)


@pytest.mark.parametrize("name", CASES)
def test_rewrites(name, tmp_path):
    function, shape, rules, left = CASES[name]
    before = converted(function, shape)
    after = rewritten(before, fuse, rewrite_for_devices)
    for content, expected in ((before, rules), (after, set())):
        (tmp_path / "model.tflite").write_bytes(content)
        assert set(firm_rules(tmp_path / "model.tflite")) == expected
    if left is not None:
        assert kinds(after) == left
    image = values(*shape)
    expected, received = run(before, image), run(after, image)
    assert expected.keys() == received.keys()
    for output, values_before in expected.items():
        np.testing.assert_allclose(received[output], values_before, rtol=1e-4, atol=1e-5 * np.ptp(values_before) + 1e-6)
    interpreter = Interpreter(model_content=after)
    interpreter.allocate_tensors()
    assert delegation(interpreter)["partitions"] == 1


@pytest.mark.parametrize("name", UNTOUCHED)
def test_what_is_right_stays(name):
    content = converted(*UNTOUCHED[name])
    assert kinds(rewritten(content, fuse, rewrite_for_devices)) == kinds(content)


def files(model, folder, precisions=("fp32",)):
    """Paths of a file of each precision. What rounding costs random weights is not the question here."""
    images = sample_photos(8, model.input_shape[1:3], 1)
    for precision in precisions:
        options = {"representative_images": images} if precision == "int8" else {}
        path = folder / f"{precision}.tflite"
        export.to_tflite(model, path, precision, check_images=images[:1], tolerance=export.Tolerance(1e9), **options)
        yield path


QUICK = {(name, family.quick_styles[0]) for name, family in RECORDS.items()}
OTHERS = [name for name in export.TFLITE_PRECISIONS if name != "fp32"]
MODELS = [  # the slow ones are those that CI runs too
    pytest.param(*model, marks=[pytest.mark.slow] * (model not in QUICK)) for model in STYLES
]


@pytest.mark.parametrize(("family", "attention"), MODELS)
def test_no_model_holds_what_is_firmly_on_record(family, attention, tiny_model, tmp_path):
    (path,) = files(tiny_model(family, attention), tmp_path)
    assert firm_rules(path) == {}


@pytest.mark.parametrize("family", [pytest.param(f, marks=[pytest.mark.slow] * (f != "DeiT")) for f in FAMILIES])
def test_no_pyramid_does(family, tmp_path):
    backbone = FAMILIES[family](include_top=False, input_shape=(64, 64, 3))
    for path in files(keras_mobattn.randomize_weights(feature_pyramid(backbone), 1), tmp_path):
        assert firm_rules(path) == {}


def test_two_distilled_heads_do_not(tmp_path):
    """In any precision."""
    model = FAMILIES["DeiT"](distilled=True, input_shape=(64, 64, 3), classes=10)
    for path in files(keras_mobattn.randomize_weights(model, 1), tmp_path, export.TFLITE_PRECISIONS):
        assert firm_rules(path) == {}, path.stem


@pytest.mark.slow
@pytest.mark.parametrize(("family", "attention"), STYLES)
def test_no_other_precision_does(family, attention, tiny_model, tmp_path):
    for path in files(tiny_model(family, attention), tmp_path, OTHERS):
        assert firm_rules(path) == {}, path.stem


FULL_SIZE = [  # as published: the maps are as large as they get, and heads as wide
    *(("MobileViTv2", attention, {"width": 1.0}) for attention in ATTENTIONS),
    ("MobileViTv2", "softmax", {"width": 1.25}),  # a head 40 wide
    ("MobileViTv2", "separable", {"width": 2.0}),
    *(("MobileViT", attention, {"variant": "s"}) for attention in ("softmax", "mobile")),
    *(("DeiT", attention, {"variant": "tiny"}) for attention in ("softmax", "mobile")),
    *(("PVTv2", "own", {"variant": variant}) for variant in ("b0", "b2_li")),
    ("PVTv2", "own", {"variant": "b2_li", "input_shape": (256, 256, 3)}),  # 7 doesn't divide its maps
    *(("PVTv2", attention, {"variant": "b0"}) for attention in ("mobile", "relu_linear")),
    *(("EfficientFormerV2", attention, {"variant": "s0"}) for attention in ("own", "mobile")),
]


@pytest.mark.slow
@pytest.mark.parametrize(("family", "attention", "options"), FULL_SIZE)
def test_no_model_of_full_size_does(family, attention, options, tmp_path):
    model = keras_mobattn.randomize_weights(RECORDS[family].build(attention=attention, **options), 1)
    for path in files(model, tmp_path):
        assert firm_rules(path) == {}
