"""What the page makes of a photo, against what evaluation makes of it."""

import base64
import itertools

import numpy as np
import pytest

from helpers.in_node import in_node
from keras_mobattn.data import resize_and_crop
from keras_mobattn.data.photos import whole_photos

PROGRAM = """
const {prepare, region} = await load('pixels.js');
const {photo, model} = given;
const data = Uint8ClampedArray.from(Buffer.from(photo.rgba, 'base64'));
const {width, height} = photo;
return {seen: [...prepare({data, width, height}, model)], region: region(model, width, height)};
"""
PHOTO = next(iter(whole_photos().values()))
SIZES = {"larger": (300, 427), "upright": (301, 205), "smaller": (57, 91), "line": (40, 333), "alike": (128, 128)}
VIEWS = list(itertools.product((1.0, 0.888, 0.5, None), ("bilinear", "bicubic")))


def on_the_page(photo, size, crop, interpolation):
    alpha = np.full((*photo.shape[:2], 1), 255, np.uint8)
    rgba = base64.b64encode(np.concatenate([photo, alpha], -1).tobytes()).decode()
    given = {
        "photo": {"rgba": rgba, "height": photo.shape[0], "width": photo.shape[1]},
        "model": {"height": size[0], "width": size[1], "view": {"crop": crop, "interpolation": interpolation}},
    }
    found = in_node(PROGRAM, given)
    return np.reshape(np.uint8(found["seen"]), (*size, 3)), found["region"]


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize(("crop", "interpolation"), VIEWS)
def test_what_the_model_sees(name, crop, interpolation):
    height, width = SIZES[name]
    photo = np.ascontiguousarray(PHOTO[100 : 100 + height, 50 : 50 + width])
    size = (96, 128) if name != "alike" else (128, 128)
    seen, part = on_the_page(photo, size, crop, interpolation)
    expected = resize_and_crop(photo, size, crop, interpolation).numpy()
    difference = np.abs(seen.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 2e-3  # sums in another order, at halves
    if crop is None:
        assert part == {"x": 0, "y": 0, "width": width, "height": height}
    assert part["width"] <= width + 1
    assert part["height"] <= height + 1


def test_the_part_that_is_seen():
    _, part = on_the_page(np.zeros((400, 600, 3), np.uint8), (256, 256), 0.888, "bilinear")
    assert part["x"] == pytest.approx((432 - 256) / 2 * 600 / 432)
    assert part["y"] == pytest.approx((288 - 256) / 2 * 400 / 288)
    assert part["width"] == pytest.approx(256 * 600 / 432)
    assert part["height"] == pytest.approx(256 * 400 / 288)
