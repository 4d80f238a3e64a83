"""Masks follow their image through each augmentation: the image holds coordinates, the mask a class for each block."""

import dataclasses

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf

from helpers.rectangles import drawn
from keras_mobattn.data import AUGMENTATIONS, Indexed, Source, StepPlan, training_stream
from keras_mobattn.data.blur import SIGMA, blur
from keras_mobattn.data.example_view import example_view
from keras_mobattn.data.scaled_crop import LARGEST_SHARE, LONGEST, crop_corner, scaled_size
from keras_mobattn.data.targets import IGNORED
from keras_mobattn.errors import InputError
from keras_mobattn.tasks import Task

SHAPE, BLOCK = (120, 180), 30
COLUMNS = SHAPE[1] // BLOCK
GEOMETRIC = [name for name, each in AUGMENTATIONS.items() if not (each.rand_augment or each.layers)]
SEGMENTATION = [name for name in AUGMENTATIONS if name.startswith("segmentation")]


class Masks(Task):
    """Learns the mask as it is."""

    targets = ("mask",)


def coordinates():
    """(An image of (y, x, 255), the mask of the number of the block, one box around all)."""
    y, x = np.indices(SHAPE)
    image = np.stack([y, x, np.full(SHAPE, 255)], -1).astype(np.uint8)
    return {"image": image, "mask": block(y, x)[..., None].astype(np.uint8), "boxes": np.float32([[0, 0, 1, 1]])}


def block(y, x):
    clipped = (np.clip(each, 0, side - 1).astype(int) for each, side in ((y, SHAPE[0]), (x, SHAPE[1])))
    row, column = (each // BLOCK for each in clipped)
    return row * COLUMNS + column


def view_of(name, targets=("mask",)):
    """The augmentation's view without what changes colours."""
    plain = dataclasses.replace(AUGMENTATIONS[name], photometric=None, blur=0.0, erasing=0.0)
    return tf.function(example_view(plain, 5, targets))


@pytest.mark.parametrize("size", [(64, 64), (96, 60)], ids=str)
@pytest.mark.parametrize("name", GEOMETRIC)
def test_a_masks_class_is_that_of_its_pixels_place(name, size):
    example = {key: tf.constant(value) for key, value in coordinates().items()}
    view, checked, nothing, mirrored = view_of(name), 0, 0, set()
    for number in range(30):
        seen = view(example, size, tf.constant(number, tf.int64))
        image, mask = seen["image"].numpy().astype(float), seen["mask"].numpy()[..., 0]
        assert (image.shape, mask.shape) == ((*size, 3), size)
        assert ((mask == IGNORED) | (mask < SHAPE[0] // BLOCK * COLUMNS)).all()
        y, x, there = np.moveaxis(image, -1, 0)
        empty, whole = there < 2, there > 253
        assert (mask[empty] == IGNORED).all()
        inner = whole & (np.pad(whole, 1)[2:, 1:-1] & np.pad(whole, 1)[:-2, 1:-1])
        inner &= np.pad(whole, 1)[1:-1, 2:] & np.pad(whole, 1)[1:-1, :-2]
        assert (mask[inner] != IGNORED).all()
        down, right = np.abs(np.diff(y, axis=0))[inner[1:]], np.abs(np.diff(x, axis=1))[inner[:, 1:]]
        slack = 1.5 + 0.6 * max(np.median(down), np.median(right))  # and these are source pixels between neighbours
        near = np.stack([block(y + down, x + right) for down in (-slack, slack) for right in (-slack, slack)])
        assert (near == mask)[:, inner].any(0).all()
        sure = inner & (near == near[0]).all(0)
        checked, nothing = checked + sure.sum(), nothing + empty.sum()
        mirrored.add(bool(np.median(np.diff(x, axis=1)[:, inner.any(0)[1:]]) < 0))
    assert checked > 30 * 0.1 * size[0] * size[1]
    assert (nothing > 0) == (name in SEGMENTATION)
    assert mirrored == ({False, True} if AUGMENTATIONS[name].flip else {False})


@pytest.mark.parametrize("name", SEGMENTATION)
def test_streams_are_functions_of_seed_and_step(name):
    plan = StepPlan(10, 4, 3, 48)
    whole = list(training_stream(drawn(), plan, name, seed=3, task=Masks()).as_numpy_iterator())
    later = list(training_stream(drawn(), plan, name, seed=3, task=Masks(), first_step=3).as_numpy_iterator())
    assert len(whole) == len(later) + 3
    for (images, learned), (again, learned_again) in zip(whole[3:], later, strict=True):
        np.testing.assert_array_equal(images, again)
        np.testing.assert_array_equal(learned["mask"], learned_again["mask"])
    other = next(training_stream(drawn(), plan, name, seed=4, task=Masks()).as_numpy_iterator())
    assert np.abs(other[0] - whole[0][0]).max() > 0


def test_several_sizes():
    plan = StepPlan(10, 4, 2, 48, sizes=(32, 48))
    for images, learned in training_stream(drawn(), plan, "segmentation", seed=3, task=Masks()).as_numpy_iterator():
        assert learned["mask"].shape == (*images.shape[:3], 1)


def test_sizes_are_uniform_and_limited():
    def sides(*shape):
        seeds = tf.stack([tf.zeros(1000, tf.int64), tf.range(1000, dtype=tf.int64)], 1)
        size = tf.function(lambda seed: scaled_size(tf.constant(shape), (512, 512), (0.5, 1.5), seed))
        return tf.map_fn(size, seeds, fn_output_signature=tf.int32).numpy()

    shorter = sides(400, 500)
    assert shorter[:, 0].min() in range(256, 262)
    assert shorter[:, 0].max() in range(762, 769)
    counts = np.histogram(shorter[:, 0], 4, (256, 768))[0]
    assert (np.abs(counts - 250) < 60).all()
    np.testing.assert_allclose(shorter[:, 1], shorter[:, 0] * 1.25, atol=1)
    long = sides(100, 1000)
    assert (long == (102, LONGEST * 512)).all()


def test_crops_are_drawn_again_until_classes_are_mixed():
    """In an image that is one class but for a corner, most crops would show that class alone; ignored pixels don't
    count, and of what no crop can show, the last draw is taken."""
    mask = np.zeros((100, 100, 1), np.uint8)
    mask[60:, 60:], mask[:40, 60:] = 1, IGNORED

    corner = tf.function(lambda number, mask=None: crop_corner(tf.constant([100, 100]), (40, 40), [1, number], mask))
    numbers = [tf.constant(number) for number in range(100)]

    def shares(mask):
        found = []
        for number in numbers:
            top, left = corner(number, tf.constant(mask)).numpy()
            assert 0 <= min(top, left) <= max(top, left) <= 60
            part = mask[top : top + 40, left : left + 40]
            counts = np.bincount(part[part != IGNORED], minlength=2)
            found.append(counts.max() / max(counts.sum(), 1))
        return np.array(found)

    drawn_again = shares(mask)
    first = [
        crop_corner(tf.constant([100, 100]), (40, 40), tf.constant([1, number], tf.int64)) for number in range(200)
    ]
    once = [mask[top : top + 40, left : left + 40] for top, left in np.array(first)]
    assert (drawn_again <= LARGEST_SHARE).mean() > 0.75
    assert np.mean([(part == 1).mean() >= 0.25 for part in once]) < 0.5
    assert (shares(np.zeros_like(mask)) == 1).all()


def test_an_image_smaller_than_the_view_stays_at_its_corner():
    corner = crop_corner(tf.constant([30, 90]), (48, 48), tf.constant([0, 1], tf.int64))
    assert corner[0] == 0


def test_blur_is_scipys():
    image = np.random.default_rng(0).integers(0, 256, (33, 41, 3), np.uint8)
    for sigma in (*SIGMA, 0.6):
        theirs = scipy.ndimage.gaussian_filter(image.astype(float), (sigma, sigma, 0), radius=(3, 3, 0), mode="mirror")
        np.testing.assert_allclose(blur(tf.constant(image), sigma), theirs, atol=0.501)
    tiny = tf.constant(image[:3, :3])
    np.testing.assert_array_equal(blur(tiny, 0.9), tiny)


def test_boxes_cannot_follow_a_rotation():
    class Boxes(Task):
        targets = ("boxes", "box_labels")

    for name in SEGMENTATION:
        with pytest.raises(InputError, match="boxes can follow. Received: one that turns images by up to 10"):
            training_stream(drawn(), StepPlan(10, 4, 1, 32), name, seed=0, task=Boxes())


def test_a_mask_of_another_size_than_its_image_is_refused():
    example = {"image": np.zeros((20, 30, 3), np.uint8), "mask": np.zeros((20, 29, 1), np.uint8)}
    reader = Indexed(1, lambda index: {name: tf.constant(value) for name, value in example.items()})
    source = Source("odd", ("a", "b"), {"train": 1}, {"train": lambda: reader}, ("mask",))
    stream = training_stream(source, StepPlan(1, 1, 1, 16), "none", seed=0, task=Masks())
    with pytest.raises(tf.errors.InvalidArgumentError, match="Expected a mask of its image"):
        next(iter(stream))
