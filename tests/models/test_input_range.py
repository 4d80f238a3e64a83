"""Which numbers a model takes: read off its layers, through saving, told by the caller, or refused."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_mobattn
from keras_mobattn.errors import InputError
from keras_mobattn.families import FAMILIES
from keras_mobattn.layers import ImageRange, InputRange
from keras_mobattn.models import input_range_of, known_range, load_model

L = keras.layers
IMAGENET = ImageRange(
    [1 / 58.395, 1 / 57.12, 1 / 57.375], [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225]
)  # 255 times the deviations
PIXELS, UNIT, SYMMETRIC = ImageRange(), ImageRange(1 / 255), ImageRange(1 / 127.5, -1)
OF_FAMILY = {name: IMAGENET if any(family.mean) else UNIT for name, family in FAMILIES.items()}


def model_of(*layers, shape=(40, 32, 3)):
    """A plain model that begins with these layers."""
    return keras.Sequential([L.InputLayer(shape), *layers, L.Conv2D(4, 3), L.GlobalAveragePooling2D()])


def backbone(include_preprocessing, family="MobileViTv2"):
    return FAMILIES[family].build(
        variant="test", include_preprocessing=include_preprocessing, include_top=False, input_shape=(64, 64, 3)
    )


def assert_same(received, expected):
    assert received is not None
    assert received.is_image == expected.is_image
    ends = np.float32([[0, 0, 0], [255, 255, 255]])
    np.testing.assert_allclose(received.from_pixels(ends), expected.from_pixels(ends), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_carries_its_range_through_saving(family, tmp_path):
    assert_same(input_range_of(backbone(True, family)), PIXELS)
    model = backbone(False, family)
    assert_same(input_range_of(model), OF_FAMILY[family])
    for name in ("model.keras", "model.h5"):
        model.save(tmp_path / name)
        assert_same(input_range_of(load_model(tmp_path / name)), OF_FAMILY[family])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_range_is_what_preprocess_input_gives(family):
    pixels = np.float32(np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)))
    prepared = keras_mobattn.preprocess_input(pixels, family)
    np.testing.assert_allclose(OF_FAMILY[family].from_pixels(pixels), prepared, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(OF_FAMILY[family].to_pixels(prepared), pixels, atol=1e-3)


TOLD_BY_LAYERS = {
    "Rescaling": (lambda: [L.Rescaling(1 / 127.5, -1)], PIXELS),
    "augmentation first": (lambda: [L.RandomFlip(), L.ZeroPadding2D(1), L.Rescaling(1 / 255)], PIXELS),
    "Normalization of pixels": (lambda: [L.Normalization(mean=[120, 115, 100], variance=[3400] * 3)], PIXELS),
    "InputRange": (lambda: [InputRange(1 / 127.5, -1)], SYMMETRIC),
    "a model in it": (lambda: [backbone(False)], UNIT),
    "a model in a model": (lambda: [keras.Sequential([L.InputLayer((64, 64, 3)), backbone(True)])], PIXELS),
    "0..1 to pixels": (lambda: [L.Rescaling(255.0), backbone(True)], UNIT),
    "-1..1 to 0..1": (lambda: [L.Rescaling(0.5, 0.5), backbone(False)], SYMMETRIC),
    "divided as the range behind says": (lambda: [L.Rescaling(1 / 127.5, -1), InputRange(1 / 127.5, -1)], PIXELS),
    "normalised ahead of a model": (
        lambda: [L.Normalization(mean=[0.5] * 3, variance=[0.25] * 3), InputRange(1 / 127.5, -1)], UNIT,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TOLD_BY_LAYERS)
def test_layers_tell(name, tmp_path):
    make, expected = TOLD_BY_LAYERS[name]
    start = make()
    shape = (64, 64, 3) if any(isinstance(layer, keras.Model) for layer in start) else (40, 32, 3)
    model = keras.Sequential([L.InputLayer(shape), *start, L.GlobalAveragePooling2D()])
    assert_same(input_range_of(model), expected)
    model.save(tmp_path / "model.keras")
    assert_same(input_range_of(load_model(tmp_path / "model.keras")), expected)


UNKNOWN = {
    "nothing": [],
    "pixels divided twice": [L.Rescaling(1 / 255), L.Rescaling(1 / 127.5, -1)],
    "divided ahead of another range": [L.Rescaling(1 / 127.5, -1), InputRange(1 / 255)],
    "a small factor": [L.Rescaling(0.5)],
    "a Lambda": [L.Lambda(lambda x: x / 255)],
    "Normalization of small numbers": [L.Normalization(mean=[0.5] * 3, variance=[0.25] * 3)],
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_no_layer_tells_has_to_be_said(name):
    model = model_of(*UNKNOWN[name])
    assert input_range_of(model) is None
    with pytest.raises(InputError, match="input_scale=0.00784314 and input_bias=-1"):
        known_range(model)
    assert_same(known_range(model, 1 / 127.5, -1), SYMMETRIC)
    assert_same(known_range(model, 1), PIXELS)


def test_other_channels_are_no_image():
    taken = known_range(model_of(shape=(40, 32, 5)))
    assert not taken.is_image
    taken.expect(np.random.default_rng(0).normal(0, 1000, (2, 40, 32, 5)), "check_images")


@pytest.mark.parametrize(
    ("scale", "bias", "message"),
    [
        (1 / 255, None, "other than what the model says itself: pixels 0..255"),
        (1, [0, 0, 1], "other than what the model says"),
        (0, 0, "input_scale above 0"),
        (float("nan"), 0, "input_scale as a number"),
        ("x", 0, "input_scale as a number"),
        ([1, 1, 2, 2], 0, "one for each of 3 channels"),
    ],
)
def test_wrong_words_are_refused(scale, bias, message):
    with pytest.raises(InputError, match=message):
        known_range(model_of(L.Rescaling(1 / 255)), scale, bias)


def test_the_right_words_may_be_said_again():
    assert_same(known_range(backbone(False, "DeiT"), IMAGENET.scale, IMAGENET.bias), IMAGENET)


PREPARED = {  # how somebody prepared photographs -> what of them
    "pixels": lambda pixels: pixels,
    "0..1": lambda pixels: pixels / 255,
    "-1..1": lambda pixels: pixels / 127.5 - 1,
    "mean and deviation": lambda pixels: keras_mobattn.preprocess_input(pixels, "DeiT"),
    "divided twice": lambda pixels: pixels / 255 / 255,
    "16 bits": lambda pixels: pixels * 257,
}
RANGES = {"pixels": PIXELS, "0..1": UNIT, "-1..1": SYMMETRIC, "mean and deviation": IMAGENET}
UNSEEN = {("mean and deviation", "-1..1")}  # lies within, as darker and greyer images do


@pytest.mark.parametrize("wanted", RANGES)
@pytest.mark.parametrize("prepared", PREPARED)
def test_images_of_another_range_are_refused(prepared, wanted):
    photos = np.float32(keras_mobattn.data.sample_photos(8, (64, 64)))
    images = PREPARED[prepared](photos)
    if prepared == wanted or (wanted, prepared) in UNSEEN:
        RANGES[wanted].expect(images, "check_images")
    else:
        with pytest.raises(InputError, match="Expected check_images in the range that the model takes"):
            RANGES[wanted].expect(images, "check_images")


@pytest.mark.parametrize("kind", [np.asarray, tf.constant])
def test_preprocess_input_refuses_what_is_normalised_already(kind):
    pixels = np.float32(keras_mobattn.data.sample_photos(2, (64, 64)))
    for prepared in ("0..1", "-1..1", "mean and deviation"):
        with pytest.raises(InputError, match="Expected images in the range"):
            keras_mobattn.preprocess_input(kind(np.float32(PREPARED[prepared](pixels))))
    black = keras_mobattn.preprocess_input(kind(np.zeros((8, 8, 3), np.uint8)))
    np.testing.assert_array_equal(black, 0)


def test_preprocess_input_works_in_a_tf_data_map():
    pixels = keras_mobattn.data.sample_photos(2, (64, 64))
    images = tf.data.Dataset.from_tensor_slices(pixels).map(keras_mobattn.preprocess_input)
    np.testing.assert_allclose(np.stack(list(images.as_numpy_iterator())), pixels / np.float32(255), rtol=1e-6)


def test_one_image_may_be_black_or_light():
    for range_ in RANGES.values():
        for level in (0, 1, 255):
            range_.expect(range_.from_pixels(np.full((8, 8, 3), level, np.float32)), "image", alone=True)
    with pytest.raises(InputError, match="Expected image in the range that the model takes, pixels 0..255"):
        PIXELS.expect(np.random.default_rng(0).uniform(0, 1, (8, 8, 3)), "image", alone=True)
