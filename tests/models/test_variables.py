"""Weights and layers of models: gradients, random values, names."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.cases import FAMILIES, STYLE_CASES
from keras_mobattn import (
    EfficientFormerV2,
    MobileViT,
    MobileViTv2,
    randomize_weights,
)


@pytest.mark.parametrize(("family", "attention"), STYLE_CASES)
def test_every_weight_gets_a_gradient(family, attention):
    model = FAMILIES[family](attention=attention, input_shape=(64, 96, 3), classes=7, classifier_activation=None)
    randomize_weights(model, 2)
    x = tf.random.stateless_uniform((2, 64, 96, 3), (0, 1), 0, 255)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.sin(model(x, training=True)))
    for variable, gradient in zip(model.trainable_weights, tape.gradient(loss, model.trainable_weights), strict=True):
        assert gradient is not None, variable.name
        assert np.all(np.isfinite(gradient)), variable.name


def test_randomize_weights():
    """The same seed gives the same weights, nothing stays as it was made, dropout and momentum are put back."""
    model = MobileViTv2(variant="test", attention="mobile", input_shape=(64, 64, 3))
    before = model.get_weights()
    layers = [model.get_layer("stem_bn"), model.get_layer("layer3_1_unit0_attention").drop]
    randomize_weights(model, 7)
    once = model.get_weights()
    assert all(np.any(a != b) for a, b in zip(before, once, strict=True))
    assert (layers[0].momentum, layers[1].rate) == (0.9, 0.05)
    randomize_weights(model, 7)
    for a, b in zip(once, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_layer_names_are_a_contract():
    names = {layer.name for layer in MobileViTv2(0.5).layers}
    assert {"image", "stem_conv", "layer1_0_expand_conv", "layer2_1_add", "layer3_1_local_bn", "predictions"} <= names
    assert {"layer4_1_unit3_attention", "layer5_1_unit2_fc2", "layer5_1_norm", "layer5_1_project_bn", "P5"} <= names
    names = {layer.name for layer in MobileViT("xxs").layers}
    assert {
        "layer3_1_local_conv",
        "layer3_1_expand_conv",
        "layer4_1_unit3_attention",
        "layer5_1_fusion_bn",
        "head_conv",
    } <= names
    names = {layer.name for layer in EfficientFormerV2("s0", input_shape=(32, 32, 3)).layers}
    assert {"stem2_bn", "stage1_block1_project_conv", "stage3_block5_mixer_halving_conv", "stage4_embed_conv"} <= names
    assert {"stage4_block2_attention", "stage4_block3_mlp_scale", "norm", "predictions_dist", "P5"} <= names
