"""What remains of a detector's raw outputs, against loops written from cvnets' description."""

import numpy as np
import pytest

from keras_mobattn.tasks.detection.anchors import anchor_boxes, level_maps, ssd_sizes
from keras_mobattn.tasks.detection.boxes import decode_boxes, to_corners
from keras_mobattn.tasks.detection.forms import raw_objects
from keras_mobattn.tasks.detection.post_process import Rules, post_process

ANCHORS = anchor_boxes([(7, 11), (5, 3), (1, 1)], ssd_sizes(3))
CLASSES = 3


def outputs(seed, confidence):
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, confidence, (len(ANCHORS), CLASSES + 1)).astype(np.float32)
    return rng.normal(0, 1, (len(ANCHORS), 4)).astype(np.float32), scores


def overlap(one, other):
    sides = [max(min(one[i + 2], other[i + 2]) - max(one[i], other[i]), 0) for i in (0, 1)]
    shared = sides[0] * sides[1]
    return shared / (sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - shared)


def expected(offsets, scores, rules):
    """[(score, label, corners)], the best first."""
    corners = to_corners(decode_boxes(offsets, ANCHORS)).numpy().astype(np.float64)
    shares = np.exp(scores.astype(np.float64))
    shares /= shares.sum(-1, keepdims=True)
    kept = []
    for label in range(CLASSES):
        order = np.argsort(-shares[:, label + 1], kind="stable")[: rules.candidates]
        chosen = []
        for anchor in order[shares[order, label + 1] > rules.min_score]:
            if all(overlap(corners[anchor], corners[other]) <= rules.max_overlap for other in chosen):
                chosen.append(anchor)
        kept += [(shares[anchor, label + 1], label, corners[anchor]) for anchor in chosen]
    return sorted(kept, key=lambda each: -each[0])[: rules.max_objects]


@pytest.mark.parametrize(
    "rules", [Rules(), Rules(min_score=0.3), Rules(candidates=20), Rules(max_overlap=0.2), Rules(max_objects=7)]
)
@pytest.mark.parametrize("confidence", [0.5, 4.0])
def test_objects(rules, confidence):
    offsets, scores = outputs(1, confidence)
    wanted = expected(offsets, scores, rules)
    boxes, labels, found = (each.numpy() for each in post_process(offsets, scores, ANCHORS, rules))
    np.testing.assert_allclose(found, [score for score, _, _ in wanted], rtol=1e-4)
    np.testing.assert_array_equal(labels, [label for _, label, _ in wanted])
    np.testing.assert_allclose(boxes, np.clip([box for _, _, box in wanted], 0, 1), atol=1e-4)
    assert len(wanted) > 5


def test_no_object():
    offsets, scores = outputs(2, 1.0)
    scores[:, 0] = 50
    boxes, labels, found = post_process(offsets, scores, ANCHORS)
    assert (boxes.shape, labels.shape, found.shape) == ((0, 4), (0,), (0,))


def test_detectors_of_other_classes_and_sizes_in_turns():
    """What one detector had traced is no other's."""
    rng = np.random.default_rng(0)
    for classes, side, batch in ((3, 64, 2), (5, 64, 2), (3, 128, 1), (5, 128, 3), (2, 64, 1)):
        maps = level_maps((side, side), (16, 32))
        anchors = anchor_boxes(maps, ssd_sizes(3))
        offsets = rng.normal(size=(batch, len(anchors), 4)).astype(np.float32)
        scores = rng.normal(0, 3, (batch, len(anchors), classes + 1)).astype(np.float32)
        boxes, labels, found = raw_objects({"boxes": offsets, "scores": scores}, anchors)
        for index in range(batch):
            alone = post_process(offsets[index], scores[index], anchors)
            count = len(alone[1])
            np.testing.assert_array_equal(labels[index, :count], alone[1])
            assert (labels[index, count:].numpy() == -1).all()
            np.testing.assert_allclose(boxes[index, :count], alone[0], atol=1e-6)
            np.testing.assert_allclose(found[index, :count], alone[2], atol=1e-6)
