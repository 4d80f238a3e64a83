"""The base class of tasks: what a model is for. No other code takes a kind of model for granted."""

import re

import numpy as np
import rich.table
import tensorflow as tf
import tf_keras as keras

from keras_mobattn.errors import InputError, expect_kind


def expect_keras(model):
    """Refuse what is no keras.Model, and one that computes in its call() alone: its ends aren't known."""
    expect_kind("model", model, keras.Model, "a keras.Model", "Load it: keras_mobattn.models.load_model(file).")
    if not model.inputs:
        raise InputError(
            f"Expected a model with an input of known shape. Received: {model.name!r}, a {type(model).__name__} "
            "without one. Give it one: image = keras.Input((256, 256, 3)), then keras.Model(image, model(image))."
        )


class Objective:
    """The losses that training minimises. A subclass defines `losses`; `student` where it needs more than the outputs.

    Raises:
        NotImplementedError: `losses` of this class.
    """

    def student(self, network):
        """A model on the layers of `network`; its output is `seen` in `__call__`: {"outputs": network's output, ..}."""
        return keras.Model(network.inputs, {"outputs": network.output})

    def __call__(self, images, learned, seen):
        """Losses float32 [B] of a training batch; `learned` are its labels by `Task.encode`."""
        return self.losses(learned, seen["outputs"])

    def losses(self, learned, outputs):
        """Losses float32 [B] from the model's outputs alone, for evaluation."""
        raise NotImplementedError(f"{type(self).__name__} must define losses(learned, outputs).")


class Task:
    """What a model learns from, how it is judged, and what its outputs mean. The base class fits any outputs.

    The trainer, evaluation, export and the commands ask a task and assume nothing. `keras_mobattn.tasks.TASKS` has the
    tasks by name, for `TrainSettings(task=name)`. A model gives a tensor or a dict of tensors. A task that trains
    defines `build`, `objective` and `metrics`, and `encode` where it learns from anything but one-hot labels; all other
    methods have a default.

    Attributes:
        title: what files call such a model.
        targets: what it needs of an example beside the image, see `keras_mobattn.data.targets`.
        mixes: whether `encode` gives a float32 [B, K] that MixUp and CutMix may mix.
        best: the metric of `metrics`, or "loss", by which the best epoch is picked.
        higher_is_better: whether that metric is.
        class_scores: names of exported outputs that hold a score for each class.
        probabilities: names of exported outputs that are probabilities, within 0..1.
        is_binary: whether the model scores the second of two classes alone.
        coreml_type: Core ML's name for a package with image input and labels: "imageClassifier", or None.
    """

    title = "Image features"
    targets = ()
    mixes = False
    best = "loss"
    higher_is_better = False
    class_scores = ()
    probabilities = ()
    is_binary = False
    coreml_type = None

    # The model

    def build(self, make, class_names):
        """The model for these classes. `make(**options)` calls the family's model function with the run's settings."""
        raise NotImplementedError(f"{type(self).__name__} must define build(make, class_names), to be trained.")

    def recognises(self, model):
        """Whether a Keras model from anywhere is one of this task, by its last layers."""
        return False

    def expect_model(self, model, source):
        """Refuse a model that can't be judged on the source."""

    def scores(self, outputs):
        """A model's outputs, tensors or arrays, as an exported file gives them."""
        return outputs

    # Learning

    def encode(self, images, targets, source):
        """The labels, a tensor or a dict, from images float32 [B, H, W, 3] in 0..255 and {target: batch}."""
        return targets

    def objective(self, settings, class_names):
        """The Objective for a run's settings. Called in the scope of the strategy."""
        raise NotImplementedError(f"{type(self).__name__} must define objective(settings, class_names), to be trained.")

    def metrics(self):
        """New Keras metrics of the labels and the model's outputs; [] for the loss alone."""
        return []

    def is_better(self, value, best):
        """Whether an epoch's metric `best` beats the best one so far, None before the first."""
        return best is None or (value > best if self.higher_is_better else value < best)

    # Evaluation

    def tally(self, class_names):
        """An object that adds up an evaluation: `add(learned, outputs)` for each batch, then `result()`, a dict."""
        return MetricTally(self.metrics())

    def report(self, title, result, class_names, published=None):
        """Texts and rich tables that show a tally's result; `published` is {name of a figure: percent}, or None."""
        figures = {name: value for name, value in result.items() if isinstance(value, int | float)}
        return [title, *(f"{name.replace('_', ' ')} {value:.4g}" for name, value in figures.items())]

    def last_words(self, result):
        """A phrase on the result of a run, the dict in result.json."""
        return f"Test {self.best.replace('_', ' ')} {result[f'test_{self.best}']:.4f}"

    def answer(self, title, outputs, class_names, top):
        """A rich table of a model's outputs for one image, [1, ..]."""
        table = rich.table.Table("output", "values", title=title, title_justify="left")
        for name, value in named(outputs).items():
            table.add_row(name, np.array2string(np.squeeze(value), precision=4, threshold=2 * top))
        return table

    def record(self, outputs, class_names, top):
        """A model's outputs for one image, for JSON: {name: number, text, or lists of them}."""
        return {name: np.squeeze(value).tolist() for name, value in named(outputs).items()}

    def in_words(self, record, top=3):
        """A record in a few words; of several classes the `top` best."""
        return ", ".join(f"{name} {np.array2string(np.asarray(value), threshold=4)}" for name, value in record.items())

    # Export

    def output_names(self, model):
        """Names for the outputs of an exported model, in the order of `tf.nest.flatten(model.output)`."""
        output = model.output
        if not isinstance(output, dict | list | tuple):
            return ("features",)
        names = sorted(output) if isinstance(output, dict) else model.output_names
        return tuple(re.sub(r"\W", "_", name) for name in names)  # Core ML takes identifiers only

    def expect_labels(self, model, output_names, labels):
        """Refuse names of classes that don't fit the model's outputs."""
        if labels:
            raise InputError(
                f"Expected no labels for a model that isn't a classifier. Received: {len(labels)} for the outputs "
                f"{', '.join(output_names)}. Leave them out."
            )

    def describe_output(self, name, model):
        """A sentence on an exported output, or ""."""
        return ""

    def answers(self, outputs):
        """An answer for each image, [n], from {output name: [n, ..]}, so that equal ones can be counted; or None."""
        return None


class OutputMetric(keras.metrics.Metric):
    """A Keras metric of one of several outputs: of the labels and the outputs under `key`."""

    def __init__(self, metric, key):
        super().__init__(metric.name)
        self._metric, self._key = metric, key

    def update_state(self, learned, outputs, sample_weight=None):
        """Add a batch."""
        self._metric.update_state(learned[self._key], outputs[self._key])

    def result(self):
        """The metric's result."""
        return self._metric.result()

    def reset_state(self):
        """Start anew."""
        self._metric.reset_state()


class MetricTally:
    """The tally of Keras metrics: {name: value, "num_images": count}."""

    def __init__(self, metrics):
        self._metrics, self._count = metrics, 0

    def add(self, learned, outputs):
        """Add a batch."""
        for metric in self._metrics:
            metric.update_state(learned, outputs)
        self._count += len(tf.nest.flatten(outputs)[0])

    def result(self):
        """The figures of all that was added."""
        return {metric.name: float(metric.result()) for metric in self._metrics} | {"num_images": self._count}


def named(outputs):
    """A model's outputs, a tensor or a dict, as a dict."""
    return outputs if isinstance(outputs, dict) else {"output": outputs}
