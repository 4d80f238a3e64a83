"""The task of a class for each pixel."""

import operator

import numpy as np
import rich.markup
import rich.table
import tensorflow as tf
import tf_keras as keras

from keras_mobattn.data.targets import IGNORED, WHOLE_MASK
from keras_mobattn.errors import InputError
from keras_mobattn.layers import resize_bilinear
from keras_mobattn.tasks.segmentation.deeplabv3 import DeepLabV3
from keras_mobattn.tasks.segmentation.draw import BACKGROUND, coloured, mask_png, overlay, palette
from keras_mobattn.tasks.segmentation.evaluation import (
    PANELS,
    TITLES,
    SegmentationTally,
    figures_by_class,
    worst_images,
)
from keras_mobattn.tasks.segmentation.forms import DESCRIPTIONS, FORMS
from keras_mobattn.tasks.segmentation.heads import LOGITS
from keras_mobattn.tasks.segmentation.loss import SegmentationLoss
from keras_mobattn.tasks.segmentation.lraspp import LRASPP
from keras_mobattn.tasks.segmentation.masks import masks_of, scores_of
from keras_mobattn.tasks.segmentation.pspnet import PSPNet
from keras_mobattn.tasks.segmentation.segment import is_segmenter
from keras_mobattn.tasks.segmentation.start import is_segmenter_file, start_from
from keras_mobattn.tasks.table import table_by_class
from keras_mobattn.tasks.task import Task, expect_values

HEADS = {"deeplabv3": DeepLabV3, "pspnet": PSPNet, "lraspp": LRASPP}
CAPTION_LETTERS = 16  # that fit under an image
OUTPUTS = tuple(dict.fromkeys(name for form in FORMS.values() for name in form.outputs))


class Segmentation(Task):
    """A class for each pixel. The model is a DeepLabV3, PSPNet or LRASPP, whose output is logits [B, h, w, K].

    Attributes:
        head: how the head is built: a name of HEADS and its arguments; `fitted` takes it from a run's settings.
        sides: (height, width) of the image that a model takes, where the model is known.
    """

    title = "Image segmenter"
    targets = ("mask",)
    truth = (WHOLE_MASK,)
    whole_image = True
    evaluates_whole = True
    best = "miou"
    higher_is_better = True
    class_scores = ("logits", "probabilities", "full_size")
    probabilities = ("probabilities", "full_size")
    titles = TITLES
    panels = PANELS
    legend = "Green: right. Red: wrong. The colours of the classes are those of the masks."
    programs = "segmentation"
    draws = True
    augment = "segmentation"
    agreement_title = "same pixels"
    exact_agreement, half_agreement = 0.995, 0.98
    forms = FORMS
    coreml_type = "imageSegmenter"
    settings = ("head", "head_width", "output_stride", "auxiliary_weight")

    def __init__(self, head=None, sides=None):
        self.head, self.sides = head, sides

    # The model

    def expect_settings(self, settings):
        """Refuse settings that mean nothing to a segmenter."""
        super().expect_settings(settings)
        wanted = {"label_smoothing": 0, "test_crop": 1, "teacher": None, "sizes": ()}
        expect_values(settings, wanted, "a segmenter")

    def fitted(self, settings, source, say):
        """The task with the head of the settings."""
        return Segmentation(
            {
                "head": settings.head,
                "output_stride": settings.output_stride,
                "width": settings.head_width,
                "auxiliary": settings.auxiliary_weight > 0,
            }
        )

    @property
    def facts(self):
        """The head."""
        return {} if self.head is None else {"head": self.head}

    def from_facts(self, facts):
        """The task with such a head."""
        return Segmentation(facts["head"]) if "head" in facts else self

    def for_model(self, model):
        """The task that knows the size of a model's images."""
        return Segmentation(self.head, tuple(model.input_shape[1:3]))

    def is_whole(self, weights):
        """Whether `weights` is the file of a segmenter."""
        return is_segmenter_file(weights)

    def load_whole(self, model, weights, class_names, skip=None):
        """Fill `model` from the file of a segmenter; classes go by their names."""
        start_from(model, weights, class_names, skip)

    def build(self, make, class_names):
        """The head on the family's backbone."""
        how = {name: value for name, value in (self.head or {}).items() if value is not None}
        head = HEADS[how.pop("head", "deeplabv3")]
        return head(make(include_top=False), len(class_names), **how)

    def recognises(self, model):
        """Whether it has the layer that gives a segmenter's logits."""
        return is_segmenter(model)

    def recognises_file(self, file):
        """Whether its one output is called as in one of the forms, and is a map."""
        names, shape = file.given_names, file.output_shape
        return len(names) == 1 and names[0] in OUTPUTS and isinstance(shape, tuple) and len(shape) in (3, 4)

    def for_file(self, file):
        """The task that knows the size of a file's images."""
        return Segmentation(self.head, tuple(file.input_shape[1:3]))

    def count_classes(self, output_shape):
        """The number of classes; 0 of a file that gives class numbers."""
        shape = output_shape[LOGITS] if isinstance(output_shape, dict) else output_shape
        return shape[-1] if len(shape) == 4 else 0

    def expect_model(self, model, source):
        """Refuse a model with another number of classes than the source."""
        shape, classes = model.output_shape, len(source.class_names)
        count = self.count_classes(shape) or (classes if isinstance(shape, tuple) and len(shape) == 3 else 0)
        if count != classes:
            raise InputError(
                f"Expected a segmenter of the {classes} classes of {source.name!r}. Received: {model.name} with output "
                f"{model.output_shape}."
            )

    # Learning

    def encode(self, images, targets, source):
        """{"mask": uint8 [B, H, W]}."""
        return {"mask": tf.squeeze(targets["mask"], -1)}

    def class_counts(self, source):
        """Pixels of each class in the training images, int64 [K]."""
        counts, number = np.zeros(IGNORED + 1, np.int64), len(source.class_names)
        for example in source.open("train").map(operator.itemgetter("mask")):
            counts += np.bincount(example.numpy().reshape(-1), minlength=IGNORED + 1)
        return counts[:number]

    def objective(self, settings, class_names):
        """SegmentationLoss."""
        return SegmentationLoss(settings.auxiliary_weight)

    # Evaluation

    def tally(self, class_names):
        """mIoU and its kin."""
        return SegmentationTally(class_names)

    def report(self, title, result, class_names, published=None):
        """A table by class, and a line for each figure of all."""
        lines = [f"{what}: {100 * result[name]:.2f} %" for name, what in TITLES.items()]
        return [table_by_class(title, *self.class_table(result, class_names)), *lines]

    def class_table(self, result, class_names):
        """Pixels, IoU and accuracy."""
        return figures_by_class(result, class_names)

    def worst(self, result, class_names):
        """The images with the lowest mIoU."""
        return worst_images(result, class_names)

    def last_words(self, result):
        """A phrase with the mIoU on the test images."""
        return f"Test mIoU {100 * result['test_miou']:.2f} %"

    def record(self, outputs, class_names, top, sides=None):
        """{"size": [height, width], "classes": [{"class", "number", "share" of the pixels, "segmentation"}, ..]}, the
        largest first. A segmentation is COCO's run-length encoding {"size", "counts"}, which pycocotools.mask reads."""
        from pycocotools import mask as coco_masks

        mask = masks_of(outputs, sides or self.sides or scores_of(outputs).shape[1:3])[0].numpy()
        numbers, counts = np.unique(mask, return_counts=True)
        found = []
        for number, count in sorted(zip(numbers.tolist(), counts.tolist(), strict=True), key=lambda each: -each[1]):
            runs = coco_masks.encode(np.asfortranarray(mask == number, np.uint8))
            found.append(
                {
                    "class": class_names[number] if number < len(class_names) else f"class {number}",
                    "number": number,
                    "share": round(count / mask.size, 6),
                    "segmentation": {"size": list(mask.shape), "counts": runs["counts"].decode("ascii")},
                }
            )
        return {"size": list(mask.shape), "classes": found}

    def answer(self, title, record):
        """A rich table of the classes and their shares of the image."""
        table = rich.table.Table("class", title=title, title_justify="left")
        table.add_column("share of the pixels", justify="right")
        for each in record["classes"]:
            table.add_row(rich.markup.escape(each["class"]), f"{100 * each['share']:.1f} %")
        return table

    def in_words(self, record, top=3):
        """A record in words: "dog 34 %, cat 5 %"; the background where there is nothing else."""
        classes = [each for each in record["classes"] if each["class"].lower() != BACKGROUND] or record["classes"]
        return ", ".join(f"{each['class']} {100 * each['share']:.0f} %" for each in classes[:top])

    def picture(self, seen, photo, record):
        """The photo under the colours of its classes."""
        mask, names = mask_of(record)
        return overlay(photo, mask, names)

    def colours(self, class_names):
        """Those of the masks."""
        return {name: tuple(colour.tolist()) for name, colour in zip(class_names, palette(), strict=False)}

    def mask_file(self, record):
        """The bytes of a PNG with a palette, whose pixels are the numbers of the classes."""
        return mask_png(mask_of(record)[0])

    def caption(self, learned, class_names):
        """The largest classes of a training image."""
        numbers, counts = np.unique(learned["mask"], return_counts=True)
        order = [number for _, number in sorted(zip(-counts, numbers, strict=True)) if number != IGNORED]
        named = [class_names[number] for number in order if class_names[number].lower() != BACKGROUND]
        text = ", ".join(named[:2]) or (class_names[order[0]] if order else "nothing")
        return text if len(text) <= CAPTION_LETTERS else text.replace(", ", ",\n")

    def shown(self, image, learned, class_names):
        """The image under the colours of its mask; what doesn't count is covered."""
        mask = learned["mask"]
        over = overlay(image, np.where(mask == IGNORED, 0, mask), class_names, legend=False)
        return np.where((mask == IGNORED)[..., None], coloured(mask), over)

    # Export

    def model_for(self, model, form):
        """The model without the head that is for training alone."""
        return keras.Model(model.input, model.output[LOGITS], name=model.name) if _has_both(model) else model

    def in_form(self, outputs, form):
        """Logits or probabilities, at the model's own stride or the image's size; logits of that for a class map."""
        scores = scores_of(outputs)
        if form in ("class_map", "full_size"):
            scores = resize_bilinear(scores, self.sides, align_corners=True)
        return tf.nn.softmax(scores) if form in self.probabilities else scores

    def finished(self, outputs, form):
        """The class of each pixel, for a class map."""
        if form != "class_map":
            return outputs
        (scores,) = outputs.values()
        return {"class_map": tf.argmax(scores, -1, tf.int32)}

    def output_names(self, model, form=None):
        """Those that the model itself computes for the form."""
        chosen = FORMS[form or LOGITS]
        return chosen.computed or chosen.outputs

    def has_classes(self, output_names):
        """Always."""
        return True

    def expect_labels(self, model, output_names, labels):
        """Refuse labels that are not one for each class."""
        classes = self.count_classes(model.output_shape)
        if labels and len(labels) != classes:
            raise InputError(
                f"Expected one label for each of the segmenter's {classes} classes. Received: {len(labels)}, "
                f"{', '.join(labels[:3])} ... Give them in the order of the classes, a background with them."
            )

    def describe_output(self, name, model, form=None):
        """A sentence on the output."""
        return DESCRIPTIONS[form or LOGITS]

    def page_answer(self, file):
        """The output with the scores, and its shape [h, w, K]."""
        return {"kind": "mask", "output": file.given_names[0], "shape": list(file.output_shape[1:])}

    def agreement(self, expected, received, file=None, exact=False):
        """The share of the images' pixels with the same class. Readers resize what a file gives: of the form
        "probabilities" it is Keras's probabilities that they are compared with, of others its logits."""
        logits = scores_of(expected)
        wanted = tf.nn.softmax(logits) if form_of(received) == "probabilities" else logits
        masks = [masks_of(outputs, self.sides) for outputs in (wanted, received)]
        return float(tf.reduce_mean(tf.cast(masks[0] == masks[1], tf.float32)))


def form_of(outputs):
    """The name of the form whose outputs, a dict, have these names; None, as the Keras model gives them, for others."""
    names = set(outputs) if isinstance(outputs, dict) else None
    return next((name for name, form in FORMS.items() if set(form.outputs) == names), None)


def _has_both(model):
    return isinstance(model.output, dict)


def mask_of(record):
    """(the mask int64 [h, w] of a record, the names of its classes by number)."""
    from pycocotools import mask as coco_masks

    mask, names = np.zeros(record["size"], np.int64), {}
    for each in record["classes"]:
        mask[coco_masks.decode(each["segmentation"]) > 0] = each["number"]
        names[each["number"]] = each["class"]
    return mask, [names.get(number, f"class {number}") for number in range(max(names) + 1)]
