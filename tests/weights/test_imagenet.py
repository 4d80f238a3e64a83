"""ImageNet's classes and images: the shipped names, and what a published checkpoint gets to see of a file."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
import tf_keras as keras
from PIL import Image
from sklearn.datasets import load_sample_images
from tf_keras.src.applications import imagenet_utils

from keras_mobattn import InputError, decode_predictions, preprocess_input
from keras_mobattn.data import batches, open_source, read_image, resize_and_crop, take_images
from keras_mobattn.weights import imagenet_classes
from keras_mobattn.weights.tags import TAGS

KNOWN = {0: "tench", 207: "golden_retriever", 388: "giant_panda", 517: "crane", 999: "toilet_tissue"}  # keras's names


def test_classes_are_in_the_order_of_imagenet2012():
    labels = Path(tfds.__file__).parent / "datasets" / "imagenet2012" / "labels.txt"
    assert [wnid for wnid, _ in imagenet_classes()] == labels.read_text().split()
    assert {i: imagenet_classes()[i][1] for i in KNOWN} == KNOWN
    assert all(name and name == name.strip() and " " not in name for _, name in imagenet_classes())


def test_names_are_wordnets(timm):
    from helpers.make_imagenet_classes import imagenet_lines

    assert ["\t".join(each) for each in imagenet_classes()] == list(imagenet_lines())


@pytest.mark.parametrize("top", [1, 5, 1000])
def test_decode_predictions_is_keras_s(monkeypatch, top):
    index = {str(i): list(each) for i, each in enumerate(imagenet_classes())}
    monkeypatch.setattr(imagenet_utils, "CLASS_INDEX", index)  # so that nothing is downloaded
    scores = np.random.default_rng(0).permuted(np.tile(np.linspace(0, 1, 1000, dtype=np.float32), (3, 1)), axis=1)
    expected = imagenet_utils.decode_predictions(scores, top)
    assert decode_predictions(scores, top) == expected
    assert decode_predictions(tf.constant(scores), top) == expected


@pytest.mark.parametrize(
    ("shape", "top", "message"),
    [
        ((1000,), 5, r"\(n, 1000\). Received: \(1000,\)"),
        ((2, 10), 5, r"\(n, 1000\). Received: \(2, 10\)"),
        ((2, 1000), 0, "1 to 1000. Received: 0"),
        ((2, 1000), 1001, "1 to 1000. Received: 1001"),
        ((2, 1000), 2.5, "1 to 1000. Received: 2.5"),
    ],
)
def test_what_cannot_be_decoded(shape, top, message):
    with pytest.raises(InputError, match=message):
        decode_predictions(np.zeros(shape), top)


def test_preprocess_input_is_what_a_model_does_itself(tiny_model):
    with_it, images = tiny_model(), np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    body = keras.Model(with_it.get_layer("preprocessing").output, with_it.output)
    before = images.copy()
    scaled = preprocess_input(images)
    assert isinstance(scaled, np.ndarray)
    assert (scaled.dtype, scaled.min(), scaled.max()) == (np.float32, 0, 1)
    np.testing.assert_array_equal(images, before)
    np.testing.assert_allclose(body(scaled), with_it(images), atol=1e-6)
    symbolic = keras.Input((64, 64, 3), dtype="uint8")
    for result in (
        preprocess_input(tf.constant(images)),
        preprocess_input(images.tolist()),
        keras.Model(symbolic, preprocess_input(symbolic))(images),
        preprocess_input(images.astype(np.float64)),
    ):
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, scaled, atol=1e-7)


def _images():
    temple, flower = load_sample_images().images
    rng = np.random.default_rng(0)
    squares = 255 * rng.integers(0, 2, (40, 61, 1), np.uint8)
    return {
        "wide": temple,
        "tall": flower[:, 100:301],
        "small and odd": np.array(Image.fromarray(flower).resize((97, 131))),
        "very wide": temple[:61],
        "noise": rng.integers(0, 256, (300, 451, 3), np.uint8),
        "black and white": squares.repeat(9, 0).repeat(9, 1).repeat(3, 2),
    }


VIEWS = {(tag.input_size, tag.crop, tag.interpolation) for tag in TAGS.values()}
VIEWS.add((224, 0.9, "bilinear"))  # 224 / .9 = 248.9, which timm rounds down; the checkpoints' sizes are all below .5


@pytest.mark.parametrize("view", sorted(VIEWS))
def test_images_are_seen_as_timm_sees_them(timm, view):
    """Every size, offset and pixel, within one level of 0..255."""
    size, crop, interpolation = view
    transform = timm.data.create_transform(
        (3, size, size), crop_pct=crop, interpolation=interpolation, mean=(0, 0, 0), std=(1, 1, 1)
    )
    for name, pixels in _images().items():
        expected = transform(Image.fromarray(pixels)).numpy().transpose(1, 2, 0) * 255
        received = resize_and_crop(tf.constant(pixels), (size, size), crop, interpolation).numpy()
        assert received.dtype == np.uint8
        assert np.abs(received - expected).max() < 1.01, name
        assert np.abs(received - expected).mean() < 0.3, name


def test_batches_and_one_image_are_fitted_alike(tmp_path):
    pictures = list(_images().values())
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i, pixels in enumerate(pictures):
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    source, view = open_source(tmp_path), {"crop": 0.8, "interpolation": "bicubic"}
    options = {"image_size": (40, 56), "batch_size": 4}
    images = np.concatenate([images for images, _ in batches(source, "train", **options, **view)])
    singles = np.stack([resize_and_crop(x["image"], (40, 56), **view) for x in source.open("train")])
    np.testing.assert_array_equal(images, singles)
    whole = np.concatenate([images for images, _ in batches(source, "train", **options)])
    np.testing.assert_array_equal(whole, take_images(source, "train", len(whole), (40, 56))[0])
    assert np.abs(images - whole).mean() > 5


def test_an_image_of_the_right_size_is_left_alone():
    pixels = np.random.default_rng(0).integers(0, 256, (33, 20, 3), np.uint8)
    for interpolation in ("bilinear", "bicubic"):
        np.testing.assert_array_equal(resize_and_crop(pixels, (33, 20), 1.0, interpolation), pixels)


def test_read_image(tmp_path):
    pixels = load_sample_images().images[0][:40, :60]
    for name, options in {"a.png": {}, "a.webp": {"lossless": True}, "a.tiff": {}}.items():
        Image.fromarray(pixels).save(tmp_path / name, **options)
        np.testing.assert_array_equal(read_image(tmp_path / name), pixels)
    Image.fromarray(pixels[..., 0]).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), pixels[..., :1].repeat(3, -1))
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: the first row is the right-hand side, as a phone held upright writes it
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=turned)
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png"), np.rot90(pixels, -1))


BAD_FILES = {
    "missing": (lambda path: None, "No such file"),
    "text": (lambda path: path.write_text("hello"), "not an image"),
    "cut": (lambda path: (_noise().save(path), path.write_bytes(path.read_bytes()[:900])), "truncated"),
    "deep": (lambda path: Image.fromarray(np.full((9, 9), 4.0, np.float32)).save(path, "TIFF"), "32 bits, whose range"),
    "folder": (lambda path: path.mkdir(), "directory"),
}


def _noise():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 30, 3), np.uint8))


@pytest.mark.parametrize("name", BAD_FILES)
def test_unreadable_image(tmp_path, name):
    spoil, reason = BAD_FILES[name]
    path = tmp_path / "cat.png"
    spoil(path)
    with pytest.raises(InputError, match=f"cat.png' .*{reason}") as error:
        read_image(path)
    assert "\n" not in str(error.value)
