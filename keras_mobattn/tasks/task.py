"""The base class of tasks: what a model is for. No other code takes a kind of model for granted."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import rich.table
import tensorflow as tf
import tf_keras as keras

from keras_mobattn._types import PathLike, Size
from keras_mobattn.data import Source
from keras_mobattn.errors import InputError, expect_kind
from keras_mobattn.names import as_identifiers
from keras_mobattn.settings import TrainSettings
from keras_mobattn.tasks._types import Array, Arrays, Bad, File, NamedArrays, Record, Result, Shapes, Tally, Tensors
from keras_mobattn.tasks.form import Form
from keras_mobattn.tasks.objective import Objective


def expect_keras(model: keras.Model) -> None:
    """Refuse what is no keras.Model, and one that computes in its call() alone: its ends aren't known."""
    expect_kind("model", model, keras.Model, "a keras.Model", "Load it: keras_mobattn.models.load_model(file).")
    if not model.inputs:
        raise InputError(
            f"Expected a model with an input of known shape. Received: {model.name!r}, a {type(model).__name__} "
            "without one. Give it one: image = keras.Input((256, 256, 3)), then keras.Model(image, model(image))."
        )


OWN_SETTINGS = {  # settings that mean something to some tasks alone, and their defaults: see Task.settings
    "anchors": "fit",
    "finest_stride": 16,
    "head": "deeplabv3",
    "head_width": None,
    "output_stride": 16,
    "auxiliary_weight": 0.4,
}


class Task:
    """What a model learns from, how it is judged, and what its outputs mean. The base class fits any outputs.

    The trainer, evaluation, export and the commands ask a task and assume nothing. `keras_mobattn.tasks.TASKS` has the
    tasks by name, for `TrainSettings(task=name)`. A model gives a tensor or a dict of tensors. A task that trains
    defines `build`, `objective` and `metrics`, and `encode` where it learns from anything but one-hot labels; all other
    methods have a default. A task that depends on the training images, as a detector's anchors do, defines `fitted`,
    which gives a task of its own, with `facts` and `from_facts`, and `for_model`.

    Attributes:
        title: what files call such a model.
        targets: what it needs of an example beside the image, see `keras_mobattn.data.targets`.
        mixes: whether `encode` gives a float32 [B, K] that MixUp and CutMix may mix.
        truth: what an evaluation is told beside the labels, names of `targets` or data.targets.SIDES; then `encode` has
            to give a dict.
        whole_image: whether an image is seen whole, its sides stretched, rather than cut out of its middle.
        evaluates_whole: whether its figures need all images of an evaluation at once: they are those of `tally`, not of
            `metrics`.
        best: the metric of `metrics`, or "loss", by which the best epoch is picked.
        higher_is_better: whether that metric is.
        class_scores: names of exported outputs that hold a score for each class.
        probabilities: names of exported outputs that are probabilities, within 0..1.
        is_binary: whether the model scores the second of two classes alone.
        titles: {figure of a tally's result that is a share, 0..1: what it is called on a page}.
        legend: what the colours in pictures of the worst images mean.
        panels: what those pictures show beside the image, where each is several.
        settings: names in OWN_SETTINGS that mean something to it.
        programs: the folder of programs that a model card has for files of the task; None for none.
        draws: whether `picture` draws the answer into the image.
        augment: the augmentation of its papers, for `show-batch`.
        agreement_title: what `agreement` counts, "same top-1" say.
        forms: {name: Form} in which models are exported, of each kind of file the default first; {} for one form alone.
        exact_agreement: the least `agreement` of a file whose outputs are those of Keras but for float32's rounding.
        half_agreement: of one that computes in float16.
        has_answers_by_image: whether `agreement` is a share of the images.
        coreml_type: Core ML's name for a package with image input and labels: "imageClassifier", "imageSegmenter", or
            None.
    """

    title = "Image features"
    targets: tuple[str, ...] = ()
    mixes = False
    truth: tuple[str, ...] = ()
    whole_image = False
    evaluates_whole = False
    best = "loss"
    higher_is_better = False
    class_scores: tuple[str, ...] = ()
    probabilities: tuple[str, ...] = ()
    is_binary = False
    titles: Mapping[str, str] = {}
    legend = ""
    panels: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    programs: str | None = None
    draws = False
    augment = "none"
    agreement_title = "same answers"
    exact_agreement, half_agreement = 0.0, 0.0
    forms: Mapping[str, Form] = {}
    coreml_type: str | None = None
    has_answers_by_image = False

    # The model

    def build(self, make: Callable[..., keras.Model], class_names: Sequence[str]) -> keras.Model:
        """The model for these classes. `make(**options)` calls the family's model function with the run's settings."""
        raise NotImplementedError(f"{type(self).__name__} must define build(make, class_names), to be trained.")

    def expect_settings(self, settings: TrainSettings) -> None:
        """Refuse settings of a run that mean nothing to the task; here those of other tasks."""
        for name, value in OWN_SETTINGS.items():
            given = getattr(settings, name)
            if name not in self.settings and given != value:
                raise InputError(
                    f"Expected {name} to be left out for this task, {self.title.lower()}. Received: {given!r}."
                )

    def fitted(self, settings: TrainSettings, source: Source, say: Callable[[str], object]) -> "Task":
        """This task with what it takes from a run's settings and training images; by default itself.

        `say(sentence)` tells the user of it.
        """
        return self

    @property
    def facts(self) -> dict[str, Any]:
        """What `fitted` found, for JSON; {} for nothing."""
        return {}

    def from_facts(self, facts: dict[str, Any]) -> "Task":
        """The task with such facts; by default itself."""
        return self

    def for_model(self, model: keras.Model) -> "Task":
        """The task with what the Keras model itself tells; by default itself."""
        return self

    def is_whole(self, weights: PathLike) -> bool:
        """Whether `weights` is a file with a whole model of this task, not a classifier to start a backbone from."""
        return False

    def load_whole(
        self, model: keras.Model, weights: PathLike, class_names: Sequence[str], skip: str | None = None
    ) -> None:
        """Fill `model` from such a file, with `skip` "attention" all but its attention."""
        raise NotImplementedError(f"{type(self).__name__} must define load_whole(model, weights, class_names, skip).")

    def recognises(self, model: keras.Model) -> bool:
        """Whether a Keras model from anywhere is one of this task, by its last layers."""
        return False

    def expect_model(self, model: keras.Model | File, source: Source) -> None:
        """Refuse a model that can't be judged on the source."""

    def count_classes(self, output_shape: Shapes) -> int:
        """How many classes a model with outputs of this shape, or of these {name: shape}, tells apart; 0 for none."""
        return 0

    # Learning

    def encode(self, images: tf.Tensor, targets: dict[str, tf.Tensor], source: Source) -> Tensors:
        """The labels, a tensor or a dict, from images float32 [B, H, W, 3] in 0..255 and {target: batch}."""
        return targets

    def objective(self, settings: TrainSettings, class_names: Sequence[str]) -> Objective:
        """The Objective for a run's settings. Called in the scope of the strategy."""
        raise NotImplementedError(f"{type(self).__name__} must define objective(settings, class_names), to be trained.")

    def class_counts(self, source: Source) -> np.ndarray:
        """How often each class occurs in the training images, int64 [K]; here by their labels.

        Raises:
            InputError: they have none.
        """
        if "label" not in source.targets:
            raise InputError(f"Expected images with a label each for class_weights. Received: {source.name!r}.")
        labels = source.open_encoded("train").map(lambda example: example["label"], tf.data.AUTOTUNE)
        counts = np.zeros(len(source.class_names), np.int64)
        for batch in labels.batch(4096).as_numpy_iterator():
            counts += np.bincount(batch, minlength=len(counts))
        return counts

    def metrics(self) -> list[keras.metrics.Metric]:
        """New Keras metrics of the labels and the model's outputs; [] for the loss alone."""
        return []

    def is_better(self, value: float, best: float | None) -> bool:
        """Whether an epoch's metric `best` beats the best one so far, None before the first."""
        return best is None or (value > best if self.higher_is_better else value < best)

    # Evaluation

    def tally(self, class_names: Sequence[str]) -> Tally:
        """An object that adds up an evaluation: `add(learned, outputs)` for each batch, then `result()`, a dict."""
        return MetricTally(self.metrics())

    def report(
        self, title: str, result: Result, class_names: Sequence[str], published: Mapping[str, float] | None = None
    ) -> list[str | rich.table.Table]:
        """Texts and rich tables that show a tally's result; `published` is {name of a figure: percent}, or None."""
        figures = {name: value for name, value in result.items() if isinstance(value, int | float)}
        return [title, *(f"{name.replace('_', ' ')} {value:.4g}" for name, value in figures.items())]

    def class_table(self, result: Result, class_names: Sequence[str]) -> tuple[Sequence[str], Sequence[tuple]]:
        """(names of columns, rows) of a tally's result by class; ((), ()) where there are no classes."""
        return (), ()

    def worst(self, result: Result, class_names: Sequence[str]) -> list[Bad]:
        """The images on which a tally's result is worst, the worst first: [(index in the split, a few words, function
        of the image uint8 [h, w, 3] that draws into it, or None)]; with `panels` it gives the image and each of them.
        """
        return []

    def last_words(self, result: Result) -> str:
        """A phrase on the result of a run, the dict in result.json."""
        return f"Test {self.best.replace('_', ' ')} {result[f'test_{self.best}']:.4f}"

    def record(self, outputs: Arrays, class_names: Sequence[str], top: int, sides: Size | None = None) -> Record:
        """A model's outputs for one image, [1, ..], for JSON: {name: number, text, or lists of them}.

        Of several classes there are the `top` best. `sides` are (height, width) of the photo.
        """
        return {name: np.squeeze(value).tolist() for name, value in named(outputs).items()}

    def answer(self, title: str, record: Record) -> rich.table.Table:
        """A rich table of a record."""
        table = rich.table.Table("output", "values", title=title, title_justify="left")
        for name, value in record.items():
            table.add_row(name, np.array2string(np.asarray(value), precision=4, threshold=10))
        return table

    def in_words(self, record: Record, top: int = 3) -> str:
        """A record in a few words; of several classes the `top` best."""
        return ", ".join(f"{name} {np.array2string(np.asarray(value), threshold=4)}" for name, value in record.items())

    def colours(self, class_names: Sequence[str]) -> dict[str, tuple[int, int, int]]:
        """{class: (red, green, blue)} of masks; {} of tasks without."""
        return {}

    def mask_file(self, record: Record) -> bytes | None:
        """The bytes of a PNG with a class for each pixel of the photo; None of tasks without masks."""
        return None

    def picture(self, seen: np.ndarray, photo: np.ndarray, record: Record) -> np.ndarray:
        """What shows the answer best, uint8 [h, w, 3]: by default the image as the model saw it; `photo` is whole."""
        return seen

    def caption(self, learned: Arrays, class_names: Sequence[str]) -> str:
        """What is learned of one training image, an element of `encode`'s batch, in a few words."""
        return ""

    def shown(self, image: np.ndarray, learned: Arrays, class_names: Sequence[str]) -> np.ndarray:
        """A training image uint8 [H, W, 3] with what is learned of it drawn in."""
        return image

    # Export

    def form_for(self, kind: str, form: str | None = None, of_pixels: bool = False) -> str | None:
        """The name of the form in which a kind of file, "TFLite" say, is written: `form`, or the default one.

        Raises:
            InputError: the kind has no such form, or none with such an input.
        """
        forms = {name: each for name, each in self.forms.items() if each.kind in (None, kind)}
        if form in forms and forms[form].of_pixels > of_pixels:
            raise InputError(f"Expected input_type 'image' for form {form!r}. Received: an array. Take another form.")
        names = [name for name, each in forms.items() if each.of_pixels <= of_pixels]
        if form is None:
            return names[0] if names else None
        if form not in names:
            choices = f"one of {', '.join(map(repr, names))}" if names else "to be left out"
            raise InputError(f"Expected form for {kind} and {self.title.lower()}: {choices}. Received: {form!r}.")
        return form

    def own_form(self, kind: str, form: str | None) -> str | None:
        """`form` where a kind of file has it; None, which stands for the default, where another kind does, or for None.

        Raises:
            InputError: no kind has it.
        """
        if form is not None and form not in self.forms:
            choices = f"one of {', '.join(map(repr, self.forms))}" if self.forms else "to be left out"
            raise InputError(f"Expected form for {self.title.lower()}: {choices}. Received: {form!r}.")
        return form if form is not None and self.forms[form].kind in (None, kind) else None

    def model_for(self, model: keras.Model, form: str | None) -> keras.Model:
        """The Keras model whose outputs `in_form` makes a form of; by default the model itself."""
        return model

    def in_form(self, outputs: Arrays, form: str | None) -> Arrays:
        """Outputs of `model_for`, tensors or arrays, as a file gives them in a form; by default as they are."""
        return outputs

    def finished(self, outputs: dict[str, tf.Tensor], form: str | None) -> dict[str, tf.Tensor]:
        """What a file of the form gives of `in_form`'s {name: tensor}, where its own program computes that; by default
        the same."""
        return outputs

    def output_names(self, model: keras.Model, form: str | None = None) -> tuple[str, ...]:
        """Names for what `in_form` makes of the model's outputs, in the order of `tf.nest.flatten` of it."""
        output = model.output
        if not isinstance(output, dict | list | tuple):
            return ("features",)
        names = sorted(output) if isinstance(output, dict) else model.output_names
        return as_identifiers(names)  # Core ML takes no others

    def has_classes(self, output_names: Sequence[str]) -> bool:
        """Whether a model with these outputs has classes, so that names of them make sense."""
        return bool(set(output_names) & set(self.class_scores))

    def expect_labels(self, model: keras.Model, output_names: Sequence[str], labels: Sequence[str]) -> None:
        """Refuse names of classes that don't fit the model's outputs."""
        if labels:
            raise InputError(
                f"Expected no labels for a model that isn't a classifier. Received: {len(labels)} for the outputs "
                f"{', '.join(output_names)}. Leave them out."
            )

    def describe_output(self, name: str, model: keras.Model, form: str | None = None) -> str:
        """A sentence on an output of a form, or ""."""
        return ""

    def recognises_file(self, file: File) -> bool:
        """Whether a FileModel is one of this task, by its outputs; it tells no more of most."""
        return False

    def for_file(self, file: File) -> "Task":
        """The task with what a FileModel itself tells; by default itself."""
        return self

    def page_answer(self, file: File) -> dict[str, Any]:
        """What benchmark/browser/page/answers.js needs to make an answer of a FileModel's outputs, for JSON: {"kind":
        one of its KINDS, ..}."""
        return {"kind": "numbers"}

    def agreement(
        self, expected: NamedArrays, received: NamedArrays, file: "Task | None" = None, exact: bool = False
    ) -> float | None:
        """The share of answers that are the same in two {output name: [n, ..]} for n images; None for no answers.

        `expected` is the Keras model's own, `received` that of a file, `file` the task as the file tells it; `exact`
        says that the file should differ by rounding alone.
        """
        return None


class OutputMetric(keras.metrics.Metric):
    """A Keras metric of one of several outputs: of the labels and the outputs under `key`."""

    def __init__(self, metric: keras.metrics.Metric, key: str) -> None:
        super().__init__(metric.name)
        self._metric, self._key = metric, key

    def update_state(self, learned: NamedArrays, outputs: NamedArrays, sample_weight: Array | None = None) -> None:
        """Add a batch."""
        self._metric.update_state(learned[self._key], outputs[self._key])

    def result(self) -> tf.Tensor:
        """The metric's result."""
        return self._metric.result()

    def reset_state(self) -> None:
        """Start anew."""
        self._metric.reset_state()


class MetricTally:
    """The tally of Keras metrics: {name: value, "num_images": count}."""

    def __init__(self, metrics: Sequence[keras.metrics.Metric]) -> None:
        self._metrics, self._count = metrics, 0

    def add(self, learned: Arrays, outputs: Arrays) -> None:
        """Add a batch."""
        for metric in self._metrics:
            metric.update_state(learned, outputs)
        self._count += len(tf.nest.flatten(outputs)[0])

    def result(self) -> dict[str, float]:
        """The figures of all that was added."""
        return {metric.name: float(metric.result()) for metric in self._metrics} | {"num_images": self._count}


def expect_values(settings, wanted, what):
    """Refuse settings of a run that are not the `wanted` ones, {name: value}, of `what`, "a detector" say."""
    for name, value in wanted.items():
        if (given := getattr(settings, name)) != value:
            usual = value == getattr(TrainSettings(), name)
            advice = "Leave it out, or give it this value against a recipe's." if usual else "Give it this value."
            raise InputError(f"Expected {name}={value!r} for {what}. Received: {given!r}. {advice}")


def named(outputs, name="output"):
    """A model's outputs, a tensor or a dict, as a dict; a single one gets the `name`."""
    return outputs if isinstance(outputs, dict) else {name: outputs}
