"""What a model is for. One object answers for it wherever a kind of model would else be taken for granted."""

import re

import numpy as np
import rich.table
import tensorflow as tf
import tf_keras as keras

from keras_mobattn.errors import InputError


class Objective:
    """What a training step minimises. A subclass defines `losses`; `student` only where it needs more than the outputs.

    Raises:
        NotImplementedError: `losses` of this class.
    """

    def student(self, network):
        """A model on the layers of `network` that gives {"outputs": its output, and what else `__call__` takes}."""
        return keras.Model(network.inputs, {"outputs": network.output})

    def __call__(self, images, learned, seen):
        """Losses float32 [B] of a training batch, of what `student` gave for it and of what `Task.encode` made."""
        return self.losses(learned, seen["outputs"])

    def losses(self, learned, outputs):
        """Losses float32 [B] by the model's outputs alone, as evaluation tells them."""
        raise NotImplementedError(f"{type(self).__name__} must define losses(learned, outputs).")


class Task:
    """What a model learns from, how it is judged, and what its outputs mean; by itself, a model of any outputs.

    The trainer, evaluation, export and the commands ask a task and assume nothing. An entry of
    `keras_mobattn.tasks.TASKS` makes one known by its name, `TrainSettings(task=name)`. A model gives a tensor or a
    dict of tensors. A task that trains defines `build`, `objective` and `metrics`, and `encode` where it learns from
    anything but one-hot labels; all other methods have a default.

    Attributes:
        title: what files say that such a model is.
        targets: the names in an example that it learns from, see `keras_mobattn.data.targets`.
        mixes: whether `encode` gives a float32 [B, K] that MixUp and CutMix may mix.
        best: the metric of `metrics`, or "loss", by which the best epoch is picked.
        higher_is_better: whether that metric is.
        class_scores: the names of exported outputs that hold a score for each class.
        probabilities: those of exported outputs that are probabilities, within 0..1.
        coreml_type: what Core ML calls a package of it that has image input and labels: "imageClassifier", or None.
    """

    title = "Image features"
    targets = ()
    mixes = False
    best = "loss"
    higher_is_better = False
    class_scores = ()
    probabilities = ()
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

    # Learning

    def encode(self, images, targets, source):
        """What is learned from images float32 [B, H, W, 3] in 0..255 with {target: batch}: a tensor or a dict."""
        return targets

    def objective(self, settings, class_names):
        """The Objective that the settings of a run ask for. Called in the scope of the strategy."""
        raise NotImplementedError(f"{type(self).__name__} must define objective(settings, class_names), to be trained.")

    def metrics(self):
        """New Keras metrics, each of what `encode` made and the model's outputs; [] for the loss alone."""
        return []

    def is_better(self, value, best):
        """Whether an epoch's metric `best` beats the best one so far, None before the first."""
        return best is None or (value > best if self.higher_is_better else value < best)

    # Evaluation

    def tally(self, class_names):
        """What adds up a whole evaluation: an object with `add(learned, outputs)` a batch, and `result()`, a dict."""
        return MetricTally(self.metrics())

    def report(self, title, result, class_names, published=None):
        """What to print of a tally's result, texts and rich tables; `published` has {name of a figure: percent}."""
        figures = {name: value for name, value in result.items() if isinstance(value, int | float)}
        return [title, *(f"{name.replace('_', ' ')} {value:.4g}" for name, value in figures.items())]

    def last_words(self, result):
        """One phrase on the result of a run, the dict in result.json."""
        return f"Test {self.best.replace('_', ' ')} {result[f'test_{self.best}']:.4f}"

    def answer(self, title, outputs, class_names, top):
        """A rich table of what a model says of one image; `outputs` as the model gives them, [1, ..]."""
        table = rich.table.Table("output", "values", title=title, title_justify="left")
        for name, value in named(outputs).items():
            table.add_row(name, np.array2string(np.squeeze(value), precision=4, threshold=2 * top))
        return table

    def record(self, outputs, class_names, top):
        """What a model says of one image, for JSON: {name: number, text, or lists of them}."""
        return {name: np.squeeze(value).tolist() for name, value in named(outputs).items()}

    def in_words(self, record, top=3):
        """A record in a few words, of its `top` best where there are several."""
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
        """What {output name: [n, ..]} says of each image, [n], so that equal answers can be counted; or None."""
        return None


class OutputMetric(keras.metrics.Metric):
    """A Keras metric of one output of several: of what was learned under `key` and the output of that name."""

    def __init__(self, metric, key):
        super().__init__(metric.name)
        self._metric, self._key = metric, key

    def update_state(self, learned, outputs, sample_weight=None):
        """Count a batch in."""
        self._metric.update_state(learned[self._key], outputs[self._key])

    def result(self):
        """The metric's own."""
        return self._metric.result()

    def reset_state(self):
        """Begin anew."""
        self._metric.reset_state()


class MetricTally:
    """The tally of Keras metrics: {name: value, "num_images": count}."""

    def __init__(self, metrics):
        self._metrics, self._count = metrics, 0

    def add(self, learned, outputs):
        """Count a batch in."""
        for metric in self._metrics:
            metric.update_state(learned, outputs)
        self._count += len(tf.nest.flatten(outputs)[0])

    def result(self):
        """The figures of all that was added."""
        return {metric.name: float(metric.result()) for metric in self._metrics} | {"num_images": self._count}


def named(outputs):
    """What a model gave, a tensor or a dict, as a dict."""
    return outputs if isinstance(outputs, dict) else {"output": outputs}
