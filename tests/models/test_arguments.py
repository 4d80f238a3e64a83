"""What the model functions take: Keras's arguments, precisions, callables, and what they refuse."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from helpers.cases import FAMILIES, FAMILY_CASES, RECORDS
from keras_mobattn import (
    InputError,
    MobileViT,
    MobileViTv2,
    feature_pyramid,
    randomize_weights,
)
from keras_mobattn.attention import MobileAttention


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
