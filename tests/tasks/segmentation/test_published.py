"""Apple's published segmenters by name, from a hub on this machine."""

import numpy as np
import pytest
import safetensors.numpy

import keras_mobattn
from helpers import hub as loopback
from keras_mobattn import LRASPP, DeepLabV3, MobileViT, PSPNet
from keras_mobattn.errors import InputError
from keras_mobattn.families import FAMILIES
from keras_mobattn.tasks.segmentation import VOC
from keras_mobattn.weights.layouts.segmentation import with_segmentation
from keras_mobattn.weights.port import variables_of

NAME = "apple/deeplabv3-mobilevit-xx-small"
SHAPE = (64, 128, 3)


def backbone(variant="xxs"):
    return MobileViT(variant, include_top=False, input_shape=SHAPE)


def tiny():
    return MobileViT("test", include_top=False, input_shape=SHAPE)


@pytest.fixture(scope="module")
def original():
    return keras_mobattn.randomize_weights(DeepLabV3(backbone(), len(VOC), width=256), 1)


@pytest.fixture(scope="module")
def content(original):
    """Its weights as transformers writes them."""
    (layout,) = (each for each in FAMILIES["MobileViT"].sources if each.name == "transformers")
    variables = variables_of(original)
    tensors = {
        key: np.ascontiguousarray(transform.join([variables[name].numpy() for name in names]))
        for key, names, transform in with_segmentation(layout).name_all(variables)
    }
    assert "segmentation_head.aspp.convs.4.conv_1x1.normalization.running_var" in tensors
    return safetensors.numpy.save(tensors)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub that has nothing under NAME yet."""
    with loopback.running({NAME: b""}) as running, loopback.led_to(running, tmp_path / "cache", monkeypatch):
        yield running


@pytest.mark.sampled
def test_a_name_is_enough(hub, original, content):
    """Backbone, classes and width are the checkpoint's; each may be said, and another output stride be asked for."""
    hub.__init__({NAME: content}, hub.port)
    images = np.random.default_rng(0).uniform(0, 255, (2, *SHAPE)).astype(np.float32)
    expected = original(images).numpy()
    model = DeepLabV3(weights=NAME, input_shape=SHAPE)
    assert model.name == "deeplabv3_mobilevit_xxs"
    assert np.ptp(expected, axis=0).max() > 0.01 * np.ptp(expected)
    np.testing.assert_array_equal(model(images), expected)
    said = DeepLabV3(backbone(), 21, 16, 256, (6, 12, 18), weights=NAME.removeprefix("apple/"))
    np.testing.assert_array_equal(said(images), expected)
    finer = DeepLabV3(weights=NAME, input_shape=SHAPE, output_stride=8)
    assert finer.output_shape == (None, 8, 16, 21)
    for ours, theirs in zip(finer.get_weights(), original.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert sum(method == "GET" and path.startswith("/storage/") for method, path, _ in hub.requests) == 1
    with pytest.raises(InputError, match="layer1_0_expand_conv/kernel|encoder.layer.0.*the model expects"):
        DeepLabV3(backbone("xs"), weights=NAME)


BAD = {  # a call -> what it says; no hub is asked
    "classes": (lambda: DeepLabV3(weights=NAME, classes=3), "Expected classes=21, those of .*xx-small'. Received: 3"),
    "width": (lambda: DeepLabV3(weights=NAME, width=512), "Expected width=256, those of .*Received: 512"),
    "rates": (
        lambda: DeepLabV3(weights=NAME, input_shape=SHAPE, rates=(12, 24, 36)),
        r"Expected rates \(6, 12, 18\), those of .*Received: \(12, 24, 36\)",
    ),
    "a name": (lambda: DeepLabV3(weights="apple/deeplabv3-mobilevit-xxs"), "Did you mean 'deeplabv3-mobilevit-"),
    "a classifier's": (lambda: DeepLabV3(weights="timm/mobilevitv2_100.cvnets_in1k"), "such as 'apple/deeplabv3-"),
    "PSPNet": (lambda: PSPNet(tiny(), 21, weights=NAME), f"Expected a file.*Received: '{NAME}'"),
    "LRASPP": (lambda: LRASPP(tiny(), 21, weights=NAME), f"Expected a file.*Received: '{NAME}'"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_a_name(hub, name):
    call, text = BAD[name]
    with pytest.raises(InputError, match=text):
        call()
    assert not hub.requests
