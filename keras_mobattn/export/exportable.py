"""What is exported: a Keras model as one function of one image, with stable names for its input and outputs."""

import dataclasses
import functools
import importlib.metadata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import ArrayLike

from keras_mobattn._types import PathLike
from keras_mobattn.errors import InputError, expect_kind, expect_path
from keras_mobattn.layers import HALF, ImageRange, global_policy
from keras_mobattn.models import known_range, load_model, model_file
from keras_mobattn.models.input_shape import input_shape_of
from keras_mobattn.models.trace import trace_inference
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.tasks import FEATURES, Task, task_of
from keras_mobattn.tasks.form import IN_FLOAT32

INPUT_NAME = "image"
_BATCH = 8  # images that the Keras model takes at once while it is the reference


@dataclasses.dataclass(frozen=True)
class Exportable:
    """A Keras model that can be exported: a function of pixels 0..255 of a fixed shape (H, W, C), with named outputs.

    Whatever range the Keras model takes, `input_range`, its scale and shift belong to the function, so that whoever
    feeds a file need not know them. `task` is what the model is for; `labels` are the names of its classes, or none. Of
    a binary classifier, which gives the one probability p of its second class, the function gives [1 - p, p]; with
    `single_output` p alone, and files have no labels. `form` is one of the task's `forms`; None, the default of the
    kind of file that is written.
    """

    model: keras.Model
    input_shape: tuple[int, int, int]
    output_names: tuple[str, ...]
    labels: tuple[str, ...] = ()
    task: Task = FEATURES
    input_range: ImageRange = ImageRange()
    single_output: bool = False
    form: str | None = None

    def __post_init__(self):
        self.task.expect_labels(self.model, self.output_names, self.labels)
        if self.single_output and not self.task.is_binary:
            raise InputError(
                "Expected a binary classifier, which ends in one sigmoid, for single_output. Received: "
                f"{self.model.name!r} with output {self.model.output_shape}. Leave it out."
            )

    @functools.cached_property
    def computed(self) -> keras.Model:
        """The Keras model of which the form's outputs are made: the model itself, or one with other weights."""
        return self.task.model_for(self.model, self.form)

    def in_form(self, kind: str, form: str | None = None, of_pixels: bool = False) -> "Exportable":
        """The Exportable in the form that a kind of file, "TFLite" say, is written in: `form`, its own, or the default.

        Raises:
            InputError: the kind has no such form.
        """
        form = self.task.form_for(kind, form or self.form, of_pixels)
        names = self.task.output_names(self.model, form)
        return dataclasses.replace(self, form=form, output_names=names)

    def in_own_form(self) -> "Exportable":
        """The Exportable whose outputs are the Keras model's own."""
        return dataclasses.replace(self, form=None, output_names=self.task.output_names(self.model))

    @property
    def scores_classes(self) -> bool:
        """Whether there is one score for each class, and nothing else."""
        return bool(self.task.class_scores) and self.task.has_classes(self.output_names)

    @property
    def gives_probabilities(self) -> bool:
        """Whether every output is within 0..1."""
        return set(self.output_names) <= set(self.task.probabilities)

    @property
    def axis_labels(self) -> tuple[str, ...]:
        """The names of the scores along an exported output, in their order; () where there are none."""
        return () if self.single_output else self.labels

    def describe_output(self, name: str) -> str:
        """A sentence on an exported output, or ""."""
        if self.single_output:
            first, second = self.labels or ("the first class", "the second")
            return f"The probability of {second}, 0..1; that of {first} is the rest."
        return self.task.describe_output(name, self.model, self.form)

    def concrete_function(self, channels_first: bool = False) -> tf.types.experimental.ConcreteFunction:
        """Trace the function for one image [1, H, W, C] float32 of pixels; outputs as {name: tensor}.

        With `channels_first` it takes [1, C, H, W]. The batch is 1 and not None: with None the converter emits SHAPE,
        PACK and GATHER, which XNNPACK and the GPU reject.
        """

        def run(image):
            image = tf.transpose(image, (0, 2, 3, 1)) if channels_first else image
            outputs = self.named(self.computed(self.input_range.from_pixels(image), training=False))
            if self.form is None:
                return outputs
            outputs = self.task.finished(outputs, self.form)
            if not self.task.forms[self.form].rows:
                return outputs
            with tf.name_scope(IN_FLOAT32):
                return {name: tf.squeeze(value, 0) for name, value in outputs.items()}

        height, width, channels = input_shape_of(self.model)[1:]  # the first two are open in a model `at_any_size`
        shape = (1, channels, height, width) if channels_first else (1, height, width, channels)
        return trace_inference(run, tf.TensorSpec(shape, tf.float32, INPUT_NAME))

    def predict(self, pixels: np.ndarray | tf.Tensor) -> dict[str, np.ndarray]:
        """Run Keras itself on pixels [n, H, W, C]; return {output name: float32 array [n, ...]}."""
        images = self.input_range.from_pixels(pixels)
        batches = [images[i : i + _BATCH] for i in range(0, len(images), _BATCH)]
        outputs = [self.named(self.computed(batch, training=False)) for batch in batches]
        parts = [{name: value.numpy() for name, value in output.items()} for output in outputs]
        return {name: np.concatenate([part[name] for part in parts]) for name in self.output_names}

    def named(self, outputs: Any) -> dict[str, tf.Tensor]:
        """Return what the model gave (a tensor, a list or a dict) as {name: float32 tensor}."""
        outputs = outputs if self.single_output else self.task.in_form(outputs, self.form)
        values = tf.nest.flatten(outputs)  # a dict in the order of its sorted keys
        return {name: tf.cast(value, tf.float32) for name, value in zip(self.output_names, values, strict=True)}


def load(
    model_or_file: keras.Model | str | Path | Exportable,
    labels: Iterable[str] = (),
    task: Task | None = None,
    *,
    input_scale: ArrayLike | None = None,
    input_bias: ArrayLike | None = None,
    single_output: bool = False,
) -> Exportable:
    """Make a model ready for export.

    `model_or_file` is a keras.Model, a .keras or .h5 file, a SavedModel folder, or an Exportable (which keeps what is
    not given anew). `labels` are the names of its classes, in the order of the outputs; two for a binary classifier,
    whose sigmoid is the probability of the second. `task` is a `tasks.Task`, by default the one that recognises the
    model. `input_scale` and `input_bias` are what pixels 0..255 are multiplied by, and what is added then, to be what
    the model takes, a number or one for each channel: for a model that doesn't say it itself. `single_output` exports
    the one probability of a binary classifier instead of those of both classes.
    A model of mixed precision is rebuilt in float32 with the same weights: the converters choose the precision
    themselves.

    Raises:
        InputError: the file is missing or can't be read; the model has several inputs, an input that isn't an image
            [B, H, W, C] with fixed H, W and C, or nested outputs; labels that don't fit; a range that nobody tells, or
            another one than the model's own.
    """
    labels = _as_labels(labels)
    expect_kind("single_output", single_output, bool, "True or False")
    if isinstance(model_or_file, Exportable):
        source = model_or_file
        return dataclasses.replace(
            source,
            labels=labels or source.labels,
            input_range=_other_range(source, input_scale, input_bias),
            single_output=single_output or source.single_output,
        )
    model = model_or_file if isinstance(model_or_file, keras.Model) else load_model(model_or_file)
    shape = _input_shape(model)
    _expect_flat(model.output)
    input_range = known_range(model, input_scale, input_bias)
    model = _in_float32(model)
    task = task_of(model) if task is None else expect_kind("task", task, Task, "a tasks.Task").for_model(model)
    return Exportable(model, shape, task.output_names(model), labels, task, input_range, single_output)


def load_trained(path: PathLike, labels: Iterable[str] = (), **options: Any) -> Exportable:
    """The Exportable of a model file or a run folder: with the task of the run that it lies in, and without `labels`
    with its class names. `options` are those of `load`.

    Raises:
        InputError: as `load`.
    """
    run = RunFolder.of(path)
    source = load(model_file(path), labels, run.task if run else None, **options)
    if not run or source.labels or not source.task.has_classes(source.output_names):
        return source
    return load(source, run.labels)


def expect_suffix(path, suffix):
    """Refuse a path of another kind: to put a file in the place of somebody's folder would delete the folder."""
    if expect_path(path).suffix != suffix:
        raise InputError(f"Expected a path that ends in {suffix}. Received: {str(path)!r}. Rename it.")


def default_description(source, how):
    """One sentence on what an Exportable is and how it was converted, e.g. in "int8"."""
    return f"{source.task.title} in {how}, converted by keras_mobattn {importlib.metadata.version('keras_mobattn')}."


def _other_range(source, scale, bias):
    """The range of an Exportable, or the one that is told; they may not differ where the model knows it."""
    return source.input_range if scale is None and bias is None else known_range(source.model, scale, bias)


def _as_labels(given: Any) -> tuple[str, ...]:
    """Refuse what would make a file of labels with other lines than labels, e.g. one text in place of several."""
    labels = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str | bytes) else None
    if labels is None or not all(isinstance(label, str) and label.strip() for label in labels):
        raise InputError(f"Expected labels to be a tuple of class names. Received: {given!r}.")
    if any(len(label.splitlines()) > 1 for label in labels):
        raise InputError(f"Expected class names of one line each. Received: {labels!r}.")
    return labels


def _input_shape(model):
    inputs = tf.nest.flatten(model.inputs or [])
    if not inputs and not isinstance(model, keras.Sequential):
        raise InputError(
            f"Expected a model with an input of known size. Received: {type(model).__name__}, a subclass of "
            "keras.Model that computes in its call() alone. Give it an input: image = keras.Input((256, 256, 3)), then "
            "keras.Model(image, model(image))."
        )
    if len(inputs) != 1:
        raise InputError(
            f"Expected a built model with one input. Received: {len(inputs)} inputs. Build it with input_shape."
        )
    shape = tuple(inputs[0].shape)
    if len(shape) != 4 or None in shape[1:] or shape[0] not in (None, 1):
        raise InputError(
            f"Expected an input of fixed size [None, H, W, C]. Received: {list(shape)}. "
            "Build the model with input_shape=(256, 256, 3), say, and give it the weights by "
            "model.load_weights() or weights=."
        )
    return shape[1:]


def _expect_flat(output):
    tensors = output.values() if isinstance(output, dict) else output if isinstance(output, list | tuple) else ()
    if any(tf.nest.is_nested(tensor) for tensor in tensors):
        raise InputError(
            f"Expected one output tensor, or a flat list or dict of them. Received: {output}. Flatten them."
        )


def _in_float32(model):
    """Return the model, or a float32 copy if any layer computes in half precision."""
    if all(layer.compute_dtype not in HALF for layer in model._flatten_layers()):
        return model
    classes = {type(layer).__name__: type(layer) for layer in model._flatten_layers()}  # a user's own, in wrappers
    with global_policy("float32"), keras.utils.custom_object_scope(classes):  # for what a layer makes itself
        copy = _copied(model)
    copy.set_weights(model.get_weights())
    return copy


def _copied(layer):
    """A layer or model like this one, in float32. Its class and functions are those of the live object."""
    if isinstance(layer, keras.Sequential) or getattr(layer, "_is_graph_network", False):
        inputs = [_input_like(tensor) for tensor in layer.inputs or ()]
        return keras.models.clone_model(layer, inputs or None, clone_function=_copied)
    if isinstance(layer, keras.layers.Lambda):  # a config has code alone, without the module around it
        own = {name: getattr(layer, name) for name in ("function", "mask", "arguments")}
        return type(layer)(**own, name=layer.name, dtype="float32")
    return type(layer).from_config(_without_half(layer.get_config()))


def _input_like(tensor):
    """A Keras input of the same shape and name, in float32."""
    dtype = _without_half(tensor.dtype.name)
    return keras.Input(batch_size=tensor.shape[0], shape=tensor.shape[1:], name=tensor.node.layer.name, dtype=dtype)


def _without_half(config):
    """Replace half precision by float32 wherever a Keras config names it: policies, casts."""
    if isinstance(config, dict):
        return {key: _without_half(value) for key, value in config.items()}
    if isinstance(config, list | tuple):  # Keras's own kinds of lists, too
        values = [_without_half(value) for value in config]
        return tuple(values) if isinstance(config, tuple) else values
    return "float32" if config in (*HALF, *(f"mixed_{dtype}" for dtype in HALF)) else config
