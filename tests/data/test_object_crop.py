"""SSD's crop around objects, its light and colours, and the whole image that detectors see."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from helpers.rectangles import COLOURS, drawn, rectangles, seen_boxes
from keras_mobattn import InputError
from keras_mobattn.data import AUGMENTATIONS, StepPlan, batches, resize_and_crop, sample_photos, training_stream
from keras_mobattn.data.example_view import example_view
from keras_mobattn.data.object_crop import ASPECT, OVERLAPS, SIDES, object_crop
from keras_mobattn.data.photometric import CHANNELS, photometric
from keras_mobattn.data.targets import LABELS, SIDES as IMAGE_SIDES, crop_of, expect_targets
from keras_mobattn.tasks import TASKS

BOXES = ("boxes", "box_labels")
SHAPE = (211, 307)


def windows_of(boxes, count=300):
    """Windows of `count` draws, [count, 4] corners in pixels."""
    draw = tf.function(lambda seed: object_crop(tf.constant(SHAPE), tf.constant(boxes, tf.float32), seed))
    pairs = [draw(tf.constant([7, number], tf.int64)) for number in range(count)]
    return np.array([np.concatenate([begin, begin + size]) for begin, size in pairs])


def test_crops_hold_objects():
    boxes = np.array([[0.1, 0.1, 0.4, 0.35], [0.5, 0.55, 0.6, 0.95]])
    windows = windows_of(boxes)
    whole = (windows == (0, 0, *SHAPE)).all(1)
    # One of OVERLAPS leaves the image whole and one can't be reached; high ones fail with boxes as small as these.
    assert 2 / len(OVERLAPS) - 0.1 < whole.mean() < 0.9
    sides = (windows[:, 2:] - windows[:, :2])[~whole]
    assert (windows >= 0).all()
    assert (windows[:, 2:] <= SHAPE).all()
    assert (sides >= np.floor(SIDES[0] * np.array(SHAPE))).all()
    assert (sides >= 100).all()
    aspects = sides[:, 0] / sides[:, 1]
    assert ASPECT[0] <= aspects.min() < 0.7
    assert ASPECT[1] >= aspects.max() > 1.2
    pixels = boxes * np.tile(SHAPE, 2)
    centres = (pixels[:, :2] + pixels[:, 2:]) / 2
    for top, left, bottom, right in windows[~whole]:
        inside = (centres > (top, left)).all(1) & (centres < (bottom, right)).all(1)
        assert inside.any()
        shared = np.maximum(np.minimum(pixels[:, 2:], (bottom, right)) - np.maximum(pixels[:, :2], (top, left)), 0)
        shared = shared.prod(1)
        areas = (pixels[:, 2:] - pixels[:, :2]).prod(1)
        assert (shared / ((bottom - top) * (right - left) + areas - shared)).max() >= 0.1 - 1e-4
    assert len(np.unique(windows, axis=0)) > 30


def test_images_without_objects_stay_whole():
    assert (windows_of(np.zeros((0, 4)), 20) == (0, 0, *SHAPE)).all()


def test_a_large_object_is_cropped_by_each_overlap():
    """With an object as large as the image the crop's own share of it is the overlap: all but 1.0 can be reached."""
    windows = windows_of(np.array([[0.0, 0.0, 1.0, 1.0]]), 700)
    shares = (windows[:, 2:] - windows[:, :2]).prod(1) / np.prod(SHAPE)
    for least, most in ((0.0, 0.3), (0.3, 0.6), (0.6, 0.9), (0.9, 0.999)):
        assert ((shares >= least) & (shares < most)).any(), (least, most)


@pytest.mark.parametrize("size", [(96, 96), (61, 97)], ids=str)
def test_boxes_are_found_again(size):
    augmentation = dataclasses.replace(AUGMENTATIONS["ssd"], photometric=None)
    view = tf.function(example_view(augmentation, 3, BOXES, None))
    rng, found, left_out = np.random.default_rng(0), 0, 0
    for number in range(200):  # of which few are cropped, since the rectangles are small
        example = {key: tf.constant(value) for key, value in rectangles(rng).items() if key != "mask"}
        seen = {key: value.numpy() for key, value in view(example, size, tf.constant(number, tf.int64)).items()}
        assert tuple(seen[IMAGE_SIDES]) == example["image"].shape[:2]
        kept = dict(zip(seen["box_labels"].tolist(), seen["boxes"] * np.tile(size, 2), strict=True))
        for label, colour in enumerate(COLOURS):
            expected = seen_boxes(seen["image"], colour)
            if expected is None or np.min(expected[2:] - expected[:2]) < 4:
                continue
            if label not in kept:  # its centre is outside: it touches the border
                assert (expected[:2] == 0).any() or (expected[2:] == size).any()
                left_out += 1
                continue
            np.testing.assert_allclose(kept[label], expected, atol=1.6)
            found += 1
    assert found > 250
    assert left_out > 0


@pytest.mark.parametrize("augment", [name for name, each in AUGMENTATIONS.items() if each.object_crop])
def test_streams_and_batches_are_repeatable(augment):
    """And cut into steps: element k of a stream is the same, wherever it begins."""
    task, plan = TASKS["detection"], StepPlan(10, 4, 4, 48)
    whole = list(training_stream(drawn(), plan, augment, seed=3, task=task).as_numpy_iterator())
    later = list(training_stream(drawn(), plan, augment, seed=3, first_step=3, task=task).as_numpy_iterator())
    assert len(whole) == plan.total_steps
    for (images, learned), (again, learned_again) in zip(whole[3:], later, strict=True):
        np.testing.assert_array_equal(images, again)
        assert images.shape[1:] == (48, 48, 3)
        assert 0 <= images.min() <= images.max() <= 255
        for name in BOXES:
            np.testing.assert_array_equal(learned[name], learned_again[name])
    options = {"image_size": (40, 48), "batch_size": 10, "augment": augment, "task": task}
    (images, learned), (again, _) = (next(iter(batches(drawn(), "train", **options))) for _ in range(2))
    np.testing.assert_array_equal(images, again)
    assert set(learned) == {*BOXES, IMAGE_SIDES}


def test_the_whole_image_is_seen():
    photo = sample_photos(1, (128, 128))[0]
    photo = photo[:, :80]
    seen = resize_and_crop(photo, (64, 64), crop=None, interpolation="bicubic").numpy()
    expected = np.asarray(Image.fromarray(photo).resize((64, 64), Image.Resampling.BICUBIC))
    assert np.abs(seen.astype(int) - expected).max() <= 1
    example = {"image": photo, "boxes": tf.constant([[0.25, 0.5, 0.75, 1.0]]), "box_labels": tf.constant([3])}
    view = example_view(AUGMENTATIONS["none"], 0, BOXES, None)(example, (64, 64), tf.constant(0, tf.int64))
    np.testing.assert_allclose(view["boxes"], [[0.25, 0.5, 0.75, 1.0]], atol=1e-6)


def test_who_sees_the_whole_image():
    assert crop_of(LABELS, 0.9) == 0.9
    assert crop_of(TASKS["detection"], 1.0) is None
    with pytest.raises(InputError, match="Expected whole images for boxes, box_labels.*Received: 0.9"):
        crop_of(TASKS["detection"], 0.9)


def test_an_augmentation_around_objects_needs_boxes():
    class Source:
        name, targets = "photos", ("label",)

    with pytest.raises(InputError, match="Expected an augmentation that needs no boxes"):
        expect_targets(LABELS, Source, AUGMENTATIONS["ssd"])


def test_light_and_colours():
    photo = tf.constant(sample_photos(1, (64, 64))[0])
    change = tf.function(photometric)
    seen = np.stack([change(photo, tf.constant([5, number], tf.int64)) for number in range(300)]).astype(float)
    same = (seen == photo.numpy()).all((1, 2, 3)).mean()
    assert abs(same - (0.5**4 * (1 - 0.5 * 5 / 6))) < 0.04  # nothing drawn, or the channels' own order alone
    again = change(photo, tf.constant([5, 11], tf.int64)).numpy()
    np.testing.assert_array_equal(again, seen[11])
    assert len(CHANNELS) == 6
    # Brightness and contrast around the mean grey change the mean by at most an eighth, and hue little.
    assert np.abs(seen.mean((1, 2, 3)) / photo.numpy().mean() - 1).max() < 0.25
    spread = seen.std((1, 2)).mean(1) / photo.numpy().std((0, 1)).mean()
    assert spread.min() < 0.65
    assert spread.max() > 1.2
