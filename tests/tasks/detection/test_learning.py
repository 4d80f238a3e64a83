"""Boxes, matching and loss against float64 loops written from their descriptions."""

import numpy as np
import pytest

from keras_mobattn.data.boxes import overlaps
from keras_mobattn.tasks.detection.anchors import anchor_boxes, ssd_sizes
from keras_mobattn.tasks.detection.boxes import decode_boxes, encode_boxes, to_centers, to_corners
from keras_mobattn.tasks.detection.loss import NEGATIVES, hard_negatives, ssd_losses
from keras_mobattn.tasks.detection.matcher import match

ANCHORS = anchor_boxes([(7, 11), (5, 3), (1, 1)], ssd_sizes(3))  # prime sides
CLASSES = 5


def objects(count, seed=0, least=0.02):
    """Corners float32 [count, 4] and labels."""
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.uniform(0, 1, (count, 2, 2)), 1).reshape(count, 4)
    corners[:, 2:] = np.maximum(corners[:, 2:], corners[:, :2] + least)
    return corners.astype(np.float32), rng.integers(0, CLASSES, count)


def overlap(one, other):
    """Of two corners, in float64."""
    sides = [max(min(one[i + 2], other[i + 2]) - max(one[i], other[i]), 0) for i in (0, 1)]
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return sides[0] * sides[1] / (sum(areas) - sides[0] * sides[1] + 1e-5)


def test_overlaps():
    one, other = (objects(count, seed)[0] for seed, count in enumerate((7, 13)))
    expected = [[overlap(a, b) for b in other.astype(np.float64)] for a in one.astype(np.float64)]
    np.testing.assert_allclose(overlaps(one, other), expected, atol=1e-6)
    assert np.max(expected) > 0.3


def test_boxes_there_and_back():
    corners, _ = objects(len(ANCHORS))
    np.testing.assert_allclose(to_corners(to_centers(corners)), corners, atol=1e-6)
    offsets = encode_boxes(to_centers(corners), ANCHORS).numpy()
    for (top, left, bottom, right), anchor, offset in zip(corners, ANCHORS.astype(np.float64), offsets, strict=True):
        x, y, width, height = anchor
        expected = [
            ((left + right) / 2 - x) / width / 0.1,
            ((top + bottom) / 2 - y) / height / 0.1,
            np.log((right - left) / width) / 0.2,
            np.log((bottom - top) / height) / 0.2,
        ]
        np.testing.assert_allclose(offset, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(to_corners(decode_boxes(offsets, ANCHORS)), corners, atol=1e-5)


def matched(boxes, labels):
    """The object of each anchor, -1 for the background, one after the other."""
    # Of ours, tested above: anchors of one size, turned, overlap an object equally, but for rounding.
    shared = overlaps(boxes, to_corners(ANCHORS)).numpy()
    taken = np.full(len(ANCHORS), -1)
    if len(boxes):
        taken = np.where(shared.max(0) >= 0.5, shared.argmax(0), -1)
    for number in range(len(boxes)):
        taken[shared[number].argmax()] = number
    return taken


SAME = np.float32([[0.1, 0.1, 0.4, 0.4]] * 3)
IMAGES = {
    "no object": objects(0),
    "one": objects(1),
    "several": objects(9, seed=2),
    "a thousand": objects(1000, seed=3),
    "one anchor for three": (SAME, np.array([4, 0, 2])),
    "one that no anchor has half of": (np.float32([[0.5, 0.5, 0.51, 0.9]]), np.array([3])),
}


@pytest.mark.parametrize("name", IMAGES)
def test_matching(name):
    boxes, labels = IMAGES[name]
    taken = matched(boxes, labels)
    classes, offsets = (each.numpy() for each in match(boxes, labels, ANCHORS))
    np.testing.assert_array_equal(classes, np.where(taken < 0, 0, labels[taken] + 1 if len(labels) else 0))
    learns = taken >= 0
    if learns.any():
        expected = encode_boxes(to_centers(boxes[taken[learns]]), ANCHORS[learns])
        np.testing.assert_allclose(offsets[learns], expected, rtol=1e-5, atol=1e-5)
    assert not offsets[~learns].any()
    assert len(boxes) == 0 or learns.any()


def test_what_fills_up_a_batch_is_no_object():
    boxes, labels = objects(4)
    padded = np.concatenate([boxes, np.zeros((3, 4), np.float32)]), np.concatenate([labels, [-1] * 3])
    for one, other in zip(match(boxes, labels, ANCHORS), match(*padded, ANCHORS), strict=True):
        np.testing.assert_array_equal(one, other)


def test_of_three_that_want_an_anchor_the_last_has_it():
    classes, _ = match(*IMAGES["one anchor for three"], ANCHORS)
    assert set(classes.numpy()) <= {0, 3, 5}  # the last by force, the first where half is overlapped
    assert 3 in classes.numpy()


def log_softmax(logits):
    largest = logits.max()
    return logits - largest - np.log(np.exp(logits - largest).sum())


def test_the_loss():
    rng = np.random.default_rng(4)
    images = [IMAGES[name] for name in ("several", "no object", "one")]
    classes, offsets = (np.stack(each) for each in zip(*(match(*image, ANCHORS) for image in images), strict=True))
    scores = rng.normal(0, 2, (*classes.shape, CLASSES + 1)).astype(np.float32)
    predicted = offsets + rng.normal(0, 1.5, offsets.shape).astype(np.float32)
    sums = []
    for image in range(len(images)):
        logs = [log_softmax(each) for each in scores[image].astype(np.float64)]
        positive = np.flatnonzero(classes[image])
        negative = sorted(np.flatnonzero(classes[image] == 0), key=lambda anchor: logs[anchor][0])
        total = -sum(logs[anchor][classes[image][anchor]] for anchor in positive)
        total -= sum(logs[anchor][0] for anchor in negative[: 3 * len(positive)])
        for off in np.abs(offsets[image][positive] - predicted[image][positive]).astype(np.float64).ravel():
            total += off * off / 2 if off < 1 else off - 0.5
        sums.append(total)
    losses = ssd_losses(classes, offsets, scores, predicted).numpy()
    np.testing.assert_allclose(losses.mean(), sum(sums) / (classes > 0).sum(), rtol=1e-5)
    np.testing.assert_allclose(losses, np.array(sums) * len(images) / (classes > 0).sum(), rtol=1e-5)
    assert sums[1] == losses[1] == 0  # without objects nothing is learnt


def test_a_batch_without_objects_has_no_loss():
    classes, offsets = match(*IMAGES["no object"], ANCHORS)
    scores = np.ones((1, len(ANCHORS), CLASSES + 1), np.float32)
    assert ssd_losses(classes[None], offsets[None], scores, offsets[None]).numpy().tolist() == [0.0]


def test_negatives_are_the_hardest():
    positive = np.array([[True, False, False, True, False, False, False, False], [False] * 8])
    entropy = np.float32([[9, 1, 5, 9, 3, 3, 8, 0], [7] * 8])
    chosen = hard_negatives(positive, entropy).numpy()
    assert NEGATIVES * positive[0].sum() == (~positive[0]).sum()
    np.testing.assert_array_equal(chosen[0], ~positive[0])
    assert not chosen[1].any()
    one = np.array([[True, *[False] * 7]])
    np.testing.assert_array_equal(np.flatnonzero(hard_negatives(one, entropy[:1])[0]), [2, 3, 6])
