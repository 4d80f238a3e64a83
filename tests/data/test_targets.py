"""Boxes and masks follow their image through crops, resizes and mirroring: they are found again in its pixels."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from helpers.rectangles import COLOURS, SHAPE, drawn, rectangles, seen_boxes
from keras_mobattn.data import (
    AUGMENTATIONS,
    Labels,
    StepPlan,
    batches,
    open_source,
    take_images,
    training_stream,
)
from keras_mobattn.data.digit_scenes import DigitScenes, DigitScenesConfig
from keras_mobattn.data.example_view import example_view
from keras_mobattn.data.targets import Geometry, moved
from keras_mobattn.errors import InputError
from keras_mobattn.tasks import Task


class Places(Task):
    """Learns what it is given."""

    targets = ("boxes", "box_labels", "mask")


VIEWS = {"none": {}, "none cropped": {"crop": 0.7, "interpolation": "bicubic"}, "imagenet": {}, "imagenet-bicubic": {}}


@pytest.mark.parametrize("size", [(83, 131), (64, 64), (61, 97), (97, 61)], ids=str)
@pytest.mark.parametrize("name", VIEWS)
def test_boxes_and_masks_are_found_again(name, size):
    augmentation = AUGMENTATIONS[name.split()[0]]
    view = example_view(augmentation, 7, Places.targets, **VIEWS[name])
    rng, found = np.random.default_rng(0), 0
    for number in range(24):
        example = rectangles(rng)
        given = {key: tf.constant(value) for key, value in example.items()}
        seen = {key: value.numpy() for key, value in view(given, size, tf.constant(number, tf.int64)).items()}
        assert seen["image"].shape == (*size, 3)
        assert seen["mask"].shape == (*size, 1)
        assert len(seen["boxes"]) == len(seen["box_labels"])
        kept = dict(zip(seen["box_labels"].tolist(), seen["boxes"] * np.tile(size, 2), strict=True))
        for label, colour in enumerate(COLOURS):
            expected = seen_boxes(seen["image"], colour)
            if expected is None:  # not more than a sliver of it is left, or nothing
                assert label not in kept or np.min(kept[label][2:] - kept[label][:2]) < 1.5
            if expected is None or np.min(expected[2:] - expected[:2]) < 3:
                continue
            np.testing.assert_allclose(kept[label], expected, atol=1.01)  # half a pixel of blur at each side
            inside = seen["image"][..., label] > 200
            assert (seen["mask"][inside] == 1 + label).mean() > 0.97  # the mask is of the nearest pixel
            found += 1
    assert found > 20


def test_mirroring_and_parts_against_numpy():
    rng = np.random.default_rng(1)
    example = rectangles(rng)
    for flipped in (False, True):
        geometry = Geometry(SHAPE, (10, 20), (60, 90), (60, 90), (0, 0), (60, 90), flipped)
        seen = moved({key: tf.constant(example[key]) for key in Places.targets}, geometry)
        mask = example["mask"][10:70, 20:110]
        np.testing.assert_array_equal(seen["mask"], mask[:, ::-1] if flipped else mask)
        for label, box in zip(seen["box_labels"].numpy(), seen["boxes"].numpy(), strict=True):
            rows, columns = np.nonzero(seen["mask"].numpy()[..., 0] == 1 + label)
            expected = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
            np.testing.assert_allclose(box * np.tile((60, 90), 2), expected, atol=1e-4)
        assert [1 + label for label in seen["box_labels"].numpy()] == [value for value in np.unique(mask) if value]


@pytest.mark.parametrize("sizes", [None, (32, 48)])
def test_streams_are_functions_of_seed_and_step(sizes):
    plan = StepPlan(10, 4, 4, 48, sizes=sizes)
    options = {"seed": 3, "task": Places()}
    whole = list(training_stream(drawn(), plan, "imagenet", **options).as_numpy_iterator())
    later = list(training_stream(drawn(), plan, "imagenet", first_step=3, **options).as_numpy_iterator())
    assert len(whole) == plan.total_steps
    for (images, learned), (again, learned_again) in zip(whole[3:], later, strict=True):
        np.testing.assert_array_equal(images, again)
        for name in Places.targets:
            np.testing.assert_array_equal(learned[name], learned_again[name])
    for images, learned in whole:
        assert learned["boxes"].shape == (len(images), learned["box_labels"].shape[1], 4)
        assert learned["mask"].shape == (*images.shape[:3], 1)
        filled = learned["box_labels"] < 0
        assert (learned["boxes"][filled] == 0).all()
        assert not filled.all(axis=0).any()  # no longer than the image with most


def test_evaluation_batches_hold_the_same(monkeypatch):
    ((images, learned),) = batches(drawn(), "test", image_size=(83, 131), batch_size=16, task=Places())
    source = drawn()
    for index, example in enumerate(source.open("test").as_numpy_iterator()):
        np.testing.assert_array_equal(images[index], example["image"])
        np.testing.assert_array_equal(learned["mask"][index], example["mask"])
        count = len(example["boxes"])
        np.testing.assert_allclose(learned["boxes"][index][:count], example["boxes"], atol=1e-6)
        np.testing.assert_array_equal(learned["box_labels"][index][count:], -1)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        few = DigitScenesConfig(name="seed0", train=64, test=20)
        patch.setattr(DigitScenes, "BUILDER_CONFIGS", [few])
        patch.setattr(DigitScenes, "builder_configs", {"seed0": few})
        yield open_source("digit_scenes", tmp_path_factory.mktemp("tfds"), targets=("label", *Places.targets))


def test_digit_scenes_give_their_boxes_and_masks(scenes):
    assert scenes.targets == ("label", *Places.targets)
    assert scenes.class_names == tuple("0123456789")
    for example in scenes.open("test").take(20).as_numpy_iterator():
        assert example["mask"].shape == (96, 96, 1)
        for box, digit in zip(example["boxes"], example["box_labels"], strict=True):
            top, left, bottom, right = np.rint(box * 96).astype(int)
            inside = example["mask"][top:bottom, left:right] == 1 + digit
            edges = (inside[0], inside[-1], inside[:, 0], inside[:, -1])  # each touches ink: the box is no larger
            assert all(edge.any() for edge in edges)
            assert (example["mask"] == 1 + digit).sum() >= inside.sum() > 0
        twice = [digit for digit in example["box_labels"] if (example["box_labels"] == digit).sum() == 2]
        assert twice == [example["label"]] * 2


def test_boxes_of_scenes_stay_on_their_digits(scenes):
    """Through the whole stream: what lies in a box is of its digit, by the mask that went the same way."""
    plan = StepPlan(scenes.num_examples["train"], 8, 1, 96)
    stream = training_stream(scenes, plan, "imagenet", seed=0, num_steps=4, task=Places())
    seen = 0
    for _, learned in stream.as_numpy_iterator():
        for boxes, labels, mask in zip(*(learned[name] for name in Places.targets), strict=True):
            for box, digit in zip(boxes[labels >= 0], labels[labels >= 0], strict=True):
                top, left, bottom, right = np.rint(box * 96).astype(int)
                if min(bottom - top, right - left) > 4:
                    assert (mask[top:bottom, left:right] == 1 + digit).any()
                    seen += 1
    assert seen > 50


@pytest.mark.parametrize(
    ("task", "augment", "message"),
    [
        (Places(), "mobilevitv2", "whose geometry boxes and mask can follow"),
        (Places(), "digits", "whose geometry boxes and mask can follow"),
        (Task(), "mobilevitv2", "without MixUp and CutMix"),
        (Labels(), "none", "Expected a data set with label. Received: 'drawn' with boxes, box_labels, mask"),
    ],
)
def test_what_cannot_go_together(task, augment, message):
    with pytest.raises(InputError, match=message):
        training_stream(drawn(), StepPlan(10, 4, 1, 32), augment, seed=0, task=task)
    with pytest.raises(InputError, match=message):
        batches(drawn(), "train", image_size=(32, 32), batch_size=4, augment=augment, task=task)


def test_a_set_without_what_is_asked_for(tmp_path):
    with pytest.raises(InputError, match="a class for each pixel: digit_scenes, photo_scenes, .*Received: 'digits'"):
        open_source("digits", tmp_path, targets=("mask",))


def test_take_images_crops_as_evaluation_does():
    source = dataclasses.replace(drawn(), targets=())
    view = {"crop": 0.7, "interpolation": "bicubic"}
    ((images, _),) = batches(source, "test", image_size=(48, 48), batch_size=16, task=Task(), **view)
    taken, labels = take_images(source, "test", 10, (48, 48), **view)
    np.testing.assert_array_equal(images, taken)
    assert (labels == -1).all()
