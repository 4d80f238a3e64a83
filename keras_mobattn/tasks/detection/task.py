"""The task of boxes around objects, with a class for each."""

import dataclasses
import re

import numpy as np
import rich.markup
import rich.table
import tensorflow as tf
import tf_keras as keras

from keras_mobattn.data.targets import SIDES
from keras_mobattn.errors import InputError
from keras_mobattn.tasks.detection.anchors import anchor_boxes, level_maps, ssd_sizes
from keras_mobattn.tasks.detection.detect import MIN_SCORE, objects_of
from keras_mobattn.tasks.detection.draw import colours_of, draw_boxes
from keras_mobattn.tasks.detection.evaluation import TITLES, DetectionTally, as_bbox, figures_by_class, misses
from keras_mobattn.tasks.detection.fit_anchors import coverage, fit_sizes
from keras_mobattn.tasks.detection.forms import (
    DESCRIPTIONS,
    FORMS,
    YXHW,
    Decoding,
    decoded_objects,
    final_objects,
    raw_objects,
    vision_objects,
    vision_outputs,
)
from keras_mobattn.tasks.detection.loss import ssd_losses
from keras_mobattn.tasks.detection.matcher import ENOUGH, match
from keras_mobattn.tasks.detection.post_process import from_score
from keras_mobattn.tasks.detection.same_objects import EXACT, NEAR, ROUGH, same_objects
from keras_mobattn.tasks.detection.ssdlite import WIDTHS, SSDLite, is_detector, maps_and_sizes, strides_from
from keras_mobattn.tasks.detection.start import is_detector_file, sizes_of_file, start_from
from keras_mobattn.tasks.objective import Objective
from keras_mobattn.tasks.table import table_by_class
from keras_mobattn.tasks.task import Task, expect_values

ALIKE = {"exact": EXACT, "rough": ROUGH}


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
        decoding: how boxes are made of the offsets in a file, by this task or as the file itself says it.
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
    programs = "detection"
    draws = True
    augment = "ssd"
    agreement_title = "same objects"
    exact_agreement, half_agreement = 0.95, 0.9  # of boxes that overlap as much as is allowed one or the other remains
    forms = FORMS
    settings = ("anchors", "finest_stride")

    def __init__(self, maps=None, sizes=None, min_score=MIN_SCORE, decoding=None):
        self.maps, self.sizes, self.min_score = maps, sizes, min_score
        self.anchors = None if maps is None else anchor_boxes(maps, sizes)
        self.decoding = Decoding(self.anchors) if decoding is None else decoding

    # The model

    def expect_settings(self, settings):
        """Refuse settings that mean nothing to a detector."""
        super().expect_settings(settings)
        wanted = {"label_smoothing": 0, "test_crop": 1, "teacher": None, "class_weights": False, "sizes": ()}
        expect_values(settings, wanted, "a detector")

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
        return Detection(*maps_and_sizes(model), self.min_score)

    def is_whole(self, weights):
        """Whether `weights` is the file of a detector."""
        return is_detector_file(weights)

    def load_whole(self, model, weights, class_names, skip=None):
        """Fill `model` from the file of a detector; classes go by their names."""
        start_from(model, weights, class_names, skip)

    def build(self, make, class_names):
        """An SSDLite on the family's backbone."""
        strides = tuple(WIDTHS)[-(len(self.sizes) - 1) :]  # the last size is the whole map's
        return SSDLite(make(include_top=False), len(class_names), self.sizes, strides=strides)

    def recognises(self, model):
        """Whether it has the outputs and the layers of an SSDLite."""
        return is_detector(model)

    def recognises_file(self, file):
        """Whether its outputs are those of one of the forms."""
        return form_of(file.output_shape) is not None

    def for_file(self, file):
        """The task with the anchors that the file itself has for MediaPipe, where it has any."""
        if form_of(file.output_shape) != "anchors" or file.detector is None:
            return self
        return Detection(self.maps, self.sizes, self.min_score, Decoding(**file.detector))

    def count_classes(self, output_shape):
        """The number of classes, without the background; 0 of a file that has found the objects itself."""
        counts = {"raw": lambda: output_shape["scores"][-1] - 1, "anchors": lambda: output_shape["score"][-1]}
        return counts.get(form_of(output_shape), int)()

    def expect_model(self, model, source):
        """Refuse a model with another number of classes than the source, or of other anchors than the task's."""
        form, classes = form_of(model.output_shape), len(source.class_names)
        if hasattr(model, "labels"):  # of a file
            self._expect_anchors(form)
        finds = form in ("nms", "vision")  # the file itself
        count = (len(model.labels) or classes) if finds else form and self.count_classes(model.output_shape)
        anchors = {"raw": self.anchors, "anchors": self.decoding.anchors}.get(form)
        fits = finds or (anchors is not None and len(anchors) == model.output_shape[FORMS[form].outputs[1]][1])
        if not fits or count != classes:
            raise InputError(
                f"Expected a detector of the {classes} classes of {source.name!r}. Received: {model.name} with outputs "
                f"{model.output_shape}."
            )

    def _expect_anchors(self, form):
        if form == "raw" and self.anchors is None:
            raise InputError(
                "Expected a detector's file in the folder of its run, which has its anchors. Received: raw outputs, "
                "offsets from anchors that are not known. Export it with another form."
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
        return DetectionTally(class_names, self.find)

    def find(self, outputs, min_score=1.0):
        """The objects in a batch of outputs, of the Keras model or of a file in any form: corners [B, n, 4] as shares,
        labels [B, n], -1 where there is none, and scores [B, n].

        With a `min_score` below that of the form's rules there are more, but for a file that has found them itself.
        """
        form = form_of(outputs)
        self._expect_anchors(form)
        found = {
            "raw": lambda: raw_objects(outputs, self.anchors, from_score(FORMS[form].rules, min_score)),
            "anchors": lambda: decoded_objects(outputs, self.decoding, from_score(FORMS[form].rules, min_score)),
            "nms": lambda: final_objects(outputs),
            "vision": lambda: vision_objects(outputs),
        }
        return found[form]()

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
        return objects_of(self.find(outputs, self.min_score), sides or (1, 1), self.min_score)

    def record(self, outputs, class_names, top, sides=None):
        """{"objects": [{"class", "score", "bbox": [x, y, width, height] in pixels, as COCO has it}, ..]}."""
        found = self.objects(outputs, sides)
        rows = zip(found.labels, found.scores, as_bbox(found.boxes, (1, 1)), strict=True)
        return {
            "objects": [
                {
                    "class": class_names[label] if class_names else f"class {label}",
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
        """A record in words: "cat ×2, dog"."""
        names = [each["class"] for each in record["objects"]]
        counts = {name: names.count(name) for name in dict.fromkeys(names)}
        words = (name if count == 1 else f"{name} ×{count}" for name, count in counts.items())
        return ", ".join(words) or f"none above {self.min_score:g}"

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

    def model_for(self, model, form):
        """The detector, for MediaPipe with its offsets in the order (y, x, height, width), by its weights."""
        if form not in ("nms", "anchors"):
            return model
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
        for layer in (layer for layer in copy.layers if re.fullmatch(r"head\d+_boxes", layer.name)):
            layer.set_weights([each.reshape(-1, 4)[:, YXHW].reshape(each.shape) for each in layer.get_weights()])
        return copy

    def in_form(self, outputs, form):
        """For MediaPipe and Vision, offsets or boxes, and probabilities without the background's; else as they are."""
        if form in (None, "raw"):
            return outputs
        probabilities = tf.nn.softmax(outputs["scores"])
        if form == "vision":
            return vision_outputs(outputs["boxes"], probabilities, self.anchors)
        return {"location": outputs["boxes"], "score": probabilities[..., 1:]}

    def output_names(self, model, form=None):
        """Those that the model itself computes for the form."""
        chosen = FORMS[form or "raw"]
        return chosen.computed or chosen.outputs

    def has_classes(self, output_names):
        """Always."""
        return True

    def expect_labels(self, model, output_names, labels):
        """Refuse labels that are not one for each class."""
        classes = model.output_shape["scores"][-1] - 1
        if labels and len(labels) != classes:
            raise InputError(
                f"Expected one label for each of the detector's {classes} classes, without the background. Received: "
                f"{len(labels)}, {', '.join(labels[:3])} ... Give them in the order of the classes."
            )

    def describe_output(self, name, model, form=None):
        """A sentence on one of the outputs of a form."""
        return DESCRIPTIONS[form or "raw"].get(name, "")

    def page_answer(self, file):
        """Anchors, how boxes are made of offsets, and by which rules objects are found; of files that have found them
        the names of their outputs; numbers alone of raw outputs whose anchors are not known."""
        form = form_of(file.output_shape)
        alike = {name: {**dataclasses.asdict(each), "near": NEAR} for name, each in ALIKE.items()}
        answer = {"kind": "boxes", "min_score": self.min_score, "alike": alike}
        if form == "nms":
            return {**answer, "found": {name: name for name in FORMS[form].outputs}}
        decoding = {"raw": Decoding(self.anchors), "anchors": self.decoding}.get(form)
        if decoding is None or decoding.anchors is None:
            return super().page_answer(file)
        boxes, scores = FORMS[form].outputs
        return {
            **answer,
            "boxes": boxes,
            "scores": scores,
            "background": int(form == "raw"),
            "order": YXHW if form == "raw" else sorted(YXHW),
            "anchors": np.asarray(decoding.anchors, float).round(7).tolist(),
            "scales": list(decoding.scales),
            "rules": dataclasses.asdict(FORMS[form].rules),
        }

    def agreement(self, expected, received, file=None, exact=False):
        """The share of objects that both find, of those that are shown; of all where none is. See `same_objects`.

        Keras's are found by the rules of the received form.
        """
        form, whose = form_of(received), file or self
        wanted, found = raw_objects(expected, self.anchors, FORMS[form].rules), whose.find(received)
        alike = EXACT if exact else ROUGH
        told = file is not None and form == "anchors"  # the file tells from which score MediaPipe shows objects
        shown = same_objects(wanted, found, alike, self.min_score, file.decoding.min_score if told else None)
        return same_objects(wanted, found, alike) if shown is None else shown


def form_of(outputs):
    """The name of the form with outputs of these names, a dict; None for others."""
    names = set(outputs) if isinstance(outputs, dict) else None
    return next((name for name, form in FORMS.items() if set(form.outputs) == names), None)


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
