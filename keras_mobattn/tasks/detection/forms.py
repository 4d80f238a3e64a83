"""What a detector gives, the Keras model and each form of a file, and the objects in it."""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from keras_mobattn.tasks.detection.boxes import CENTER_VARIANCE, SIZE_VARIANCE, decode_boxes, to_corners
from keras_mobattn.tasks.detection.post_process import Rules, in_batches, pick, post_process
from keras_mobattn.tasks.form import IN_FLOAT32, Form

ALL = 1_000_000  # candidates: more than a detector has anchors
# Those of TFLite's operator TFLite_Detection_PostProcess, in its regular form, as `export` writes it.
OPERATOR_RULES = Rules(candidates=ALL, max_objects=100)
# Those of MediaPipe's ObjectDetector for a file that leaves the boxes to it; an app can change the score alone.
MEDIAPIPE_RULES = Rules(candidates=ALL, max_overlap=0.3, max_objects=100, by_class=False, one_class=True)
# Those of Core ML's NonMaximumSuppression (its proto): a box has its most likely class alone.
VISION_RULES = Rules(candidates=ALL, max_objects=100, one_class=True)


@dataclasses.dataclass(frozen=True)
class DetectorForm(Form):
    """A form of a detector's files, with the rules by which its objects are found, in the file or behind it."""

    rules: Rules = Rules()


ENCODED = ("location", "score")  # offsets in MediaPipe's order, and probabilities
FORMS = {
    # At most 100 objects, found by an operator at the file's end, class by class: for the Task Library and MediaPipe
    "nms": DetectorForm(("location", "category", "score", "number"), "TFLite", computed=ENCODED, rules=OPERATOR_RULES),
    # Offsets and probabilities, of which MediaPipe makes objects by the anchors in the file; whole on a GPU
    "anchors": DetectorForm(ENCODED, "TFLite", rules=MEDIAPIPE_RULES),
    # Boxes and probabilities of objects, found by a second model in the package: Vision's recognised objects
    "vision": DetectorForm(
        ("confidence", "coordinates"), "Core ML", True, True, ("all_confidence", "all_coordinates"), VISION_RULES
    ),
    # Offsets and logits, as the Keras model gives them
    "raw": DetectorForm(("boxes", "scores"), None),
}
OFFSETS = "For each anchor four offsets from it"
DESCRIPTIONS = {  # form -> {output: a sentence}
    "nms": {
        "location": "The box of each object: ymin, xmin, ymax, xmax, as shares of the image.",
        "category": "The number of each object's class.",
        "score": "The score of each object, 0..1, the best first.",
        "number": "How many objects there are; behind them come zeros.",
    },
    "anchors": {
        "location": f"{OFFSETS}: center y and x, logarithms of height and width; the anchors are in the metadata.",
        "score": "For each anchor the probability of each class.",
    },
    "vision": {
        "confidence": "For each object the probability of each class.",
        "coordinates": "The box of each object: center x, center y, width, height, as shares of the image.",
    },
    "raw": {
        "boxes": f"{OFFSETS}: center x and y, logarithms of width and height.",
        "scores": "For each anchor a logit for the background, then one for each class.",
    },
}
CLASSES_AT_ONCE = 80  # of a package for Vision; with other numbers it has lost detections (ultralytics#22309)
YXHW = [1, 0, 3, 2]  # places of (center y, center x, height, width) in offsets as the Keras model has them, and back


@dataclasses.dataclass(frozen=True)
class Decoding:
    """How boxes are made of a file's offsets, in what order MediaPipe reads them: (y, x, height, width).

    Attributes:
        anchors: float32 [A, 4] of (center x, center y, width, height).
        scales: what offsets are divided by.
        min_score: below it MediaPipe shows no object, unless it is told another.
    """

    anchors: np.ndarray
    scales: tuple[float, ...] = (1 / CENTER_VARIANCE, 1 / CENTER_VARIANCE, 1 / SIZE_VARIANCE, 1 / SIZE_VARIANCE)
    min_score: float = 0.0

    def corners(self, offsets):
        """The corners [.., A, 4] of offsets [.., A, 4]."""
        own = np.float32([CENTER_VARIANCE, CENTER_VARIANCE, SIZE_VARIANCE, SIZE_VARIANCE])
        offsets = offsets / np.float32(self.scales) / own
        return to_corners(decode_boxes(tf.gather(offsets, YXHW, axis=-1), self.anchors))


def raw_objects(outputs, anchors, rules=Rules()):  # noqa: B008  (frozen)
    """The objects of a batch of {"boxes", "scores"}, as the Keras model gives them: see `in_batches`."""
    return _raw(rules, outputs["scores"].shape[-1])((outputs["boxes"], outputs["scores"]), (anchors,))


def decoded_objects(outputs, decoding, rules=MEDIAPIPE_RULES):
    """The same of {"location", "score"}, offsets in MediaPipe's order and probabilities."""
    corners = decoding.corners(outputs["location"])
    return _decoded(rules, outputs["score"].shape[-1])((corners, outputs["score"]), ())


@functools.cache  # traced once, for the evaluations of all epochs; the graph has a part for each class
def _raw(rules, classes):
    return in_batches(lambda offsets, scores, anchors: post_process(offsets, scores, anchors, rules), rules.max_objects)


@functools.cache
def _decoded(rules, classes):
    return in_batches(lambda corners, scores: pick(corners, scores, rules), rules.max_objects)


def final_objects(outputs):
    """The same of {"location", "category", "score", "number"}, objects that the file has found."""
    boxes, labels, scores, numbers = (np.asarray(outputs[name]) for name in FORMS["nms"].outputs)
    there = np.arange(labels.shape[1])[None] < numbers.reshape(-1, 1)
    labels = np.where(there, labels, -1).astype(np.int32)
    return tuple(map(tf.constant, (np.clip(boxes, 0, 1), labels, np.where(there, scores, 0))))


def vision_outputs(offsets, probabilities, anchors):
    """{"all_confidence" [B, A, K], "all_coordinates" [B, A, 4]}: probabilities, of which the first is the background's
    and is left out, K filled up with zeros to a multiple of CLASSES_AT_ONCE, and boxes (center x, center y, width,
    height) as shares of the image.

    Nothing is sliced along the last axis, which the Neural Engine is on record for getting wrong: a product with zeros
    and ones picks the classes, and boxes are offsets * scale + start + exp(offsets * rate) * size, where scale and
    start are 0 in columns of sizes, rate and size in those of centers. In float16 corners would be off by up to 5e-4 of
    the image, much for small objects: these few operations are computed in float32.
    """
    center, size = np.float32([1, 1, 0, 0]), np.float32([0, 0, 1, 1])
    sides = np.tile(anchors[:, 2:], 2)
    with tf.name_scope(IN_FLOAT32):
        linear = offsets * (center * CENTER_VARIANCE * sides) + center * anchors
        boxes = linear + tf.exp(offsets * (size * SIZE_VARIANCE)) * (size * sides)
    classes = probabilities.shape[-1] - 1
    picked = np.eye(classes + 1, classes + -classes % CLASSES_AT_ONCE, k=-1, dtype=np.float32)
    return {"all_confidence": tf.matmul(probabilities, picked), "all_coordinates": boxes}


def vision_objects(outputs):
    """The objects of a batch of {"confidence" [B, n, K], "coordinates" [B, n, 4]}; rows of zeros are none."""
    scores = tf.reduce_max(outputs["confidence"], -1)
    labels = tf.where(scores > 0, tf.argmax(outputs["confidence"], -1, tf.int32), -1)
    return tf.clip_by_value(to_corners(outputs["coordinates"]), 0, 1), labels, scores
