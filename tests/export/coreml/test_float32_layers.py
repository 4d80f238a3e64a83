"""Layers of a Core ML package that stay in float32 by their names."""

import re

import numpy as np
import pytest
import tf_keras as keras

import keras_mobattn
from keras_mobattn import export
from keras_mobattn.data import sample_photos
from keras_mobattn.errors import InputError
from keras_mobattn.formats.coreml.program import read_program
from keras_mobattn.half import HALF_MAX

SIZE = (16, 16)
IMAGES = sample_photos(2, SIZE).astype(np.float32)


def make(gain):
    """A nested block in which values are multiplied by `gain`, and a norm takes it away again."""
    image = keras.Input((*SIZE, 3))
    x = keras.layers.Conv2D(4, 1, name="stem_conv")(keras.layers.Rescaling(1 / 255, name="unit")(image))
    x = keras.layers.BatchNormalization(name="stem_bn")(x)
    block = [
        keras.Input((*SIZE, 4)),
        keras.layers.Conv2D(4, 1, name="conv", activation="gelu"),
        keras.layers.Rescaling(gain, name="gain"),
        keras.layers.LayerNormalization(name="norm"),
    ]
    x = keras.Sequential(block, name="stage4_block")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dense(3, activation="softmax", name="top")(x)
    return keras_mobattn.randomize_weights(keras.Model(image, x, name="net"))


@pytest.fixture(scope="module")
def loud():
    return make(1e4)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.mlpackage"


def kept(path):
    """What is computed in float32, as {kind: count}, without the casts."""
    found = {}
    for operation in read_program(path).operations:
        if operation.kind != "cast" and operation.results[0].dtype == "float32":
            found[operation.kind] = found.get(operation.kind, 0) + 1
    return found


NORM = {"reduce_mean": 2, "reshape": 2, "sqrt": 1, "real_div": 1}  # those that no other layer has
CASES = {  # names -> kinds that have to be in float32, kinds that must not
    ("stage4",): ({**NORM, "erf": 1, "conv": 1}, {"softmax"}),
    ("stage4_block",): ({**NORM, "erf": 1, "conv": 1}, {"softmax"}),
    ("stage4_block/norm",): (NORM, {"conv", "erf", "softmax"}),
    ("stem_conv",): ({"conv": 1, "erf": 1}, {"softmax"}),  # merged into the block behind it
    ("norm", "top"): ({**NORM, "conv": 1, "softmax": 1}, {"erf"}),  # the head, of rank 4
}


@pytest.mark.sampled
@pytest.mark.parametrize("names", CASES)
def test_layers_are_kept_with_what_passes_made_of_them(names, path):
    wanted, others = CASES[names]
    export.to_coreml(make(1.0), path, check_images=IMAGES, float32_layers=names)
    found = kept(path)
    assert found == {**found, **wanted}
    assert not others & set(found)
    export.to_coreml(make(1.0), path, check_images=IMAGES)
    assert kept(path) == {}


def test_a_layer_too_loud_for_float16_is_mended(loud, path):
    with (
        pytest.warns(UserWarning, match="in layer 'stage4_block/norm' sums up to"),
        pytest.raises(export.VerificationError, match="to agree with Keras"),
    ):
        export.to_coreml(loud, path, check_images=IMAGES)
    assert not path.exists()
    report = export.to_coreml(loud, path, check_images=IMAGES, float32_layers=("stage4",))
    assert report.max_abs_error < 1e-3
    assert report.headroom == pytest.approx(HALF_MAX / IMAGES[0].max(), rel=1e-3)  # the norm's sums count no more
    assert report.headroom > export.Tolerance(1, headroom=4).headroom


@pytest.mark.sampled
def test_all_of_it_leaves_the_cast_of_the_image(loud, path):
    """An fp32 package takes the names, and needs none."""
    assert export.to_coreml(loud, path, "fp32", check_images=IMAGES, float32_layers=("stage4",)).headroom is None
    everything = tuple(layer.name for layer in loud.layers[1:])
    report = export.to_coreml(loud, path, check_images=IMAGES, float32_layers=everything)
    assert report.max_abs_error < 1e-5
    assert {operation.kind for operation in read_program(path).operations if _half(operation)} <= {"cast", "transpose"}


def _half(operation):
    return operation.results[0].dtype == "float16"


REFUSED = {  # names -> the refusal
    ("stage40",): "Received: 'stage40'. There are .*stage4_block",
    ("norms",): "names of layers of 'net', or what some begin with. Received: 'norms'. There are .*stage4_block/norm",
    "norm": "tuple of layers' names. Received: 'norm'",
    (3,): "tuple of layers' names. Received: (3,)",
}


@pytest.mark.parametrize("names", REFUSED)
def test_names_that_do_not_fit(names, loud, path):
    message = REFUSED[names].replace("(3,)", re.escape("(3,)"))
    with pytest.raises(InputError, match=f"Expected .*{message}"):
        export.to_coreml(loud, path, check_images=IMAGES, float32_layers=names)
    assert not path.exists()
