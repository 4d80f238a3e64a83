"""Models for any size of image, and what they do with odd maps."""

import numpy as np
import pytest

from helpers.cases import FAMILIES, HOSTS_WITHOUT_PATCHES, RECORDS, STYLES
from keras_mobattn import (
    MobileViT,
    MobileViTv2,
    feature_pyramid,
    randomize_weights,
)
from keras_mobattn.attention import OWN
from keras_mobattn.layers import ResizeLike

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
