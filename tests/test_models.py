"""All families against the published numbers, over every style, and through every way of saving."""

import functools
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from conftest import FAMILIES, FAMILY_CASES, HOSTS_WITHOUT_PATCHES, RECORDS, STYLE_CASES, STYLES

from keras_mobattn import (
    EfficientFormerV2,
    InputError,
    MobileViT,
    MobileViTv2,
    count_macs,
    feature_pyramid,
    randomize_weights,
)
from keras_mobattn.attention import OWN, MobileAttention
from keras_mobattn.layers import GroupNorm1, Resize, ResizeLike
from keras_mobattn.models import MODELS, deit, efficientformerv2, mobilevit, mobilevitv2, pvtv2
from keras_mobattn.weights import TAGS

# Trainable parameters at 1000 classes and GMACs at 256x256 of convolutions and linear layers (cvnets' architecture),
# and GMACs as timm publishes them, which count normalisations and products inside the attention too.
PUBLISHED_V2 = {
    0.5: (1_370_593, 0.465, 0.48),
    0.75: (2_866_009, 1.03, 1.05),
    1.0: (4_901_841, 1.81, 1.84),
    1.25: (7_478_089, 2.82, 2.86),
    1.5: (10_594_753, 4.04, 4.09),
    1.75: (14_251_833, 5.49, 5.54),
    2.0: (18_449_329, 7.16, 7.22),
}
PUBLISHED_V1 = {"xxs": (1_272_024, 0.42), "xs": (2_317_848, 1.05), "s": (5_578_632, 2.03)}
TIMMS_ROUNDING = 0.005


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
    """timm's figures; test_tags.py compares the parameters with timm's own models."""
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


def two_images(side=64):
    """Noise and a ramp: images that any network tells apart."""
    noise = np.random.default_rng(0).uniform(0, 255, (side, side, 3))
    ramp = np.linspace(0, 255, side)[:, None, None] * np.array([1, 0.5, 0])
    return np.stack([noise, np.broadcast_to(ramp, noise.shape)]).astype("float32")


@pytest.mark.parametrize(("family", "attention"), STYLE_CASES)
def test_reload_predicts_the_same(family, attention, tiny_model, tmp_path):
    model = tiny_model(family, attention)
    x = two_images()
    expected = model(x).numpy()
    np.testing.assert_allclose(expected.sum(-1), 1, atol=1e-5)
    assert np.abs(expected[0] - expected[1]).max() > 1e-4  # the output depends on the image
    for suffix in (".keras", ".h5"):
        model.save(tmp_path / f"m{suffix}", save_format=suffix[1:])
        again = keras.models.load_model(tmp_path / f"m{suffix}")
        np.testing.assert_array_equal(again(x).numpy(), expected)
        assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
        p4 = feature_pyramid(again, ["P4"])(x)["P4"]
        np.testing.assert_array_equal(p4, feature_pyramid(model, ["P4"])(x)["P4"])


@pytest.mark.slow  # test_import and test_export have quick ones
@pytest.mark.parametrize(("family", "attention"), STYLES)
def test_saved_model_predicts_the_same(family, attention, tiny_model, tmp_path):
    model = tiny_model(family, attention)
    x = two_images()
    model.save(tmp_path / "m", save_format="tf")
    again = keras.models.load_model(tmp_path / "m")
    np.testing.assert_allclose(again(x).numpy(), model(x).numpy(), atol=1e-6)
    assert set(feature_pyramid(again)(x)) == {f"P{level}" for level in RECORDS[family].pyramid}


@pytest.mark.slow  # test_import has a quick one
def test_reloads_in_a_new_process_without_custom_objects(tiny_model, tmp_path):
    tiny_model("MobileViT", "mobile").save(tmp_path / "m.keras")
    code = "import keras_mobattn, tf_keras; print(tf_keras.models.load_model('m.keras').name)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "mobilevit_test\n"


@pytest.mark.parametrize(
    ("first", "legacy"),
    [
        ("", "1"),
        pytest.param("import tensorflow; ", "0", marks=pytest.mark.slow),
        pytest.param("import tensorflow; ", "", marks=pytest.mark.slow),
    ],
)
def test_import_prints_nothing(first, legacy, monkeypatch):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", legacy)
    mark = "import sys; print('here', flush=True); print('here', file=sys.stderr, flush=True); "
    code = (
        f"{first}{mark}import keras_mobattn; {mark}keras_mobattn.MobileViTv2(variant='test', input_shape=(32, 32, 3))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "here\nhere\n"
    assert done.stderr.split("here\n")[1] == ""


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


SIZES = [(32, 32), (33, 47), (96, 40), (75, 101), (160, 224)]


@pytest.mark.parametrize(
    ("family", "size"),
    [
        pytest.param(family, size, marks=[pytest.mark.slow] * (size != SIZES[3]))
        for family in FAMILIES
        for size in SIZES
    ],
)
def test_any_input_size(family, size, tmp_path):
    """A model built for the size, and one built for any size, agree, and the pyramid has the strides it promises.

    Positions and biases are resampled: of the first when its weights are loaded, of the other for each image."""
    for attention in ["mobile", *[OWN] * (family in HOSTS_WITHOUT_PATCHES)]:
        anysize = FAMILIES[family](attention=attention, input_shape=(None, None, 3), classes=5)
        randomize_weights(anysize, 3)
        x = np.random.default_rng(1).uniform(0, 255, (2, *size, 3)).astype("float32")
        for file in (tmp_path / "m.keras", tmp_path / "m.h5"):
            anysize.save(file)
            fixed = FAMILIES[family](attention=attention, input_shape=(*size, 3), classes=5, weights=file)
            np.testing.assert_allclose(fixed(x).numpy(), anysize(x).numpy(), atol=1e-5)
    sides, found = list(size), feature_pyramid(fixed, [f"P{level}" for level in RECORDS[family].pyramid])(x)
    for level in range(1, 6):
        sides = [-(-side // 2) for side in sides]
        if family == "MobileViTv2" and level >= 3:
            sides = [side + side % 2 for side in sides]
        assert level not in RECORDS[family].pyramid or found[f"P{level}"].shape[1:3] == tuple(sides), level


def test_rule_for_odd_maps():
    """The reference's: v2 aligns corners, before its block; v1 does not, and resizes back."""
    v2, v1 = MobileViTv2(variant="test"), MobileViT("test")
    for layer in (3, 4, 5):
        names = [each.name for each in v2.layers]
        assert v2.get_layer(f"layer{layer}_1_resize").align_corners
        assert names.index(f"layer{layer}_1_resize") < names.index(f"layer{layer}_1_local_conv")
        assert not v1.get_layer(f"layer{layer}_1_resize").align_corners
        assert isinstance(v1.get_layer(f"layer{layer}_1_resize_back"), ResizeLike)


@pytest.mark.parametrize(
    ("family", "attention"),
    [pytest.param(*case, marks=[pytest.mark.slow] * (case != ("MobileViTv2", "mobile"))) for case in STYLES],
)
def test_every_style_takes_any_size(family, attention, tmp_path):
    anysize = FAMILIES[family](attention=attention, input_shape=(None, None, 3), classes=5)
    randomize_weights(anysize, 4).save(tmp_path / "m.keras")
    options = {"input_shape": (70, 100, 3), "classes": 5, "weights": tmp_path / "m.keras"}
    fixed = FAMILIES[family](attention=attention, **options)
    x = np.random.default_rng(1).uniform(0, 255, (2, 70, 100, 3)).astype("float32")
    np.testing.assert_allclose(fixed(x).numpy(), anysize(x).numpy(), atol=1e-5)


@pytest.mark.parametrize("align_corners", [True, False])
def test_resize_equals_the_formula(align_corners):
    """Bilinear interpolation at the source coordinates that torch defines, in float64."""
    x = np.random.default_rng(2).normal(size=(1, 5, 7, 3))

    def coordinates(small, large):
        i = np.arange(large)
        c = i * (small - 1) / (large - 1) if align_corners else np.clip((i + 0.5) * small / large - 0.5, 0, small - 1)
        low = np.floor(c).astype(int)
        return low, np.minimum(low + 1, small - 1), c - low

    top, bottom, fy = coordinates(5, 6)
    left, right, fx = coordinates(7, 8)
    rows = x[:, top] * (1 - fy)[:, None, None] + x[:, bottom] * fy[:, None, None]
    expected = rows[:, :, left] * (1 - fx)[:, None] + rows[:, :, right] * fx[:, None]
    received = Resize(2, align_corners)(x.astype("float32")).numpy()
    np.testing.assert_allclose(received, expected, atol=1e-6)
    if not align_corners:
        like = np.zeros((1, 6, 8, 1), "float32")
        np.testing.assert_array_equal(ResizeLike()([x.astype("float32"), like]), received)


def test_group_norm_equals_the_formula():
    x = np.random.default_rng(3).normal(2, 3, (2, 5, 7, 11))
    layer = GroupNorm1()
    layer(x.astype("float32"))
    randomize_weights(layer, 5)
    gamma, beta = (w.astype("float64") for w in layer.get_weights())
    mean, var = x.mean((1, 2, 3), keepdims=True), x.var((1, 2, 3), keepdims=True)
    expected = (x - mean) / np.sqrt(var + 1e-5) * gamma + beta
    np.testing.assert_allclose(layer(x.astype("float32")), expected, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_mixed_precision(family, policy, tiny_model):
    expected = tiny_model(family, "mobile")
    keras.mixed_precision.set_global_policy(policy)
    try:
        model = FAMILIES[family](attention="mobile", input_shape=(64, 64, 3), classes=10)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    model.set_weights(expected.get_weights())
    x = np.random.default_rng(4).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    y = model(x)
    assert y.dtype == tf.float32
    assert model.get_layer("P4").compute_dtype == policy.removeprefix("mixed_")
    assert np.abs(y - expected(x)).max() < 0.05


def test_preprocessing_takes_bytes(tiny_model):
    with_it = tiny_model()
    without = MobileViTv2(
        variant="test", attention="mobile", input_shape=(64, 64, 3), classes=10, include_preprocessing=False
    )
    without.set_weights(with_it.get_weights())
    x = np.random.default_rng(5).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(with_it(x), with_it(x.astype("float32")))
    np.testing.assert_allclose(with_it(x), without(x.astype("float32") / 255), atol=1e-6)
    np.testing.assert_allclose(with_it.predict(x, verbose=0), with_it(x), atol=1e-6)


@pytest.mark.parametrize("family", FAMILY_CASES)
def test_keras_applications_arguments(family, tmp_path):
    build = functools.partial(FAMILIES[family], input_shape=(64, 64, 3))
    backbone = build(include_top=False)
    side = 64 // 2 ** RECORDS[family].pyramid[-1]
    assert backbone.output_shape[:3] == (None, side, side)
    for pooling in ("avg", "max"):
        assert build(include_top=False, pooling=pooling).output_shape == (None, backbone.output_shape[-1])
    logits = build(classes=3, classifier_activation=None)
    assert logits.output_shape == (None, 3)
    inside = keras.layers.Input((64, 64, 3), name="mine")
    assert build(input_tensor=inside, classes=3).input.name == "mine"
    randomize_weights(logits, 6)
    for suffix in (".keras", ".weights.h5", ".h5"):
        path = tmp_path / f"w{suffix}"
        logits.save_weights(path) if suffix != ".keras" else logits.save(path)
        again = build(classes=3, classifier_activation=None, weights=path)
        for a, b in zip(again.get_weights(), logits.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("family", FAMILIES)
def test_takes_a_callable_for_attention(family, tmp_path):
    x = np.random.default_rng(6).uniform(0, 255, (1, 64, 64, 3)).astype("float32")
    model = FAMILIES[family](
        attention=functools.partial(MobileAttention, head_dim=2), input_shape=(64, 64, 3), classes=4
    )
    heads = [layer for layer in model.layers if isinstance(layer, MobileAttention)]
    assert {layer.head_dim for layer in heads} == {2}
    assert {layer.patch_size for layer in heads} == {RECORDS[family].attention_patch}
    model.save(tmp_path / "m.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "m.keras")(x), model(x))


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


def wrong_weights(tmp_path, content):
    path = tmp_path / "w.keras"
    path.write_bytes(content)
    return MobileViTv2(variant="test", weights=path)


def weights_of_another_width(tmp_path):
    MobileViTv2(0.5, variant="test", input_shape=(32, 32, 3)).save(tmp_path / "w.keras")
    return MobileViTv2(variant="test", input_shape=(32, 32, 3), weights=tmp_path / "w.keras")


BAD = {
    "style": (lambda _: MobileViTv2(attention="nope"), "'softmax', 'separable'.*Received: 'nope'"),
    "width 0": (lambda _: MobileViTv2(width=0), "width of MobileViTv2 to be a finite number above 0. Received: 0"),
    "width < 0": (lambda _: MobileViTv2(width=-1.0), "Received: -1.0"),
    "width nan": (lambda _: MobileViTv2(width=float("nan")), "Received: nan"),
    "width text": (lambda _: MobileViTv2(width="1.0"), "Received: '1.0'"),
    "variant": (lambda _: MobileViT("m"), "'xxs', 'xs', 's', 'test'. Received: 'm'"),
    "v2 variant": (lambda _: MobileViTv2(variant="s"), "'standard', 'test'. Received: 's'"),
    "small": (lambda _: MobileViTv2(input_shape=(31, 64, 3)), r"Received: \(31, 64, 3\)"),
    "no channels": (lambda _: MobileViT("xs", input_shape=(64, 64)), r"Received: \(64, 64\)"),
    "classes": (lambda _: MobileViT("xs", classes=0), "classes to be a whole number from 1 up. Received: 0"),
    "pooling": (lambda _: MobileViT("xs", include_top=False, pooling="mean"), "pooling to be .*Received: 'mean'"),
    "no weights": (lambda _: MobileViT("xs", weights="nope.keras"), "'nope.keras', which does not exist"),
    "corrupt weights": (lambda path: wrong_weights(path, b"not a zip"), "w.keras, which does not fit"),
    "other width": (weights_of_another_width, "w.keras, which does not fit"),
    "pyramid level": (lambda _: feature_pyramid(MobileViTv2(variant="test"), ["P6"]), r"P1, P2.*\['P6'\]"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case, tmp_path):
    call, message = BAD[case]
    with pytest.raises(InputError, match=message):
        call(tmp_path)
