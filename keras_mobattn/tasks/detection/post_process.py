"""From a detector's raw outputs to objects: scores, boxes, and of boxes that overlap the best (cvnets' `ssd.py`)."""

import dataclasses

import tensorflow as tf

from keras_mobattn.tasks.detection.boxes import decode_boxes, to_corners


@dataclasses.dataclass(frozen=True)
class Rules:
    """Which boxes remain. The defaults are apple/ml-cvnets' for SSD.

    min_score: below it a box is none. candidates: boxes of a class, the best ones, that are compared with one another.
    max_overlap: intersection over union with a better box of the same class, above which one is left out.
    max_objects: in an image, of all classes, the best ones.
    """

    min_score: float = 0.01
    candidates: int = 400
    max_overlap: float = 0.5
    max_objects: int = 200


def post_process(offsets, scores, anchors, rules=Rules()):  # noqa: B008  (frozen)
    """The objects of one image: (corners float32 [n, 4] within 0..1, labels int32 [n], scores float32 [n]), the best
    first.

    `offsets` [A, 4] and `scores` [A, 1 + K], logits with the background first, are a detector's outputs, `anchors` its
    centers [A, 4]. Each class is looked at by itself, so that an anchor may be several objects.
    """
    corners = to_corners(decode_boxes(offsets, anchors))
    by_class = tf.transpose(tf.nn.softmax(scores)[:, 1:])  # [K, A]
    best, where = tf.math.top_k(by_class, tf.minimum(rules.candidates, tf.shape(by_class)[1]))
    kept = [tf.zeros((0,), tf.float32), tf.zeros((0,), tf.int32), tf.zeros((0, 4), tf.float32)]
    for label in range(by_class.shape[0]):
        boxes = tf.gather(corners, where[label])
        chosen = tf.image.non_max_suppression(boxes, best[label], rules.candidates, rules.max_overlap, rules.min_score)
        found = tf.gather(best[label], chosen), tf.fill(tf.shape(chosen), label), tf.gather(boxes, chosen)
        kept = [tf.concat(pair, 0) for pair in zip(kept, found, strict=True)]
    scores, labels, boxes = kept
    order = tf.argsort(scores, direction="DESCENDING", stable=True)[: rules.max_objects]
    return tf.clip_by_value(tf.gather(boxes, order), 0, 1), tf.gather(labels, order), tf.gather(scores, order)


def finder(anchors, rules=Rules()):  # noqa: B008  (frozen)
    """A function (offsets [B, A, 4], scores [B, A, 1 + K]) -> `post_process` of each image of a batch: corners [B, n,
    4], labels [B, n] and scores [B, n], where n is `rules.max_objects`. Places without an object have the label -1."""
    anchors = tf.constant(anchors)

    def one(outputs):
        boxes, labels, scores = post_process(*outputs, anchors, rules)
        room = rules.max_objects - tf.shape(labels)[0]
        filled = tf.pad(boxes, [[0, room], [0, 0]]), tf.pad(labels, [[0, room]], constant_values=-1)
        return *filled, tf.pad(scores, [[0, room]])

    count = rules.max_objects
    kinds = (
        tf.TensorSpec((count, 4), tf.float32),
        tf.TensorSpec((count,), tf.int32),
        tf.TensorSpec((count,), tf.float32),
    )

    @tf.function(reduce_retracing=True)
    def find(offsets, scores):
        return tf.map_fn(one, (offsets, scores), fn_output_signature=kinds)

    return find
