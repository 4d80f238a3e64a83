"""The rules on names against what the layers are, over every family and style; and names that no rule may take."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from helpers.cases import FAMILIES, RECORDS, STYLE_CASES
from keras_mobattn import names
from keras_mobattn.attention import Attention, TalkingHeadAttention
from keras_mobattn.layers import GroupNorm1
from keras_mobattn.names import ATTENTION, HEAD
from keras_mobattn.training.clip import by_unit
from keras_mobattn.weights import load_weights, to_timm
from keras_mobattn.weights.port import variables_of

NORMS = (keras.layers.BatchNormalization, keras.layers.LayerNormalization, GroupNorm1)
DECAYED = {"kernel", "depthwise_kernel", "dwc_kernel"}
HOSTILE = [
    "box_predictions",
    "predictions_box",
    "predictions2",
    "predictions_mean",
    "my_predictions_dist",
    "attention",
    "_attention_",
    "my_attention_map",
    "x_attention_out",
    "x_attention_query",
    "attention_query_conv",
    "x_attention_value_convolution",
    "normal",
    "conv",
    "normaliser_1",
    "P6",
    "P45",
    "p4",
]


@functools.cache
def model_of(family, attention):
    return FAMILIES[family](attention=attention, input_shape=(32, 32, 3), classes=3)


def names_of(model, fits):
    return {layer.name for layer in model.layers if fits(layer)}


def heads_of(model):
    """The linear layers between the model's output and what is no vector of scores yet."""
    found, waiting = set(), [model.output.node.layer]
    while waiting:
        layer = waiting.pop()
        if isinstance(layer, keras.layers.Dense):
            found.add(layer.name)
        else:
            waiting += [node.layer for node in layer.inbound_nodes[0].parent_nodes]
    return found


@pytest.mark.parametrize(("family", "attention"), STYLE_CASES)
def test_layers_are_what_their_names_say(family, attention):
    model = model_of(family, attention)
    mixes = names_of(model, lambda layer: isinstance(layer, (Attention, TalkingHeadAttention)))
    assert mixes
    assert names_of(model, lambda layer: names.is_attention(layer.name)) == mixes
    assert names_of(model, lambda layer: names.part_of(layer.name) == HEAD) == heads_of(model)
    norms = names_of(model, lambda layer: isinstance(layer, NORMS))
    assert names_of(model, lambda layer: names.is_norm(layer.name)) == norms
    levels = names_of(model, lambda layer: layer.name in names.LEVELS)
    assert levels == {f"P{level}" for level in RECORDS[family].pyramid}


@pytest.mark.parametrize(("family", "attention"), STYLE_CASES)
def test_the_attention_part_is_what_the_styles_differ_in(family, attention):
    """Whatever another style has in its place: weights_skip="attention" leaves all this out, and nothing else."""

    def rest(style):
        variables = variables_of(model_of(family, style)).items()
        return {name: tuple(each.shape) for name, each in variables if names.part_of(names.layer_of(name)) != ATTENTION}

    assert rest(attention) == rest("softmax")
    part = names_of(model_of(family, attention), lambda layer: names.part_of(layer.name) == ATTENTION)
    mixes = names_of(model_of(family, attention), lambda layer: names.is_attention(layer.name))
    assert mixes <= part
    assert (part == mixes) == (family != "EfficientFormerV2")  # it alone has projections around them


@pytest.mark.parametrize(("family", "attention"), STYLE_CASES)
def test_variables_are_what_their_names_say(family, attention):
    for name, variable in variables_of(model_of(family, attention)).items():
        last, rank = name.split("/")[-1], variable.shape.rank
        assert names.is_decayed(name, rank) == (last in DECAYED)
        assert (names.role_of(name) in names.GRIDS) == (last in ("position", "attention_biases"))
        assert (names.role_of(name) == names.DEPTHWISE) == (last == "depthwise_kernel")
        assert names.layer_of(name) in {layer.name for layer in model_of(family, attention).layers}


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_only_look_like_it(name):
    assert names.part_of(name) is None
    assert not names.is_attention(name)
    assert not names.is_norm(name)
    assert name not in names.LEVELS


def test_variables_that_only_look_like_it():
    for name in ("a/my_kernel", "a/kernel_scale", "kernel/x", "a/attention_biases_2", "position/x", "a/gammas"):
        assert names.role_of(name) is None, name
    assert not names.is_decayed("a/kernel", 1)
    assert names.role_of("a/query/kernel:0") == names.KERNEL
    assert names.variable_name("a", "b/kernel:0") == "a/b/kernel"
    assert names.variable_name("a", "a/kernel:0") == "a/kernel"


def detector(tops=3):
    """A classifier with a layer beside it whose name holds the classifier's."""
    model = FAMILIES["MobileViTv2"](input_shape=(32, 32, 3), classes=tops)
    boxes = keras.layers.Dense(4, name="box_predictions")(model.get_layer("pool").output)
    return keras.Model(model.input, [model.output, boxes], name=model.name)


def test_a_layer_called_box_predictions_is_loaded(tmp_path):
    """Of another number of classes: all but the classifier."""
    source = detector(5)
    source.save_weights(tmp_path / "m.h5")
    target = detector(3)
    with pytest.warns(UserWarning, match="that has 5 classes"):
        load_weights(target, tmp_path / "m.h5", RECORDS["MobileViTv2"], "mobilevitv2_test")
    for name in ("box_predictions", "stem_conv"):
        for received, expected in zip(target.get_layer(name).weights, source.get_layer(name).weights, strict=True):
            np.testing.assert_array_equal(received, expected)


def test_a_layer_called_box_predictions_is_no_place_of_a_checkpoint(tmp_path):
    with pytest.raises(ValueError, match="box_predictions"):
        to_timm(detector(), tmp_path / "m.safetensors")


def test_units_of_a_weight_that_is_only_called_so():
    """Adaptive clipping takes the last axis for units, but for depthwise kernels."""
    kernel = tf.Variable(tf.ones((1, 1, 2, 3)), name="depthwise_kernel_mixer/kernel")
    gradient = tf.constant(np.arange(6, dtype="float32").reshape(1, 1, 2, 3))
    (clipped,) = by_unit([gradient], [kernel], 0.1, None)
    np.testing.assert_allclose(np.linalg.norm(clipped.numpy()[0, 0], axis=0), 0.1 * np.sqrt([2, 2, 2]), rtol=1e-5)
