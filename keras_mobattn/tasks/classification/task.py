"""The task of one label for each image."""

import numpy as np
import rich.markup
import rich.table
import tf_keras as keras

from keras_mobattn.data.targets import Labels
from keras_mobattn.errors import InputError
from keras_mobattn.tasks.classification.both_classes import Accuracy, both_classes, num_classes
from keras_mobattn.tasks.classification.distillation import Distillation, open_teacher
from keras_mobattn.tasks.classification.evaluation import (
    AccuracyTally,
    accuracy_by_class,
    most_mistaken,
)
from keras_mobattn.tasks.classification.objective import CrossEntropy
from keras_mobattn.tasks.table import table_by_class
from keras_mobattn.tasks.task import Task

CAPTION_LABELS = 3  # of an image at most
CAPTION_LETTERS = 18  # that fit under an image
SCORES = {  # activation of a classifier's last layer -> what its output is called
    "softmax": "probabilities",
    "sigmoid": "probabilities",
    "linear": "logits",
}


class Classification(Labels, Task):
    """A label for each image; the model gives a score for each class, [B, classes]."""

    title = "Image classifier"
    best = "accuracy"
    higher_is_better = True
    class_scores = ("probabilities", "logits")
    probabilities = ("probabilities",)
    titles = {"accuracy": "top-1", "top5_accuracy": "top-5"}
    augment = "mobilevitv2"
    programs = "classification"
    agreement_title = "same top-1"
    half_agreement = 0.99  # not of all files: random weights make classes nearly equal
    coreml_type = "imageClassifier"
    has_answers_by_image = True

    def build(self, make, class_names):
        """The model with its function's own top, as wide as there are classes."""
        return make(classes=len(class_names))

    def recognises(self, model):
        """Whether its one output [B, n] is a score for each of several classes, of a Dense, Activation or Softmax
        layer."""
        return score_name(model) is not None and model.output_shape[-1] > 1

    def count_classes(self, output_shape):
        """The number of scores; two for one probability."""
        return num_classes(output_shape) if isinstance(output_shape, tuple) else 0

    def expect_model(self, model, source):
        """Refuse a model with another number of classes than the source."""
        classes, shape = len(source.class_names), model.output_shape
        if not isinstance(shape, tuple) or len(shape) != 2 or num_classes(shape) != classes:
            raise InputError(
                f"Expected a classifier of the {classes} classes of {source.name!r}. "
                f"Received: {model.name} with output {model.output_shape}."
            )

    def objective(self, settings, class_names):
        """CrossEntropy, or with a teacher Distillation.

        Raises:
            InputError: see `open_teacher`.
        """
        if settings.teacher is None:
            return CrossEntropy(settings.label_smoothing)
        teacher = open_teacher(settings.teacher, class_names, settings.image_shape, settings.precision)
        return Distillation(
            teacher,
            settings.distillation,
            settings.distillation_alpha,
            settings.distillation_temperature,
            settings.label_smoothing,
        )

    def metrics(self):
        """Accuracy; with mixed labels, of the heavier class."""
        return [Accuracy()]

    def tally(self, class_names):
        """Top-1 and top-5 accuracy, the confusion matrix and the predictions."""
        return AccuracyTally(len(class_names))

    def report(self, title, result, class_names, published=None):
        """A table by class, and sentences on top-1 and top-5, with the published accuracies where there are any."""
        lines = []
        for top, key in ((1, "accuracy"), (5, "top5_accuracy")):
            if len(class_names) <= top:
                continue  # it would be 100 %
            beside = f", published {published[key]:.2f} %" if published else ""
            lines.append(f"Top-{top} {100 * result[key]:.2f} %{beside}")
        return [table_by_class(title, *self.class_table(result, class_names)), *lines]

    def class_table(self, result, class_names):
        """Images and top-1 accuracy."""
        return accuracy_by_class(result, class_names)

    def worst(self, result, class_names):
        """The images whose wrong class was the surest."""
        return most_mistaken(result, class_names)

    def last_words(self, result):
        """A phrase with the accuracy on the test images."""
        return f"Test accuracy {100 * result['test_accuracy']:.2f} %"

    def record(self, outputs, class_names, top, sides=None):
        """{"classes": [{"class", "score"}, ..]}, the best first."""
        scores = both_classes(outputs)[0]
        best = np.argsort(-scores, kind="stable")[:top]
        return {"classes": [{"class": class_names[i], "score": round(float(scores[i]), 6)} for i in best]}

    def answer(self, title, record):
        """A rich table of the best classes and their scores."""
        table = rich.table.Table("class", title=title, title_justify="left")
        table.add_column("score", justify="right")
        for each in record["classes"]:
            table.add_row(rich.markup.escape(each["class"]), f"{each['score']:.4f}")
        return table

    def in_words(self, record, top=3):
        """A record in words: "temple 0.93, pagoda 0.04"."""
        return ", ".join(f"{each['class']} {each['score']:.2f}" for each in record["classes"][:top])

    def caption(self, learned, class_names):
        """The classes of one label, the heaviest first; their weights where there are several."""
        heaviest = [index for index in np.argsort(-learned, kind="stable")[:CAPTION_LABELS] if learned[index] >= 0.005]
        if len(heaviest) == 1:
            return class_names[heaviest[0]]
        shares = [f"{class_names[index]} {learned[index]:.2f}".replace(" 0.", " .") for index in heaviest]
        return (" / " if len(" / ".join(shares)) <= CAPTION_LETTERS else " /\n").join(shares)

    def output_names(self, model, form=None):
        """The name of the one output, by its activation: "probabilities" or "logits"."""
        name = score_name(model)
        return (name,) if name else super().output_names(model)

    def expect_labels(self, model, output_names, labels):
        """Refuse labels that are not one for each class."""
        if not set(output_names) & set(self.class_scores):
            super().expect_labels(model, output_names, labels)
        elif labels and len(labels) != num_classes(model.output_shape):
            raise InputError(
                f"Expected one label for each of the model's {num_classes(model.output_shape)} classes. Received: "
                f"{len(labels)}, {', '.join(labels[:3])} ... Give them in the order of the outputs."
            )

    def describe_output(self, name, model, form=None):
        """A sentence with the number of classes."""
        return f"A score for each of {num_classes(model.output_shape)} classes."

    def in_form(self, outputs, form):
        """A score for each class, also where the model scores the second of two alone."""
        return both_classes(outputs)

    def page_answer(self, file):
        """The output with the scores."""
        return (
            {"kind": "classes", "output": file.given_names[0]}
            if self.count_classes(file.output_shape)
            else super().page_answer(file)
        )

    def agreement(self, expected, received, file=None, exact=False):
        """The share of images with the same most likely class."""
        name, *others = expected
        if others or name not in self.class_scores:
            return None
        best, other = (both_classes(outputs[name]).argmax(-1) for outputs in (expected, received))
        return float(np.mean(best == other))


def score_name(model):
    """ "probabilities" or "logits" where the model's one output is scores of classes, else None."""
    activation = last_activation(model)
    alone = activation and model.output_shape[-1] == 1
    return SCORES.get(activation) if activation == "sigmoid" or not alone else None  # one number may be anything


def last_activation(model):
    """The name of the activation that the model's one output [B, n] comes of, else None."""
    if isinstance(model.output, dict | list | tuple):
        return None
    made = model.output._keras_history
    # A model in another one, unless it is a subclassed one, which shows no inside, or gives more in its call()
    while getattr(made.layer, "_is_graph_network", False) and made.tensor_index < len(made.layer.outputs):
        made = made.layer.outputs[made.tensor_index]._keras_history
    last = made.layer
    if model.output.shape.rank != 2:
        return None
    if isinstance(last, keras.layers.Softmax):
        return "softmax"
    if isinstance(last, keras.layers.Dense | keras.layers.Activation):
        return next((name for name in SCORES if last.activation is getattr(keras.activations, name)), None)
    return None
