"""The detector's parameters, anchors and shapes, as published; bad backbones."""

import numpy as np
import pytest
import tf_keras as keras

import keras_mobattn
from helpers.cases import FAMILIES
from keras_mobattn.errors import InputError
from keras_mobattn.names import HEAD, part_of
from keras_mobattn.tasks.detection.anchors import anchor_boxes, ssd_sizes
from keras_mobattn.tasks.detection.ssdlite import SSDLite, anchors_of

PARAMETERS = {  # width -> trainable, with 80 classes and the background: apple/ml-cvnets'
    0.5: 2_035_395,
    0.75: 3_584_955,
    1.0: 5_608_883,
    1.25: 8_173_227,
    1.5: 11_277_987,
    1.75: 14_923_163,
    2.0: 19_108_755,
}
SIZE = (128, 192)


def count(weights):
    return sum(int(np.prod(weight.shape)) for weight in weights)


def backbone(family="MobileViTv2", size=SIZE, **options):
    return FAMILIES[family](include_top=False, input_shape=(*size, 3), **options)


@pytest.mark.parametrize("width", PARAMETERS)
def test_parameters_are_the_published_ones(width):
    full = keras_mobattn.MobileViTv2(width=width, include_top=False, input_shape=(320, 320, 3))
    model = SSDLite(full, 80)
    assert count(model.trainable_weights) == PARAMETERS[width]
    assert model.output_shape == {"boxes": (None, 3232, 4), "scores": (None, 3232, 81)}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family(family, tmp_path):
    model = keras_mobattn.randomize_weights(SSDLite(backbone(family), 3), 1)
    maps = [(8, 12), (4, 6), (2, 3), (1, 2), (1, 1), (1, 1)]
    np.testing.assert_array_equal(anchors_of(model), anchor_boxes(maps, ssd_sizes()))
    images = np.random.default_rng(0).uniform(0, 255, (2, *SIZE, 3)).astype(np.float32)
    outputs = model.predict(images, verbose=0)
    assert outputs["scores"].shape == (2, len(anchors_of(model)), 4)
    assert np.ptp(outputs["boxes"]) > 0
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(anchors_of(again), anchors_of(model))
    for name, values in again.predict(images, verbose=0).items():
        np.testing.assert_array_equal(values, outputs[name])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_finer_level(family):
    """DeiT has one map, of stride 16: those of 8 and 32 are made of it."""
    model = SSDLite(backbone(family), 3, strides=(8, 16, 32), widths=(24, 32, 40, 16))
    maps = [(16, 24), (8, 12), (4, 6), (1, 1)]
    np.testing.assert_array_equal(anchors_of(model), anchor_boxes(maps, ssd_sizes(4)))
    widths = [layer.input_shape[-1] for layer in map(model.get_layer, [f"head{level}_scores" for level in range(4)])]
    assert widths == [24, 32, 40, 16]
    assert {"P3_enlarge", "P5_project_conv"} <= {layer.name for layer in model.layers} or family != "DeiT"


def test_a_backbone_by_its_name():
    model = SSDLite("MobileViTv2", 20, input_shape=(64, 128, 3))
    assert model.input_shape == (None, 64, 128, 3)
    assert model.name == "ssdlite_mobilevitv2_100"
    boxes = np.float32([[0.1, 0.1, 0.3, 0.2], [0.2, 0.2, 0.9, 0.6], [0.0, 0.0, 1.0, 0.7]])
    fitted = SSDLite("MobileViTv2", 20, "fit", boxes, input_shape=(64, 128, 3))
    assert not np.array_equal(anchors_of(fitted), anchors_of(model))
    assert (
        (np.abs(anchors_of(fitted)[:, None, 2:] - boxes[:, 2:][:, ::-1] + boxes[:, :2][:, ::-1]) < 1e-6)
        .all(-1)
        .any(0)
        .all()
    )


def test_all_behind_the_backbone_is_head():
    own = backbone("DeiT")
    model = SSDLite(own, 3, strides=(8, 16, 32))
    behind = {layer.name for layer in model.layers if layer.weights} - {layer.name for layer in own.layers}
    assert behind
    assert {part_of(name) for name in behind} == {HEAD}
    assert HEAD not in {part_of(layer.name) for layer in own.layers}


def test_a_prediction_is_where_its_anchor_is():
    """The order of rows is that of the anchors: a bias in one cell's place, by a map that is its own position."""
    model = SSDLite(backbone(), 3)
    layer = model.get_layer("boxes")
    maps = [np.zeros((1, *shape[1:]), np.float32) for shape in layer.input_shape]
    maps[1][0, 2, 3, 4 * 4 + 1] = 7  # level 1, row 2, column 3, anchor 4, the second of four numbers
    (row, number), *others = np.argwhere(layer(maps).numpy()[0])
    assert (number, others) == (1, [])
    x, y, width, height = anchors_of(model)[row]
    assert (width, height) == pytest.approx(layer.sizes[1][4])
    assert (y, x) == pytest.approx((2.5 / 4, 3.5 / 6))


BAD = {
    "a size": (lambda: backbone(size=(100, 320)), r"sides that 64 divides. Received: \[100, 320\].*\(128, 320, 3\)"),
    "an open size": (lambda: backbone(size=(None, None)), "sides that 64 divides. Received: .None, None."),
    "a top": (lambda: FAMILIES["MobileViTv2"](input_shape=(64, 64, 3)), "without top.*output .None, 1000."),
    "no map": (lambda: keras.Sequential([keras.layers.Conv2D(3, 3, input_shape=(64, 64, 3))]), "with no such maps"),
    "no model": (lambda: 5, "backbone to be a keras.Model"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_backbones(name):
    make, text = BAD[name]
    with pytest.raises(InputError, match=text):
        SSDLite(make(), 3)


@pytest.mark.sampled
def test_bad_numbers():
    with pytest.raises(InputError, match="classes to be a whole number from 1 up. Received: 0"):
        SSDLite(backbone(), 0)
    with pytest.raises(InputError, match="number of levels in anchors to be a whole number from 6 to 6. Received: 2"):
        SSDLite(backbone(), 3, ssd_sizes(2))
    with pytest.raises(InputError, match="anchors 'ssd', 'fit' or sizes for each level. Received: 'none'"):
        SSDLite(backbone(), 3, "none")
    with pytest.raises(InputError, match="Expected boxes with anchors='fit'.*without boxes"):
        SSDLite(backbone(), 3, "fit")
    with pytest.raises(InputError, match="Expected boxes with anchors='fit'.*anchors='ssd' and boxes"):
        SSDLite(backbone(), 3, boxes=np.float32([[0, 0, 1, 1]]))
    for strides in ((), (4, 8), (16,), (16, 64), (32, 64), (16, 32, 64, 128, 256, 512)):
        with pytest.raises(InputError, match="strides"):
            SSDLite(backbone(), 3, strides=strides)
    with pytest.raises(InputError, match="number of widths to be a whole number from 6 to 6. Received: 2"):
        SSDLite(backbone(), 3, widths=(8, 8))
    with pytest.raises(InputError, match="backbone to be .*Received: 'ResNet'"):
        SSDLite("ResNet", 3)
    with pytest.raises(InputError, match="a detector, as SSDLite builds it"):
        anchors_of(backbone())
