"""Batches: shapes, values, order, repeatability, augmentation, the resize rule; and the sample photographs."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_mobattn.data import (
    AUGMENTATIONS,
    Indexed,
    Source,
    batches,
    open_source,
    resize_and_crop,
    sample_photos,
    take_images,
)
from keras_mobattn.data.augment import _Draws, augmenter
from keras_mobattn.errors import InputError


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return open_source("digits", data_dir=tmp_path_factory.mktemp("tfds"))


def numbered(count, size=(4, 4)):
    """A source whose image i is all i, with label i % 3, so that order and loss of images show."""

    images = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, *size, 3))
    labels = np.arange(count) % 3
    reader = Indexed(count, lambda i: {"image": tf.constant(images)[i], "label": tf.constant(labels)[i]})
    return Source(
        "numbered", ("a", "b", "c"), {"train": count, "test": count}, dict.fromkeys(("train", "test"), lambda: reader)
    )


def numbers(dataset):
    return [images[:, 0, 0, 0].astype(int).tolist() for images, _ in dataset.as_numpy_iterator()]


def test_evaluation_batches(digits):
    dataset = batches(digits, "test", image_size=(24, 40), batch_size=100)
    assert dataset.element_spec[0].dtype == dataset.element_spec[1].dtype == tf.float32
    seen = list(dataset.as_numpy_iterator())
    assert [images.shape for images, _ in seen] == [(n, 24, 40, 3) for n in (100, 100, 100, 59)]
    images, labels = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    assert images.min() == 0
    assert images.max() == 255
    np.testing.assert_array_equal(labels.sum(axis=1), 1)
    # cached or not, and read again in the same order, evaluation sees what take_images returns
    taken, taken_labels = take_images(digits, "test", 359, (24, 40))
    assert taken.dtype == np.uint8
    assert taken_labels.dtype == np.int64
    np.testing.assert_array_equal(images, taken)
    np.testing.assert_array_equal(labels.argmax(axis=1), taken_labels)
    np.testing.assert_array_equal(np.concatenate([images for images, _ in dataset.as_numpy_iterator()]), taken)
    assert len(set(taken_labels[:50])) == 10  # the first images are of all classes


@pytest.mark.parametrize(
    ("count", "batch_size", "shuffle", "sizes"),
    [(10, 4, True, [4, 4]), (10, 4, False, [4, 4, 2]), (3, 8, True, [3]), (3, 8, False, [3]), (8, 4, True, [4, 4])],
)
def test_last_batch(count, batch_size, shuffle, sizes):
    dataset = batches(numbered(count), "train", image_size=(4, 4), batch_size=batch_size, shuffle=shuffle)
    assert [len(batch) for batch in numbers(dataset)] == sizes
    assert dataset.cardinality() == len(sizes)


def test_shuffle_is_new_each_epoch_and_repeatable():
    def epochs(seed):
        dataset = batches(numbered(60), "train", image_size=(4, 4), batch_size=60, shuffle=True, seed=seed)
        return [numbers(dataset)[0] for _ in range(2)]

    first, second = epochs(seed=0)
    assert sorted(first) == sorted(second) == list(range(60))
    assert first != second != list(range(60))
    assert epochs(seed=0) == [first, second]
    assert epochs(seed=1)[0] != first


HEAVY = dict.fromkeys(("deit", "flowformer"), pytest.mark.slow)  # 15 s to trace; mobilevitv2 goes through the same code


# Those that crop around objects need boxes: test_object_crop.py
OF_LABELS = [name for name, each in AUGMENTATIONS.items() if not each.object_crop]


@pytest.mark.sampled
@pytest.mark.parametrize("augment", [pytest.param(name, marks=HEAVY.get(name, ())) for name in OF_LABELS])
def test_augmentation_is_repeatable_and_in_range(digits, augment):
    def epochs(seed):
        options = {"image_size": (16, 20), "batch_size": 48, "augment": augment, "shuffle": True, "seed": seed}
        dataset = batches(digits, "test", **options)  # the smaller split
        dataset.take(2).reduce(0, lambda n, _: n + 1)  # an epoch that is given up early must not disturb the next
        return [np.stack([images for images, _ in dataset.as_numpy_iterator()]) for _ in range(2)]

    (first, second), again = epochs(0), epochs(0)
    assert first.dtype == np.float32
    assert first.shape[1:] == (48, 16, 20, 3)
    assert 0 <= first.min() < 20
    assert 235 < first.max() <= 255
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, again[0])
    np.testing.assert_array_equal(second, again[1])
    assert np.abs(first - second).mean() > 5


@pytest.mark.parametrize("augment", ["none", "digits"])
def test_another_seed_gives_other_batches(digits, augment):
    options = {"image_size": (16, 20), "batch_size": 48, "augment": augment, "shuffle": True}
    one, other = (next(iter(batches(digits, "test", seed=seed, **options)))[0] for seed in (0, 1))
    assert np.abs(one - other).mean() > 5


@pytest.mark.parametrize("augment", [name for name in AUGMENTATIONS if AUGMENTATIONS[name].layers])
def test_layers_vary_each_image_and_each_epoch(augment):
    image = np.array(tf.image.resize(np.arange(48).reshape(4, 4, 3) * 5.0, (32, 32))).astype(np.uint8)
    vary = augmenter(AUGMENTATIONS[augment])
    repeated = np.repeat(image[None].astype(np.float32), 64, axis=0)
    varied = vary(tf.constant(repeated), tf.constant([1, 2], tf.int64)).numpy()
    assert len(np.unique(varied.reshape(64, -1), axis=0)) == 64
    np.testing.assert_array_equal(varied, vary(tf.constant(repeated), tf.constant([1, 2], tf.int64)))
    assert np.abs(varied - vary(tf.constant(repeated), tf.constant([1, 3], tf.int64))).max() > 0


@pytest.mark.parametrize("augment", [name for name in AUGMENTATIONS if AUGMENTATIONS[name].layers])
def test_the_same_images_vary_from_epoch_to_epoch(digits, augment):
    dataset = batches(digits, "test", image_size=(16, 16), batch_size=64, augment=augment)
    first, second = (next(dataset.as_numpy_iterator()) for _ in range(2))
    np.testing.assert_array_equal(first[1], second[1])
    assert np.abs(first[0] - second[0]).mean() > 5


def test_draws_are_independent_and_repeatable():
    draws = _Draws()
    draws.start(tf.constant([3, 4], tf.int64))
    first, second = (draws.uniform([2000], -1.0, 3.0).numpy() for _ in range(2))
    assert np.abs(np.corrcoef(first, second)[0, 1]) < 0.1
    assert -1 <= first.min() < -0.9
    assert 2.9 < first.max() < 3
    draws.start(tf.constant([3, 4], tf.int64))
    np.testing.assert_array_equal(draws.uniform([2000], -1.0, 3.0), first)


def test_digits_keep_their_shape(digits):
    """Small changes only: a digit stays nearer to itself than to a random other one, and is never mirrored."""
    images = take_images(digits, "test", 100, (32, 32))[0].astype(np.float32)
    varied = augmenter(AUGMENTATIONS["digits"])(tf.constant(images), tf.constant([0, 0], tf.int64)).numpy()
    own = np.abs(varied - images).mean(axis=(1, 2, 3))
    assert np.median(own / np.abs(varied - images[:, :, ::-1]).mean(axis=(1, 2, 3))) < 0.8
    assert np.median(own / np.abs(varied - np.roll(images, 1, axis=0)).mean(axis=(1, 2, 3))) < 0.6


@pytest.mark.parametrize(
    ("size", "target", "rows", "columns"),
    [
        ((80, 40), (20, 20), (10, 30), (0, 20)),  # tall: the middle half of the rows
        ((40, 80), (20, 20), (0, 20), (10, 30)),
        ((40, 80), (10, 20), (0, 10), (0, 20)),  # the same aspect: all of it
        ((5, 5), (20, 10), (0, 20), (5, 15)),  # enlarged to cover
    ],
)
def test_resize_covers_and_crops_the_centre(size, target, rows, columns):
    y, x = np.mgrid[: size[0], : size[1]]
    image = np.stack([y * 200 // size[0], x * 200 // size[1], np.full_like(x, 77)], axis=-1).astype(np.uint8)
    fitted = resize_and_crop(tf.constant(image), target).numpy()
    assert fitted.shape == (*target, 3)
    assert fitted.dtype == np.uint8
    scaled = [round(side * max(target[0] / size[0], target[1] / size[1])) for side in size]
    whole = np.array(Image.fromarray(image).resize(scaled[::-1], Image.Resampling.BILINEAR)).astype(int)
    np.testing.assert_allclose(fitted, whole[slice(*rows), slice(*columns)], atol=1)
    assert (fitted[..., 2] == 77).all()


def test_resize_is_antialiased():
    stripes = np.tile(np.array([0, 255], np.uint8), 32)[None, :, None] * np.ones((64, 1, 3), np.uint8)
    assert np.ptp(resize_and_crop(tf.constant(stripes), (9, 9)).numpy()) < 60  # without: 0 and 255


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "valid"}, "one of 'train', 'test'. Received: 'valid'"),
        ({"augment": "flip"}, "one of 'none', 'digits', 'imagenet'"),
        ({"image_size": (0, 8)}, "Received: \\(0, 8\\)"),
        ({"image_size": 8}, "\\(height, width\\)"),
        ({"batch_size": 0}, "batch_size to be a whole number from 1 up. Received: 0"),
        ({"crop": 0}, "crop, .*, to be a number from 0.01 to 1. Received: 0"),
        ({"crop": 1.1}, "crop, .*, to be a number from 0.01 to 1. Received: 1.1"),
        ({"interpolation": "cubic"}, "one of 'bilinear', 'bicubic'. Received: 'cubic'"),
    ],
)
def test_bad_arguments(change, message):
    arguments = {"split": "train", "image_size": (8, 8), "batch_size": 2} | change
    with pytest.raises(InputError, match=message):
        batches(numbered(4), arguments.pop("split"), **arguments)


@pytest.mark.parametrize("count", [0, 5])
def test_take_too_many_or_none(count):
    with pytest.raises(InputError, match=f"Expected count of 'test' images of .* from 1 to 4. Received: {count}"):
        take_images(numbered(4), "test", count, (8, 8))


def test_sample_photos():
    photos = sample_photos(4, (48, 80))
    assert photos.shape == (4, 48, 80, 3)
    assert photos.dtype == np.uint8
    np.testing.assert_array_equal(photos, sample_photos(6, (48, 80))[:4])
    assert np.abs(photos.astype(float) - sample_photos(4, (48, 80), seed=1)).mean() > 10
    sky, petals = photos[0].mean(axis=(0, 1)), photos[1].mean(axis=(0, 1))
    assert sky[2] > petals[2]
    assert petals[0] > petals[2]
    assert photos.reshape(4, -1).std(axis=1).min() > 10
    assert sample_photos(1, (600, 500)).shape == (1, 600, 500, 3)  # larger than the photographs
