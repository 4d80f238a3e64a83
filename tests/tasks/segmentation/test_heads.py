"""Parameters, strides and formulas of the segmentation heads, as published; saving; bad backbones and numbers."""

import functools

import numpy as np
import pytest
import tf_keras as keras

import keras_mobattn
from helpers import torch_peers
from helpers.cases import FAMILIES
from keras_mobattn import LRASPP, DeepLabV3, PSPNet
from keras_mobattn.errors import InputError
from keras_mobattn.models import at_output_stride
from keras_mobattn.names import HEAD, part_of
from keras_mobattn.tasks.segmentation import VOC
from keras_mobattn.weights import SEGMENTERS

ADE = 150  # classes
PARAMETERS = {  # width -> trainable of DeepLabv3 and PSPNet with ADE20k's classes, and of the auxiliary head: cvnets'
    0.5: (6_308_495, 3_616_911, 240_790),
    0.75: (9_576_455, 6_246_151, 351_382),
    1.0: (13_384_831, 9_448_575, 461_974),
    1.25: (17_733_623, 13_224_183, 572_566),
    1.5: (22_622_831, 17_572_975, 768_534),
    1.75: (28_052_455, 22_494_951, 1_041_750),
    2.0: (34_022_495, 27_990_111, 1_356_438),
}
FEWER = 66_177  # with VOC's classes
PUBLISHED = {  # at the hub -> parameters of transformers' models, mIoU
    "apple/deeplabv3-mobilevit-xx-small": (1_854_853, 73.6),
    "apple/deeplabv3-mobilevit-x-small": (2_944_069, 77.1),
    "apple/deeplabv3-mobilevit-small": (6_357_941, 79.1),
    "apple/mobilevitv2-1.0-voc-deeplabv3": (13_318_654, 78.94),
}
HEADS = {"deeplabv3": DeepLabV3, "pspnet": PSPNet, "lraspp": LRASPP}
QUICK = (("MobileViTv2", "deeplabv3"), ("MobileViT", "pspnet"), ("DeiT", "lraspp"))
SIZE = (64, 128)
IMAGES = np.random.default_rng(0).uniform(0, 255, (2, *SIZE, 3)).astype(np.float32)


def count(weights):
    return sum(int(np.prod(weight.shape)) for weight in weights)


def varied(outputs):
    """Whether they differ between images."""
    return np.ptp(outputs, axis=0).max() > 0.01 * np.ptp(outputs)


def backbone(family="MobileViTv2", size=SIZE, **options):
    return FAMILIES[family](include_top=False, input_shape=(*size, 3), **options)


@pytest.mark.parametrize(
    "width", [pytest.param(width, marks=[pytest.mark.slow] * (width != 0.5)) for width in PARAMETERS]
)
def test_parameters_are_cvnets(width):
    full = keras_mobattn.MobileViTv2(width=width, include_top=False, input_shape=(512, 512, 3), output_stride=16)
    deeplab, psp, auxiliary = PARAMETERS[width]
    for build, expected in ((DeepLabV3, deeplab), (PSPNet, psp)):
        assert count(build(full, ADE).trainable_weights) == expected
        assert count(build(full, len(VOC)).trainable_weights) == expected - FEWER
    assert count(DeepLabV3(full, ADE, auxiliary=True).trainable_weights) == deeplab + auxiliary


@pytest.mark.parametrize(
    "tag", [pytest.param(tag, marks=[pytest.mark.slow] * ("xx" not in tag.name)) for tag in SEGMENTERS.values()]
)
def test_parameters_of_the_published(tag):
    own = tag.family.build(**tag.arguments, include_top=False, input_shape=(64, 64, 3))
    assert count(DeepLabV3(own, len(VOC), width=tag.width).trainable_weights) == PUBLISHED[tag.repository][0]


def test_what_is_published():
    assert {tag.repository: (tag.params, tag.miou) for tag in SEGMENTERS.values()} == PUBLISHED
    assert {tag.input_size for tag in SEGMENTERS.values()} == {512}
    assert len(set(VOC)) == 21


@pytest.mark.parametrize("head", HEADS)
def test_output_strides(head):
    """LR-ASPP's logits have the fine map's stride, the others' that which was asked for."""
    own = backbone()
    for stride in (8, 16, 32):
        expected = 8 if head == "lraspp" else stride
        model = HEADS[head](own, 5, stride, width=16)
        assert model.output_shape == (None, SIZE[0] // expected, SIZE[1] // expected, 5)
        assert model.name == f"{head}_mobilevitv2_test"


def test_rates_go_with_the_stride():
    """The backbone's own, where it keeps that; any three that are given."""
    rates = {8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}
    given = [(backbone(), {"output_stride": stride}, expected) for stride, expected in rates.items()]
    given += [(backbone("PVTv2"), {"output_stride": 8}, rates[32]), (backbone("DeiT"), {}, rates[16])]
    given += [(backbone(), {"rates": [1, 5, 2]}, (1, 5, 2))]
    for own, options, expected in given:
        model = DeepLabV3(own, 3, width=8, **options)
        assert [model.get_layer(f"aspp_conv{i}_conv").dilation_rate[0] for i in (1, 2, 3)] == list(expected)


@pytest.mark.parametrize(
    ("family", "head"),
    [
        pytest.param(family, head, marks=[pytest.mark.slow] * ((family, head) not in QUICK))
        for family in FAMILIES
        for head in HEADS
    ],
)
def test_every_family(family, head, tmp_path):
    """Saved and loaded, with an auxiliary head; all behind the backbone is head."""
    own = backbone(family)
    model = keras_mobattn.randomize_weights(HEADS[head](own, 3, width=16, auxiliary=True), 1)
    outputs = model(IMAGES)
    assert set(outputs) == {"logits", "auxiliary"}
    assert varied(outputs["logits"].numpy())
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for name, values in again(IMAGES).items():
        np.testing.assert_array_equal(values, outputs[name])
    theirs = {weight.name for weight in own.weights}
    behind = {weight.name.split("/")[0] for weight in model.weights if weight.name not in theirs}
    assert behind
    assert {part_of(name) for name in behind} == {HEAD}


@pytest.mark.parametrize(
    "head", [pytest.param(head, marks=[pytest.mark.slow] * (head != "deeplabv3")) for head in HEADS]
)
def test_mixed_precision(head, tmp_path):
    """The logits are float32, saved and loaded too, and near those of float32."""
    build = functools.partial(HEADS[head], classes=3, width=16)
    expected = keras_mobattn.randomize_weights(build(backbone()), 1)
    with keras_mobattn.layers.global_policy("mixed_float16"):
        model = build(backbone())
    model.set_weights(expected.get_weights())
    logits, exact = model(IMAGES).numpy(), expected(IMAGES).numpy()
    assert logits.dtype == np.float32
    assert model.get_layer("pixel_classifier").compute_dtype == "float16"
    assert 0 < np.abs(logits - exact).max() < 0.02 * np.ptp(exact)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(IMAGES), logits)


def test_lraspp_is_torchvisions(timm):
    """torchvision's head on the same two maps, tensor by tensor."""
    import torch

    heads = torch_peers.import_peer("torchvision.models.segmentation.lraspp")
    own = at_output_stride(keras_mobattn.randomize_weights(backbone(), 1), 16)
    ours = LRASPP(own, 5, width=24)
    maps = keras.Model(own.input, {level: own.get_layer(level).output for level in ("P3", "P5")})
    low, high = (maps.output[level].shape[-1] for level in ("P3", "P5"))
    theirs = heads.LRASPPHead(low, high, 5, 24).eval()
    tensors = torch_peers.random_tensors(torch_peers.shapes_of(theirs), seed=1)
    torch_peers.fill(theirs, tensors)
    layers = {  # torchvision's module -> our layer
        "cbr.0": "lraspp_features_conv",
        "cbr.1": "lraspp_features_bn",
        "scale.1": "lraspp_scale",
        "high_classifier": "pixel_classifier",
        "low_classifier": "pixel_classifier_fine",
    }
    for module, layer in layers.items():
        names = ("weight", "bias", "running_mean", "running_var")
        found = [tensors[f"{module}.{name}"] for name in names if f"{module}.{name}" in tensors]
        found[0] = found[0].transpose(2, 3, 1, 0) if found[0].ndim == 4 else found[0]
        ours.get_layer(layer).set_weights(found)
    given = {level: value.numpy().transpose(0, 3, 1, 2) for level, value in maps(IMAGES).items()}
    with torch.no_grad():
        expected = theirs({"low": torch.from_numpy(given["P3"].copy()), "high": torch.from_numpy(given["P5"].copy())})
    expected = expected.numpy().transpose(0, 2, 3, 1)
    received = ours(IMAGES).numpy()
    assert varied(expected)
    assert np.abs(received - expected).max() < 1e-4 * np.ptp(expected)


def test_dropout_is_of_training_alone():
    """And of whole channels: the logits change in training, and not elsewhere."""
    model = keras_mobattn.randomize_weights(DeepLabV3(backbone(), 3, width=16, dropout=0.5), 1)
    plain = DeepLabV3(backbone(), 3, width=16, dropout=0)
    plain.set_weights(model.get_weights())
    np.testing.assert_array_equal(model(IMAGES), plain(IMAGES))
    dropout = model.get_layer("pixel_classifier_dropout")
    dropped = dropout(np.ones((2, 3, 4, 100), np.float32), training=True).numpy()
    assert (dropped == dropped[:, :1, :1]).all()
    assert set(np.unique(dropped)) == {0, 2}
    assert 0.3 < (dropped == 0).mean() < 0.7


BAD = {
    "an open size": (lambda: DeepLabV3(backbone(size=(None, None)), 3), "backbone of a fixed size. Received: an input"),
    "a size": (
        lambda: DeepLabV3(backbone(size=(72, 128)), 3),
        r"sides that its stride divides.*\[72, 128\].*\(64, 128, 3\)",
    ),
    "a size of another stride": (lambda: PSPNet(backbone(size=(100, 128)), 3, 8), "sides that its stride divides"),
    "a top": (lambda: LRASPP(FAMILIES["MobileViTv2"](input_shape=(64, 64, 3)), 3), "without top.*output .None, 1000."),
    "no map": (
        lambda: PSPNet(keras.Sequential([keras.layers.Conv2D(3, 3, input_shape=(64, 64, 3))]), 3),
        "no such map",
    ),
    "no model": (lambda: DeepLabV3(5, 3), "backbone to be a keras.Model.*Received: 5"),
    "no backbone": (lambda: DeepLabV3(classes=3), "backbone to be a keras.Model.*Received: None"),
    "no classes": (lambda: DeepLabV3(backbone()), "classes, .* to be a whole number from 2 up. Received: None"),
    "classes": (lambda: LRASPP(backbone(), 1), "classes, .* to be a whole number from 2 up. Received: 1"),
    "a family": (lambda: PSPNet("ResNet", 3), "backbone to be .*Received: 'ResNet'"),
    "width": (lambda: PSPNet(backbone(), 3, width=0), "width to be a whole number from 1 up. Received: 0"),
    "dropout": (lambda: DeepLabV3(backbone(), 3, dropout=1), "dropout to be a number from 0 to below 1. Received: 1"),
    "a rate": (lambda: DeepLabV3(backbone(), 3, rates=(6, 12, 0)), "each of rates to be a whole number .*Received: 0"),
    "rates": (lambda: DeepLabV3(backbone(), 3, rates=(6, 12)), r"Expected 3 rates. Received: \(6, 12\)"),
    "one rate": (lambda: DeepLabV3(backbone(), 3, rates=6), "rates to be such as .*Received: 6"),
    "weights": (lambda: DeepLabV3(backbone(), 3, weights=3), "weights to be None, the name .*Received: 3"),
    "a missing file": (lambda: PSPNet(backbone(), 3, weights="no.pt"), "no.pt"),
    **{
        f"output stride {stride}": (
            functools.partial(lambda stride: DeepLabV3(backbone(), 3, stride), stride),
            f"output_stride 8, 16 or 32. Received: {stride!r}",
        )
        for stride in (4, 16.0, "16", None)
    },
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
    make, text = BAD[name]
    with pytest.raises(InputError, match=text):
        make()
