"""From a detector's outputs to objects: scores, boxes, and of boxes that overlap the best (cvnets' `ssd.py`)."""

import dataclasses

import tensorflow as tf

from keras_mobattn.tasks.detection.boxes import decode_boxes, to_corners


@dataclasses.dataclass(frozen=True)
class Rules:
    """Which boxes remain. The defaults are apple/ml-cvnets' for SSD.

    min_score: below it a box is none. candidates: boxes of a class, the best ones, that are compared with one another.
    max_overlap: intersection over union with a better box, above which one is left out. max_objects: in an image, of
    all classes, the best ones. by_class: whether that better box has to be of the same class. one_class: whether an
    anchor has its most likely class alone; else it may be several objects.
    """

    min_score: float = 0.01
    candidates: int = 400
    max_overlap: float = 0.5
    max_objects: int = 200
    by_class: bool = True
    one_class: bool = False


def from_score(rules, min_score):
    """The rules, or with a lower score where `min_score` is below theirs: boxes above it are left out later."""
    return rules if min_score >= rules.min_score else dataclasses.replace(rules, min_score=min_score)


def post_process(offsets, scores, anchors, rules=Rules()):  # noqa: B008  (frozen)
    """The objects of one image: (corners float32 [n, 4] within 0..1, labels int32 [n], scores float32 [n]), the best
    first.

    `offsets` [A, 4] and `scores` [A, 1 + K], logits with the background first, are a detector's outputs, `anchors` its
    centers [A, 4].
    """
    return pick(to_corners(decode_boxes(offsets, anchors)), tf.nn.softmax(scores)[:, 1:], rules)


def pick(corners, probabilities, rules=Rules()):  # noqa: B008
    """The same from boxes, corners [A, 4], and the probability of each class, [A, K]."""
    if rules.one_class:
        labels, scores = tf.argmax(probabilities, -1, tf.int32), tf.reduce_max(probabilities, -1)
        boxes, labels, scores = _best(corners, labels, scores, rules)
    else:
        alike = tf.fill(tf.shape(corners)[:1], 0)
        count = probabilities.shape[-1]
        by_class = [_best(corners, alike + label, probabilities[:, label], rules) for label in range(count)]
        boxes, labels, scores = (tf.concat(parts, 0) for parts in zip(*by_class, strict=True))
    order = tf.argsort(scores, direction="DESCENDING", stable=True)[: rules.max_objects]
    return tf.clip_by_value(tf.gather(boxes, order), 0, 1), tf.gather(labels, order), tf.gather(scores, order)


def _best(corners, labels, scores, rules):
    """What of boxes with one class each remains."""
    best, where = tf.math.top_k(scores, tf.minimum(rules.candidates, tf.shape(scores)[0]))
    boxes, labels = tf.gather(corners, where), tf.gather(labels, where)
    apart = boxes
    if rules.by_class and rules.one_class:  # so far from one another that boxes of two classes have nothing in common
        width = tf.reduce_max(tf.abs(corners)) * 2 + 1
        apart = boxes + width * tf.cast(labels, tf.float32)[:, None]
    chosen = tf.image.non_max_suppression(apart, best, rules.candidates, rules.max_overlap, rules.min_score)
    return tf.gather(boxes, chosen), tf.gather(labels, chosen), tf.gather(best, chosen)


def in_batches(one, count):
    """A function of batches, made of `one` of an image, which gives (corners, labels, scores) of at most `count`.

    It takes the arguments of `one` that there are for each image, a tuple, and those that are the same for all. It
    gives corners [B, count, 4], labels [B, count] and scores [B, count]; places without an object have the label -1.
    """

    def filled(outputs, shared):
        boxes, labels, scores = one(*outputs, *shared)
        room = count - tf.shape(labels)[0]
        padded = tf.pad(boxes, [[0, room], [0, 0]]), tf.pad(labels, [[0, room]], constant_values=-1)
        return *padded, tf.pad(scores, [[0, room]])

    kinds = (
        tf.TensorSpec((count, 4), tf.float32),
        tf.TensorSpec((count,), tf.int32),
        tf.TensorSpec((count,), tf.float32),
    )

    @tf.function(reduce_retracing=True)
    def find(outputs, shared):
        return tf.map_fn(lambda each: filled(each, shared), outputs, fn_output_signature=kinds)

    return find
