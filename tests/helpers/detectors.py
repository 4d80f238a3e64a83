"""A small detector, images, and what the rules of a form find in them, in numpy."""

import numpy as np

import keras_mobattn
from keras_mobattn.data import sample_photos
from keras_mobattn.models import known_range
from keras_mobattn.tasks.detection import SSDLite, anchors_of
from keras_mobattn.tasks.detection.boxes import decode_boxes, to_corners

SIDES = (64, 128)
NAMES = ("ant", "bee", "cat", "dog", "eel")
IMAGES = sample_photos(4, SIDES).astype(np.float32)


def detector():
    """A detector of NAMES with random weights."""
    backbone = keras_mobattn.MobileViTv2(variant="test", width=0.5, include_top=False, input_shape=(*SIDES, 3))
    return keras_mobattn.randomize_weights(SSDLite(backbone, len(NAMES)), 1)


def expected_objects(model, image, rules):
    """What the rules of a form make of Keras's raw outputs, in numpy: [(class, score, corners in shares)], by score."""
    outputs = {name: value.numpy()[0] for name, value in model(known_range(model).from_pixels(image[None])).items()}
    exponentials = np.exp(outputs["scores"] - outputs["scores"].max(-1, keepdims=True), dtype=np.float64)
    probabilities = (exponentials / exponentials.sum(-1, keepdims=True))[:, 1:]
    corners = to_corners(decode_boxes(outputs["boxes"], anchors_of(model))).numpy()
    if not rules.one_class:
        pairs = [(label, anchor) for label in range(len(NAMES)) for anchor in range(len(corners))]
    else:
        pairs = [(probabilities[anchor].argmax(), anchor) for anchor in range(len(corners))]
    pairs = [pair for pair in pairs if probabilities[pair[::-1]] >= rules.min_score]
    found = []
    for label, anchor in sorted(pairs, key=lambda pair: -probabilities[pair[::-1]]):
        better = [kept for kept in found if kept[0] == label or not rules.by_class]
        if all(overlap(corners[anchor], other[2]) <= rules.max_overlap for other in better):
            found.append((label, probabilities[anchor, label], corners[anchor]))
    return found[: rules.max_objects]


def overlap(one, other):
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = np.prod(np.maximum(sides, 0))
    return shared / (np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - shared)
