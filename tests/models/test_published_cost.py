"""Parameters and MACs of all families against the published numbers, and what an attention changes in them."""

import functools

import numpy as np
import pytest
import tf_keras as keras

from helpers.cases import FAMILIES, HOSTS_WITHOUT_PATCHES, RECORDS, STYLES
from helpers.published import PUBLISHED_V1, PUBLISHED_V2, TIMMS_ROUNDING
from keras_mobattn import (
    InputError,
    MobileViT,
    MobileViTv2,
    count_macs,
)
from keras_mobattn.attention import OWN, MobileAttention
from keras_mobattn.models import MODELS, deit, efficientformerv2, mobilevit, mobilevitv2, pvtv2
from keras_mobattn.weights import TAGS


def trainable(model):
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_weights)


@pytest.mark.parametrize(
    "width", [pytest.param(width, marks=[pytest.mark.slow] * (width > 0.5)) for width in PUBLISHED_V2]
)
def test_published_cost_of_mobilevitv2(width):
    parameters, gmacs, timms_gmacs = PUBLISHED_V2[width]
    model = MobileViTv2(width)
    assert trainable(model) == parameters
    assert count_macs(model) / 1e9 == pytest.approx(gmacs, rel=0.01)
    assert count_macs(model, norms=True) / 1e9 == pytest.approx(timms_gmacs, abs=TIMMS_ROUNDING)


@pytest.mark.parametrize(
    "variant", [pytest.param(variant, marks=[pytest.mark.slow] * (variant != "xxs")) for variant in PUBLISHED_V1]
)
def test_published_cost_of_mobilevit(variant):
    parameters, timms_gmacs = PUBLISHED_V1[variant]
    model = MobileViT(variant)
    assert trainable(model) == parameters
    assert count_macs(model, norms=True) / 1e9 == pytest.approx(timms_gmacs, abs=TIMMS_ROUNDING)


HOST_TAGS = [tag for tag in TAGS.values() if tag.function in HOSTS_WITHOUT_PATCHES]
QUICK_TAGS = ("deit_tiny_distilled_patch16_224", "pvt_v2_b0", "efficientformerv2_s0")  # the others take a minute
HOST_CASES = [
    pytest.param(tag, marks=[pytest.mark.slow] * (tag.name.split(".")[0] not in QUICK_TAGS), id=tag.name)
    for tag in HOST_TAGS
]


@pytest.mark.parametrize("tag", HOST_CASES)
def test_published_cost_of_the_hosts(tag):
    """timm's figures; weights/test_tags.py compares the parameters with timm's own models."""
    model = MODELS[tag.function](**tag.arguments, input_shape=(tag.input_size, tag.input_size, 3))
    assert trainable(model) == tag.params
    assert count_macs(model, norms=True) / 1e9 == pytest.approx(tag.gmacs, abs=max(TIMMS_ROUNDING, 0.01 * tag.gmacs))


def test_every_variant_is_published_or_a_test():
    assert set(mobilevitv2.VARIANTS) == {"standard", "test"}
    for name, module in {
        "MobileViT": mobilevit,
        "DeiT": deit,
        "PVTv2": pvtv2,
        "EfficientFormerV2": efficientformerv2,
    }.items():
        published = {variant.arguments["variant"] for variant in RECORDS[name].variants.values()}
        assert set(module.VARIANTS) == {*published, *RECORDS[name].small}
    for family in RECORDS.values():  # each was published with weights
        assert set(family.variants) == {tag.architecture for tag in family.checkpoints}


# What a style with four projections leaves of the parameters, of the smallest variant. A convolution that reduces keys
# has no place in its formula.
PARAMETERS_KEPT = {"DeiT": (1.0, 1.0), "PVTv2": (0.87, 0.88), "EfficientFormerV2": (0.95, 1.05)}


@pytest.mark.parametrize("family", HOSTS_WITHOUT_PATCHES)
@pytest.mark.parametrize(
    "head_dim", [pytest.param(2, marks=pytest.mark.slow), 8, pytest.param(16, marks=pytest.mark.slow)]
)
def test_parameters_of_mobile_attention_in_a_host(family, head_dim):
    smallest = RECORDS[family].variants[RECORDS[family].example].arguments
    own = MODELS[family](**smallest, attention=OWN)
    mobile = MODELS[family](**smallest, attention="mobile", head_dim=head_dim)
    assert {layer.head_dim for layer in mobile.layers if isinstance(layer, MobileAttention)} == {head_dim}
    low, high = PARAMETERS_KEPT[family]
    assert low <= trainable(mobile) / trainable(own) <= high


@pytest.mark.parametrize(
    ("family", "attention"),
    [
        pytest.param(*case, marks=[pytest.mark.slow] * (case[1] != "mobile"))
        for case in STYLES
        if case[0] in HOSTS_WITHOUT_PATCHES
    ],
)
def test_cost_in_tokens_is_linear_in_a_host(family, attention):
    """MACs of three sizes lie on a line in the number of pixels for every style but softmax and the hosts' own."""
    sides, build = (256, 512, 1024), functools.partial(FAMILIES[family], attention=attention, include_top=False)
    macs = [count_macs(build(input_shape=(side, side, 3))) for side in sides]
    growth = (macs[2] - macs[1]) / (macs[1] - macs[0])
    # 4 for a line: (1024^2 - 512^2) / (512^2 - 256^2); 16 for a square. DeiT's class token is one token more.
    assert (growth > 4.5) if attention in ("softmax", OWN) else growth == pytest.approx(4, abs=0.02)


def test_macs_count_what_runs():
    """Each kind of operator against the multiplications written out."""
    x = keras.layers.Input((8, 6, 5))
    layers = {
        "Conv2D": (keras.layers.Conv2D(7, 3, padding="same"), 8 * 6 * 7 * 9 * 5),
        "depthwise": (keras.layers.DepthwiseConv2D(3, padding="same"), 8 * 6 * 5 * 9),
        "Dense": (keras.layers.Dense(7), 8 * 6 * 5 * 7),
        "transposed": (keras.layers.Conv2DTranspose(7, 3, 2, "same"), 8 * 6 * 5 * 9 * 7),
        "einsum": (keras.layers.EinsumDense("...x,xy->...y", 7), 8 * 6 * 5 * 7),
    }
    for name, (layer, expected) in layers.items():
        assert count_macs(keras.Model(x, layer(x))) == expected, name
    attention = keras.layers.MultiHeadAttention(2, 3)  # einsums: 4 projections 5 <-> 6, two products of 48 x 48 x 6
    tokens = keras.layers.Input((48, 5))
    assert count_macs(keras.Model(tokens, attention(tokens, tokens))) == 48 * (4 * 5 * 6) + 2 * 48 * 48 * 6
    grouped = keras.layers.Conv2D(10, 3, groups=5)  # Keras hides it in a compiled function on a CPU
    with pytest.raises(InputError, match="without functions.* Received: 1 .*PartitionedCall"):
        count_macs(keras.Model(x, grouped(x)))
    with pytest.raises(InputError, match="fixed input size"):
        count_macs(MobileViTv2(variant="test", input_shape=(None, None, 3)))
