"""The task of boxes around objects, with a class for each."""

import functools

import numpy as np
import rich.markup
import rich.table
import tensorflow as tf

from keras_mobattn.data.targets import SIDES
from keras_mobattn.errors import InputError
from keras_mobattn.tasks.detection.anchors import anchor_boxes, level_maps, ssd_sizes
from keras_mobattn.tasks.detection.detect import MIN_SCORE, objects_of
from keras_mobattn.tasks.detection.draw import colours_of, draw_boxes
from keras_mobattn.tasks.detection.evaluation import TITLES, DetectionTally, as_bbox, figures_by_class, misses
from keras_mobattn.tasks.detection.fit_anchors import coverage, fit_sizes
from keras_mobattn.tasks.detection.loss import ssd_losses
from keras_mobattn.tasks.detection.matcher import ENOUGH, match
from keras_mobattn.tasks.detection.post_process import finder
from keras_mobattn.tasks.detection.ssdlite import WIDTHS, SSDLite, is_detector, maps_and_sizes, strides_from
from keras_mobattn.tasks.detection.start import is_detector_file, sizes_of_file, start_from
from keras_mobattn.tasks.task import Objective, Task, table_by_class


class DetectionLoss(Objective):
    """SSD's loss, see `loss.ssd_losses`."""

    def losses(self, learned, outputs):
        """Losses float32 [B] from what `Detection.encode` gives, and the model's outputs."""
        return ssd_losses(learned["classes"], learned["offsets"], outputs["scores"], outputs["boxes"])


class Detection(Task):
    """Boxes around objects. The model is an SSDLite, whose raw outputs are {"boxes", "scores"}.

    Its anchors belong to it: `fitted` takes them from a run's settings and training images, `for_model` from a model.

    Attributes:
        maps: (height, width) of each level; None before either.
        sizes: of each level's anchors.
        anchors: float32 [A, 4].
        min_score: of the objects that are shown.
    """

    title = "Object detector"
    targets = ("boxes", "box_labels")
    truth = ("boxes", "box_labels", SIDES)
    whole_image = True
    evaluates_whole = True
    best = "map"
    higher_is_better = True
    titles = TITLES
    legend = "Red: objects that were missed. Orange: boxes that are none, with their score. Green: right."
    augment = "ssd"

    def __init__(self, maps=None, sizes=None, min_score=MIN_SCORE):
        self.maps, self.sizes, self.min_score = maps, sizes, min_score
        self.anchors = None if maps is None else anchor_boxes(maps, sizes)

    # The model

    def expect_settings(self, settings):
        """Refuse settings that mean nothing to a detector."""
        wanted = {"label_smoothing": 0, "test_crop": 1, "teacher": None, "class_weights": False, "sizes": ()}
        for name, value in wanted.items():
            if (given := getattr(settings, name)) != value:
                raise InputError(f"Expected {name}={value!r} for a detector. Received: {given!r}. Leave it out.")

    def fitted(self, settings, source, say):
        """The task with its anchors: those of the weights that it starts from, where these are a detector's; else as
        `settings.anchors` says."""
        strides = strides_from(settings.finest_stride)
        maps = level_maps(settings.image_shape, strides)
        if settings.weights is not None and self.is_whole(settings.weights):
            sizes, whose = sizes_of_file(settings.weights), f"Anchors of {settings.weights}"
            if len(sizes) != len(maps):
                raise InputError(
                    f"Expected weights of a detector with {len(maps)} levels. Received: {settings.weights} with "
                    f"{len(sizes)}. Take its finest_stride, another one than {settings.finest_stride}."
                )
        else:
            boxes = training_boxes(source)
            fits = settings.anchors == "fit"
            sizes = fit_sizes(boxes, maps) if fits else ssd_sizes(len(maps))
            whose = "Anchors fitted to the boxes" if fits else "SSD's anchors"
            share = coverage(boxes, maps, sizes)
            say(f"{whose}: {100 * share:.0f} % of {len(boxes):,} have one that overlaps them by {ENOUGH} (IoU).")
        return Detection(maps, sizes)

    @property
    def facts(self):
        """Maps and sizes."""
        return {} if self.maps is None else {"maps": self.maps, "sizes": self.sizes}

    def from_facts(self, facts):
        """The task with such maps and sizes."""
        maps, sizes = (facts.get(name) for name in ("maps", "sizes"))
        return self if maps is None else Detection([tuple(each) for each in maps], sizes)

    def for_model(self, model):
        """The task with the anchors of an SSDLite."""
        return Detection(*maps_and_sizes(model))

    def is_whole(self, weights):
        """Whether `weights` is the file of a detector."""
        return is_detector_file(weights)

    def load_whole(self, model, weights, class_names):
        """Fill `model` from the file of a detector; classes go by their names."""
        start_from(model, weights, class_names)

    def build(self, make, class_names):
        """An SSDLite on the family's backbone."""
        strides = tuple(WIDTHS)[-(len(self.sizes) - 1) :]  # the last size is the whole map's
        return SSDLite(make(include_top=False), len(class_names), self.sizes, strides=strides)

    def recognises(self, model):
        """Whether it has the outputs and the layers of an SSDLite."""
        return is_detector(model)

    def count_classes(self, output_shape):
        """The number of logits of an anchor, without the background."""
        return output_shape["scores"][-1] - 1

    def expect_model(self, model, source):
        """Refuse a model with another number of classes than the source, or of other anchors than the task's."""
        shapes, classes = model.output_shape, len(source.class_names)
        scores = tuple(shapes["scores"]) if isinstance(shapes, dict) and "scores" in shapes else shapes
        if self.anchors is None or scores[1:] != (len(self.anchors), classes + 1):
            raise InputError(
                f"Expected a detector of the {classes} classes of {source.name!r}. Received: {model.name} with outputs "
                f"{shapes}."
            )

    # Learning

    def encode(self, images, targets, source):
        """What each anchor learns, {"classes" int32 [B, A], "offsets" float32 [B, A, 4]}, see `matcher.match`; the
        boxes themselves as long as there are no anchors."""
        if self.anchors is None:
            return {name: targets[name] for name in self.targets}
        count = len(self.anchors)
        kinds = tf.TensorSpec((count,), tf.int32), tf.TensorSpec((count, 4), tf.float32)
        classes, offsets = tf.map_fn(
            lambda each: match(*each, self.anchors),
            (targets["boxes"], targets["box_labels"]),
            fn_output_signature=kinds,
        )
        return {"classes": classes, "offsets": offsets}

    def objective(self, settings, class_names):
        """DetectionLoss."""
        return DetectionLoss()

    # Evaluation

    def tally(self, class_names):
        """COCO's figures."""
        return DetectionTally(class_names, self._find)

    @functools.cached_property
    def _find(self):
        """Traced once, for the evaluations of all epochs."""
        return finder(self.anchors)

    def report(self, title, result, class_names, published=None):
        """A table by class, and a line for each of COCO's figures."""
        lines = [f"{what}: {100 * result[name]:.2f} %" for name, what in TITLES.items() if name in result]
        return [table_by_class(title, *self.class_table(result, class_names)), *lines]

    def class_table(self, result, class_names):
        """Objects, mAP and AP50."""
        return figures_by_class(result, class_names)

    def worst(self, result, class_names):
        """The images with most misses."""
        return misses(result, class_names, self.min_score)

    def last_words(self, result):
        """A phrase with the mAP on the test images."""
        return f"Test mAP {100 * result['test_map']:.2f} %"

    def objects(self, outputs, sides=None):
        """The Objects in the outputs for one image; in shares of its sides where these are not told."""
        return objects_of(outputs, self.anchors, sides or (1, 1), self.min_score)

    def record(self, outputs, class_names, top, sides=None):
        """{"objects": [{"class", "score", "bbox": [x, y, width, height] in pixels, as COCO has it}, ..]}."""
        found = self.objects(outputs, sides)
        rows = zip(found.labels, found.scores, as_bbox(found.boxes, (1, 1)), strict=True)
        return {
            "objects": [
                {
                    "class": class_names[label],
                    "score": round(float(score), 6),
                    "bbox": [round(float(each), 2) for each in bbox],
                }
                for label, score, bbox in rows
            ]
        }

    def answer(self, title, record):
        """A rich table of all objects: class, score, and box in pixels."""
        table = rich.table.Table("class", title=title, title_justify="left")
        for column in ("score", "x", "y", "width", "height"):
            table.add_column(column, justify="right")
        for each in record["objects"]:
            table.add_row(
                rich.markup.escape(each["class"]), f"{each['score']:.4f}", *(f"{number:.0f}" for number in each["bbox"])
            )
        if not record["objects"]:
            table.add_row(f"none above {self.min_score:g}", *[""] * 5)
        return table

    def in_words(self, record, top=3):
        """A record in words: "cat 2, dog 1"."""
        names = [each["class"] for each in record["objects"]]
        counts = {name: names.count(name) for name in dict.fromkeys(names)}
        return ", ".join(f"{name} {count}" for name, count in counts.items()) or f"none above {self.min_score:g}"

    def picture(self, seen, photo, record):
        """The photo with its boxes."""
        names = list(dict.fromkeys(each["class"] for each in record["objects"]))
        boxes = [(y, x, y + height, x + width) for x, y, width, height in (each["bbox"] for each in record["objects"])]
        labels = [names.index(each["class"]) for each in record["objects"]]
        texts = [f"{each['class']} {each['score']:.2f}" for each in record["objects"]]
        return draw_boxes(photo, boxes, colours_of(labels), texts)

    def caption(self, learned, class_names):
        """How many objects there are."""
        count = int((learned["box_labels"] >= 0).sum())
        return f"{count} object{'' if count == 1 else 's'}"

    def shown(self, image, learned, class_names):
        """The image with its boxes."""
        real = learned["box_labels"] >= 0
        labels = learned["box_labels"][real]
        boxes = learned["boxes"][real] * np.tile(image.shape[:2], 2)
        return draw_boxes(image, boxes, colours_of(labels), [class_names[label] for label in labels])

    # Export

    def describe_output(self, name, model):
        """A sentence on offsets or scores."""
        return {
            "boxes": "For each anchor four offsets from it: center x and y, logarithms of width and height.",
            "scores": "For each anchor a logit for the background, then one for each class.",
        }.get(name, "")


def training_boxes(source):
    """The boxes of all training images, corners float32 [n, 4].

    Raises:
        InputError: there are none.
    """
    boxes = source.open_encoded("train").map(lambda example: example["boxes"], tf.data.AUTOTUNE)
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *boxes.as_numpy_iterator()])
    boxes = boxes[(boxes[:, 2:] > boxes[:, :2]).all(1)]  # tfds sets may have some without an area
    if not len(boxes):
        raise InputError(f"Expected boxes in the training images of {source.name!r}. Received: none. Annotate some.")
    return boxes
