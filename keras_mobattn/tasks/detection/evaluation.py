"""COCO's figures of a detector on a whole split (arXiv:1405.0312), by pycocotools, the reference."""

import contextlib
import functools
import io

import numpy as np
import tensorflow as tf

from keras_mobattn._packages import needs
from keras_mobattn.data.boxes import overlaps
from keras_mobattn.errors import InputError
from keras_mobattn.tasks.detection.draw import draw_boxes
from keras_mobattn.tasks.detection.matcher import ENOUGH
from keras_mobattn.tasks.known_classes import expect_known

# Figure -> its place among those that COCOeval.summarize makes; -1 there means that no object is of the kind.
FIGURES = {"map": 0, "map50": 1, "map75": 2, "map_small": 3, "map_medium": 4, "map_large": 5, "recall": 8}
TITLES = {
    "map": "mAP, IoU .50 to .95",
    "map50": "AP50",
    "map75": "AP75",
    "map_small": "mAP, below 32 x 32 pixels",
    "map_medium": "mAP, up to 96 x 96 pixels",
    "map_large": "mAP, larger",
    "recall": "recall, 100 boxes an image",
}
RIGHT, MISSED, FALSE = "#1fa463", "#e5484d", "#f0852d"  # colours of boxes
HALF, ALL_AREAS, MOST = 0, 0, -1  # places in COCOeval's arrays: IoU .5, objects of all sizes, 100 boxes an image


class DetectionTally:
    """Adds up objects and what was found.

    The result: {"map", "map50", "map75", "recall": float in 0..1, and "map_small", "map_medium", "map_large" where
    there are such objects; "num_images": int, "objects": int [K] of each class, "class_map" and "class_map50": float
    [K], NaN without objects, "precision": float [101] at IoU .5 by recall 0, .01 .. 1, the mean over classes,
    "images": [(boxes, labels, found boxes, found labels, scores)] with corners as shares}.

    Sizes are those of the box in the pixels of the image as it was before it was resized; COCO's own go by the area of
    the object's outline.
    """

    def __init__(self, class_names, find):
        """`find(outputs)` gives the objects of a batch, see `Detection.find`."""
        self._class_names = class_names
        self._find = find
        self._images, self._sides = [], []

    def add(self, learned, outputs):
        """Add a batch: labels with the task's `truth`, and raw outputs.

        Raises:
            InputError: an object of a class that the images don't have.
        """
        found = [each.numpy() for each in self._find(outputs)]
        expect_known(found[1], self._class_names)
        truth = [np.asarray(learned[name]) for name in ("boxes", "box_labels")]
        self._sides += list(np.asarray(learned["sides"]))
        for boxes, labels, *seen in zip(*truth, *found, strict=True):
            real, there = labels >= 0, seen[1] >= 0
            self._images.append((boxes[real], labels[real].astype(np.int64), *(each[there] for each in seen)))

    def result(self):
        """The figures of all that was added.

        Raises:
            InputError: no image has a box, so that there is nothing to find.
        """
        count = len(self._class_names)
        objects = np.bincount(np.concatenate([labels for _, labels, *_ in self._images]), minlength=count)
        if not objects.sum():
            raise InputError(
                f"Expected boxes among the {len(self._images)} images to evaluate on. Received: none. Take others."
            )
        evaluated = _evaluated(self._images, self._sides, count)
        stats, precision = evaluated.stats, evaluated.eval["precision"][..., ALL_AREAS, MOST]  # [IoU, recall, K]
        by_class = np.where(objects, precision.mean((0, 1)), np.nan)
        return {
            **{name: float(stats[place]) for name, place in FIGURES.items() if stats[place] >= 0},
            "num_images": len(self._images),
            "objects": objects,
            "class_map": by_class,
            "class_map50": np.where(objects, precision[HALF].mean(0), np.nan),
            "precision": precision[HALF][:, objects > 0].mean(1),
            "images": self._images,
        }


def _evaluated(images, sides, count):
    """A COCOeval with its stats."""
    needs("pycocotools")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    annotations, found = [], []
    for number, ((boxes, labels, found_boxes, found_labels, scores), size) in enumerate(
        zip(images, sides, strict=True), 1
    ):
        for bbox, label in zip(as_bbox(boxes, size), labels, strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": int(label) + 1,
                    "bbox": bbox.tolist(),
                    "area": float(bbox[2] * bbox[3]),
                    "iscrowd": 0,
                }
            )
        columns = np.full(len(scores), number), *as_bbox(found_boxes, size).T, scores, found_labels + 1
        found.append(np.stack(columns, 1))
    found = np.concatenate(found)
    if not len(found):  # loadRes takes no empty list; this one is as good as none
        found = np.array([[1, 0, 0, 0, 0, 0, 1]], np.float64)
    truth = COCO()
    truth.dataset = {
        "images": [{"id": number + 1} for number in range(len(images))],
        "annotations": annotations,
        "categories": [{"id": number + 1} for number in range(count)],
    }
    with contextlib.redirect_stdout(io.StringIO()):  # it says how long each step took
        truth.createIndex()
        evaluated = COCOeval(truth, truth.loadRes(found), "bbox")
        evaluated.evaluate()
        evaluated.accumulate()
        evaluated.summarize()
    return evaluated


def as_bbox(corners, sides):
    """Corners [n, 4] in shares of (height, width) pixels as COCO writes boxes: (x, y, width, height) in pixels."""
    top, left, bottom, right = (np.asarray(corners, np.float64).reshape(-1, 4) * np.tile(sides, 2)).T
    return np.stack([left, top, right - left, bottom - top], 1)


def figures_by_class(result, class_names):
    """Columns and rows of objects, mAP and AP50 for each class, and for all."""
    figures = zip(class_names, result["objects"], result["class_map"], result["class_map50"], strict=True)
    rows = [
        (name, int(objects), *(f"{100 * share:.1f}" if objects else "-" for share in shares))
        for name, objects, *shares in figures
    ]
    whole = (f"{100 * result[name]:.1f}" for name in ("map", "map50"))
    return ("class", "objects", "mAP %", "AP50 %"), [*rows, ("all", int(result["objects"].sum()), *whole)]


def misses(result, class_names, min_score):
    """The images with most objects that were missed and boxes that are none, as `Task.worst` wants them.

    A box from `min_score` on is right where it overlaps an object of its class by half that no better box has.
    """
    found = []
    for index, (boxes, labels, *seen) in enumerate(result["images"]):
        enough = seen[2] >= min_score
        seen = [each[enough] for each in seen]
        right = _right(boxes, labels, *seen)
        missed = [place for place in range(len(boxes)) if place not in right.values()]
        false = [place for place in range(len(seen[0])) if place not in right]
        if missed or false:
            caption = f"{len(missed)} missed,\n{len(false)} false"
            draw = functools.partial(_draw, (boxes, labels, missed), (*seen, false), class_names)
            found.append((len(missed) + len(false), index, caption, draw))
    return [rest for _, *rest in sorted(found, key=lambda each: -each[0])]


def _right(boxes, labels, found, found_labels, scores):
    """{place of a found box: place of its object}; found boxes come by score, the best first."""
    if not len(boxes) or not len(found):
        return {}
    shared = overlaps(tf.constant(found), tf.constant(boxes)).numpy() * (found_labels[:, None] == labels)
    pairs = {}
    for place, row in enumerate(shared):
        near = [other for other in np.argsort(-row, kind="stable") if row[other] >= ENOUGH]
        free = [other for other in near if other not in pairs.values()]
        pairs |= {place: int(free[0])} if free else {}
    return pairs


def _draw(truth, seen, class_names, image):
    """The image with what was found and right, missed, and found and false."""
    boxes, labels, missed = truth
    found, found_labels, scores, false = seen
    sides = np.tile(image.shape[:2], 2)
    rows = [(found[place], RIGHT, "") for place in range(len(found)) if place not in false]
    rows += [(boxes[place], MISSED, class_names[labels[place]]) for place in missed]
    rows += [(found[place], FALSE, f"{class_names[found_labels[place]]} {scores[place]:.2f}") for place in false]
    each = list(zip(*rows, strict=True)) or ((), (), ())
    return draw_boxes(image, [box * sides for box in each[0]], *each[1:])
