"""How many of the objects that a model finds another one finds, too."""

import dataclasses

import tensorflow as tf

from keras_mobattn.data.boxes import overlaps

NEAR = 1e-3  # of all corners, a share of the image: boxes at its border may have no area


@dataclasses.dataclass(frozen=True)
class Alike:
    """When objects are the same: of one class, with boxes that overlap by `overlap` (intersection over union) or more,
    and scores that differ by `score` at most."""

    overlap: float
    score: float


EXACT, ROUGH = Alike(0.99, 0.01), Alike(0.9, 0.1)  # of files that compute as Keras but for rounding, and of others


def same_objects(one, other, alike=EXACT, least=0.0, other_least=None):
    """The share of objects in two batches, (corners [B, n, 4], labels [B, n], scores [B, n]) each, that both have.

    Those with scores below `least` and `other_least` (as `least`) don't count, but for objects of the other batch that
    are near it. None where there are none.
    """
    other_least = least if other_least is None else other_least
    shared = total = 0
    for first, second in zip(zip(*one, strict=True), zip(*other, strict=True), strict=True):
        pairs = _pairs(first, second, alike)
        here, there = _counted(first, least), _counted(second, other_least)
        nearly_here, nearly_there = _counted(first, least - alike.score), _counted(second, other_least - alike.score)
        ours = here & tf.reduce_any(pairs & nearly_there[None], 1)
        theirs = there & tf.reduce_any(pairs & nearly_here[:, None], 0)
        shared += _number(ours) + _number(theirs)
        total += _number(here) + _number(there)
    return shared / total if total else None


def _number(marked):
    return int(tf.reduce_sum(tf.cast(marked, tf.int32)))


def _counted(found, least):
    _, labels, scores = found
    return (labels >= 0) & (scores >= least)


def _pairs(first, second, alike):
    """Whether each object of one image is each of another's."""
    (boxes, labels, scores), (other_boxes, other_labels, other_scores) = first, second
    near = overlaps(boxes / NEAR, other_boxes / NEAR) >= alike.overlap  # as if in pixels of a large image
    near |= tf.reduce_max(tf.abs(boxes[:, None] - other_boxes), -1) <= NEAR
    return near & (labels[:, None] == other_labels) & (tf.abs(scores[:, None] - other_scores) <= alike.score)
