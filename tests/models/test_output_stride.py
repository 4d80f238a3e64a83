"""Backbones at other output strides: the same weights, and the maps of timm's dilated models."""

import functools

import numpy as np
import pytest
from safetensors.numpy import save_file

import keras_mobattn
from helpers import torch_peers
from helpers.cases import FAMILIES
from keras_mobattn import feature_pyramid
from keras_mobattn.errors import InputError
from keras_mobattn.models import at_output_stride
from keras_mobattn.models.output_stride import LEVELS, OF_FAMILIES, output_stride_of

SIZE = (64, 128)
IMAGES = np.random.default_rng(0).uniform(0, 255, (2, *SIZE, 3)).astype(np.float32)
LIMIT = 1e-4  # of the spread


def backbone(family, **options):
    return FAMILIES[family](include_top=False, input_shape=(*SIZE, 3), **options)


@pytest.mark.sampled
@pytest.mark.parametrize("family", OF_FAMILIES)
def test_from_every_stride_to_every_other(family):
    """Equal to a model that was built there: layer by layer, and in what it computes; the first stays as it was."""
    built = {stride: backbone(family, output_stride=stride) for stride in LEVELS}
    weights = keras_mobattn.randomize_weights(built[32], 1).get_weights()
    maps = {}
    for stride, model in built.items():
        model.set_weights(weights)
        maps[stride] = model(IMAGES).numpy()
        assert maps[stride].shape[1:3] == (SIZE[0] // stride, SIZE[1] // stride)
        assert np.ptp(maps[stride], axis=0).max() > 0.01 * np.ptp(maps[stride])
        assert output_stride_of(model) == stride
    for stride, model in built.items():
        for other, expected in built.items():
            twin = at_output_stride(model, other)
            assert (twin is model) == (stride == other)
            configs = [[layer.get_config() for layer in each.layers] for each in (twin, expected)]
            assert configs[0] == configs[1]
            np.testing.assert_array_equal(twin(IMAGES), maps[other])
        np.testing.assert_array_equal(model(IMAGES), maps[stride])
    with_top = keras_mobattn.randomize_weights(FAMILIES[family](input_shape=(*SIZE, 3), classes=4), 1)
    assert at_output_stride(with_top, 8).output_shape == (None, 4)


def test_other_families_keep_theirs():
    for family in FAMILIES.keys() - set(OF_FAMILIES):
        model = backbone(family)
        assert output_stride_of(model) is None
        for stride in LEVELS:
            assert at_output_stride(model, stride) is model


def test_bad_strides():
    model = backbone("MobileViTv2")
    for stride in (4, 64, 16.0, "16", None, (16,)):
        for call in (
            functools.partial(at_output_stride, model),
            lambda each: backbone("MobileViT", output_stride=each),
        ):
            with pytest.raises(InputError, match="output_stride 8, 16 or 32. Received"):
                call(stride)


@pytest.mark.parametrize("stride", [16, pytest.param(8, marks=pytest.mark.slow)])
def test_maps_are_timms(timm, stride, tmp_path):
    """MobileViTv2's, which timm dilates as apple/ml-cvnets does; timm's file is the same at every stride."""
    peer = timm.create_model("mobilevitv2_050", features_only=True, out_indices=(2, 3, 4), output_stride=stride).eval()
    tensors = torch_peers.random_tensors(torch_peers.shapes_of(peer), seed=1)
    torch_peers.fill(peer, tensors)
    renamed = {key.replace("stages_", "stages."): tensor for key, tensor in tensors.items()}
    save_file(renamed, tmp_path / "model.safetensors")
    size = (128, 192)
    options = {"include_top": False, "include_preprocessing": False, "input_shape": (*size, 3)}
    ours = keras_mobattn.MobileViTv2(0.5, output_stride=stride, weights=tmp_path / "model.safetensors", **options)
    images = torch_peers.random_images(*size)
    import torch

    with torch.no_grad():
        expected = peer(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    received = feature_pyramid(ours, ["P3", "P4", "P5"])(images)
    for level, theirs in zip(received, expected, strict=True):
        theirs = theirs.numpy().transpose(0, 2, 3, 1)
        assert theirs.shape[1] == size[0] // min(stride, 2 ** int(level[1]))
        assert np.ptp(theirs, axis=0).max() > 0.01 * np.ptp(theirs)
        assert np.abs(received[level].numpy() - theirs).max() < LIMIT * np.ptp(theirs), level


def test_weights_of_a_stride_go_to_timm_and_back(tmp_path):
    """to_timm's file of a dilated classifier is the one of stride 32, and `weights=` takes it at any stride."""
    build = functools.partial(keras_mobattn.MobileViTv2, 0.5, input_shape=(64, 64, 3), classes=5)
    model = keras_mobattn.randomize_weights(build(output_stride=16), 1)
    keras_mobattn.weights.to_timm(model, tmp_path / "model.safetensors")
    for stride in (8, 32):
        again = build(output_stride=stride, weights=tmp_path / "model.safetensors")
        for ours, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
