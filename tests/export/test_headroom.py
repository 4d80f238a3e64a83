"""How much room half precision leaves a converted file: the number, the warning, the refusal."""

import dataclasses
import json
import re
import warnings

import numpy as np
import pytest
import tf_keras as keras

import keras_mobattn
from helpers import small_models
from helpers.cases import FAMILIES, tiny_model
from helpers.small_models import CONVERT, SIZE, convert, photos
from keras_mobattn import export
from keras_mobattn.export.layer_names import expect_layers, layer_of, layers_by_path
from keras_mobattn.half import HALF_MAX
from keras_mobattn.half.report import ENOUGH

KINDS = {".tflite": ("fp32", "fp16"), ".mlpackage": ("fp16",)}
IN_HALF = [(suffix, precision) for suffix, precisions in KINDS.items() for precision in precisions]
OTHERS = [(suffix, each) for suffix, table in CONVERT.items() for each in table if each not in KINDS[suffix]]
NO_MATTER = export.Tolerance(10)


def loud_model(gain):
    """The mean over a map of 960 values of a tenth to ten times `gain`: its sum on the way is 960 times as large."""
    image = keras.Input((*SIZE, 3))
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.Conv2D(4, 1, activation="relu", name="loud")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(image, keras.layers.Dense(7, name="last")(x), name="net")
    keras_mobattn.randomize_weights(model)
    loud = model.get_layer("loud")
    loud.set_weights([gain * weights for weights in loud.get_weights()])
    return model


def expected_headroom(model):
    """By Keras: the sums of a channel's pixels grow, since none is below 0."""
    loud = keras.Model(model.input, model.get_layer("loud").output)(photos(1).astype(np.float32)).numpy()
    return HALF_MAX / loud.sum((1, 2)).max()


@pytest.mark.parametrize(("suffix", "precision"), IN_HALF)
@pytest.mark.parametrize("gain", [1.0, 80.0])
def test_the_report_has_it_and_a_warning_names_the_layer(suffix, precision, gain, tmp_path):
    model, path = loud_model(gain), tmp_path / f"model{suffix}"
    wanted = expected_headroom(model)
    assert (wanted < ENOUGH) == (gain > 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        report = convert(suffix, precision, model, path, tolerance=NO_MATTER)
    assert report.headroom == pytest.approx(wanted, rel=2e-3)
    assert "in layer 'pool' sums up to" in report.headroom_at
    said = [each for each in caught if "in half precision" in str(each.message)]
    assert len(said) == (gain > 1)
    for each in said:
        text = str(each.message)
        assert each.filename == small_models.__file__  # which calls the converter
        assert f"Headroom of {wanted:.2g} in half precision: " in text
        assert report.headroom_at in text
        assert ("float32_layers" in text) == (suffix == ".mlpackage")
    assert json.loads(json.dumps(dataclasses.asdict(report), allow_nan=False))["headroom"] == report.headroom


@pytest.mark.sampled
@pytest.mark.parametrize("family", FAMILIES)
def test_our_models_are_not_warned_of(family, tmp_path, recwarn):
    """DeiT's norms hold the constant 65504."""
    report = export.to_tflite(tiny_model(family, "mobile"), tmp_path / "model.tflite", tolerance=NO_MATTER)
    assert report.headroom > 8
    assert [str(warning.message) for warning in recwarn if "Headroom" in str(warning.message)] == []


@pytest.mark.sampled
@pytest.mark.parametrize(("suffix", "precision"), IN_HALF)
def test_a_tolerance_refuses_and_keeps_what_was_there(suffix, precision, tmp_path):
    model, path = loud_model(1.0), tmp_path / f"model{suffix}"
    room = convert(suffix, precision, model, path, tolerance=export.Tolerance(10, headroom=1.0)).headroom
    before = sorted((file, file.stat().st_mtime_ns) for file in path.rglob("*") or [path])
    strict = export.Tolerance(10, headroom=room * 1.01)
    text = f"headroom from .*Received: {re.escape(f'{room:.2g}')}, since .*layer 'pool'"
    with pytest.raises(export.VerificationError, match=text):
        convert(suffix, precision, model, path, tolerance=strict)
    assert sorted((file, file.stat().st_mtime_ns) for file in path.rglob("*") or [path]) == before
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(("suffix", "precision"), OTHERS)
def test_files_of_other_processors_have_none(suffix, precision, tmp_path):
    report = convert(
        suffix, precision, loud_model(80.0), tmp_path / f"model{suffix}", tolerance=export.Tolerance(10, headroom=1e9)
    )
    assert (report.headroom, report.headroom_at) == (None, "")


def test_what_cannot_be_run_is_refused_where_it_matters(tmp_path, monkeypatch):
    from keras_mobattn.half import OPERATORS

    monkeypatch.delitem(OPERATORS, "CONV_2D")
    path = tmp_path / "model.tflite"
    with pytest.warns(UserWarning, match="The headroom in half precision is not known: .*CONV_2D"):
        assert convert(".tflite", "fp32", loud_model(1.0), path, tolerance=NO_MATTER).headroom is None
    with pytest.raises(export.VerificationError, match="headroom can be computed. Received: .*CONV_2D"):
        convert(".tflite", "fp32", loud_model(1.0), path, tolerance=export.Tolerance(10, headroom=1.0))


@pytest.mark.parametrize("dtype", export.IO_DTYPES)
def test_bytes_are_fed_as_bytes(dtype, tmp_path):
    model = loud_model(1.0)
    report = convert(".tflite", "fp32", model, tmp_path / "model.tflite", tolerance=NO_MATTER, input_dtype=dtype)
    assert report.headroom == pytest.approx(expected_headroom(model), rel=1e-3)


def nested_model():
    image = keras.Input((8, 8, 3))
    names = ("stage4_conv", "stage4_norm", "stage40", "stages", "dense", "dense_1")
    x = image
    for name in names:
        x = keras.layers.Dense(3, name=name)(x)
    parts = [keras.Input((8, 8, 3)), keras.layers.Dense(3, name="in"), keras.layers.Dense(3, name="dense")]
    block = keras.Sequential([keras.Input((8, 8, 3)), keras.Sequential(parts, name="inner")], name="block")
    return keras.Model(image, block(x), name="net")


MEANT = {  # a name -> the layers that it means
    "stage4": {"stage4_conv", "stage4_norm"},
    "stage": {"stage4_conv", "stage4_norm", "stage40"},
    "stage40": {"stage40"},
    "dense": {"dense", "block/inner/dense"},
    "dense_1": {"dense_1"},
    "block/inner": {"block/inner"},
    "inner": {"block/inner"},
    "block/inner/in": {"block/inner/in"},
    "in": {"block/inner/in"},
}


def test_names_of_layers():
    model = nested_model()
    assert {"stages", "block", "block/inner", "block/inner/in"} <= set(layers_by_path(model))
    assert expect_layers(model, tuple(MEANT), "layers") == MEANT
    for name, layer in {
        "net/dense/Tensordot/MatMul": "dense",
        "net/dense_1/BiasAdd;net/dense/MatMul": "dense_1",
        "net_block_inner_in_BiasAdd_cast_fp16": "block/inner/in",
        "net/stage40/add": "stage40",
        "mul_4": None,
        "other/dense/add": None,
    }.items():
        assert layer_of(model, name) == layer
