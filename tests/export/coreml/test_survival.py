"""A conversion names what the Neural Engine is on record to compute wrong, and refuses it on request; ours pass."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_mobattn
from helpers.cases import TWO_STYLES
from helpers.older_compressions import per_block, signed
from keras_mobattn import export
from keras_mobattn._quiet import import_coremltools
from keras_mobattn.data import sample_photos
from keras_mobattn.describe import describe_coreml
from keras_mobattn.errors import InputError
from keras_mobattn.mil.neural_engine import PRODUCT_MAX

import_coremltools()
from keras_mobattn.export.coreml import passes  # noqa: E402

ANYTHING = export.Tolerance(1e9)
SIDE = 64
IMAGES = np.float32(sample_photos(4, (SIDE, SIDE)))


def small(scale=1.0, activation=None):
    """Two convolutions, the second `scale` times as large as it might be, and a head."""
    image = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.Conv2D(64, 3, strides=4, activation="relu", name="first")(x)
    x = keras.layers.Conv2D(64, 3, strides=2, name="second")(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Activation("tanh", name="squash")(x))
    model = keras.Model(image, keras.layers.Dense(10, activation=activation, name="head")(x))
    keras_mobattn.randomize_weights(model, seed=0)
    second = model.get_layer("second")
    second.set_weights([scale * weight for weight in second.get_weights()])
    return model


def hardswish(x):
    return x * tf.nn.relu6(x + 3.0) / 6.0


def reach(model):
    """The largest number behind the second convolution on the images of the check."""
    inner = keras.Model(model.input, model.get_layer("second").output)
    return float(np.abs(inner(IMAGES)).max())


def heads_of_rank_2(patch):
    patch.setattr(passes, "REWRITES", passes.fuse.REWRITES)
    return {}


MUTATIONS = {  # -> (model, what is broken, part of the sentence)
    "a product that passes 32768": (
        lambda: small(1.5 * PRODUCT_MAX / reach(small())),
        lambda patch: {},
        "conv in layer 'squash' goes up to 4.[0-9]+e.04, where it ends at 32752",
    ),
    "a scale for each block": (small, per_block, "weights with a scale for each block"),
    "signed int8": (small, signed, "signed int8 weights"),
    "a head of rank 2": (
        lambda: small(activation=hardswish), heads_of_rank_2, "a linear layer or product of rank 2 ahead of a hards",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_what_would_not_survive_is_named(name, tmp_path, monkeypatch):
    model, mutate, sentence = MUTATIONS[name]
    model, path, images = model(), tmp_path / "model.mlpackage", IMAGES
    right = export.to_coreml(small(), path, "fp16", check_images=images)
    assert right.neural_engine == ""
    options = {"check_images": images, **mutate(monkeypatch)}
    with pytest.warns(UserWarning, match=f"By what is on record, .*{sentence}.*docs/neural_engine.md"):
        report = export.to_coreml(model, path, "fp16", tolerance=ANYTHING, **options)
    assert report.neural_engine.startswith("By what is on record, the Neural Engine would compute it wrong: ")
    refused = dataclasses.replace(ANYTHING, neural_engine=True)
    kept = sorted(path.rglob("*"))
    with pytest.raises(export.VerificationError, match=f"Neural Engine computes right .*{sentence}.*No file was kept"):
        export.to_coreml(model, path, "fp16", tolerance=refused, **options)
    assert sorted(path.rglob("*")) == kept


@pytest.mark.parametrize("fits", ["fp32", "evaluator"])
def test_what_is_asked_is_not_left_out(fits, tmp_path, monkeypatch):
    """fp32 is refused, and what can't be computed here is still looked at."""
    path, refused = tmp_path / "model.mlpackage", dataclasses.replace(ANYTHING, neural_engine=True)
    if fits == "fp32":
        with pytest.raises(InputError, match="precision 'fp16' for a Tolerance with neural_engine=True"):
            export.to_coreml(small(), path, "fp32", tolerance=refused)
    else:
        monkeypatch.setattr("keras_mobattn.export.coreml.survival.evaluate_half", lacking)
        with pytest.raises(export.VerificationError, match="weights with a scale for each block"):
            export.to_coreml(small(), path, tolerance=refused, **per_block(monkeypatch))
    assert not path.exists()


def lacking(*_):
    raise InputError("Expected operations. Received: another one. Add it.")


CASES = [
    pytest.param(family, style, marks=[pytest.mark.slow] * (family != "MobileViTv2"))
    for family, styles in TWO_STYLES.items()
    for style in styles
]


@pytest.mark.parametrize(("family", "style"), CASES)
def test_ours_survive_with_room_to_spare(family, style, tmp_path):
    """At 256 pixels, random weights: nothing on record against them, four times the room."""
    model = getattr(keras_mobattn, family)(variant="test", attention=style, input_shape=(256, 256, 3), classes=10)
    path = tmp_path / "model.mlpackage"
    report = export.to_coreml(keras_mobattn.randomize_weights(model, seed=1), path, "fp16", tolerance=ANYTHING)
    assert report.neural_engine == ""
    assert report.headroom >= 4
    assert describe_coreml(path).neural_engine.against == ()
