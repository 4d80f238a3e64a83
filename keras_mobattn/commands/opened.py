"""The common part of predict and evaluate: a model with its task, its class names, and the view of its images."""

import dataclasses
import functools

import numpy as np

from keras_mobattn._tensorflow import keras
from keras_mobattn.catalog import TASKS
from keras_mobattn.errors import InputError
from keras_mobattn.export import FILE_MODELS, FileModel
from keras_mobattn.models import known_range, load_model, model_file, pretrained_model
from keras_mobattn.models.input_shape import takes_photos
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.tasks import FEATURES, Task, task_of
from keras_mobattn.weights import imagenet_classes
from keras_mobattn.weights.tags import Tag, find_tag, published_segmenter


@dataclasses.dataclass(frozen=True)
class Opened:
    """A model with what has to be known of it.

    Attributes:
        title: where it is from.
        model: a Keras model, a TFLiteModel or a CoreMLModel.
        task: what it is for.
        class_names: in the order of its outputs; () where it has no classes.
        named: whether its file, its run or its checkpoint tells these names; else they are a guess.
        view: the arguments of `data.resize_and_crop` that it is evaluated with, by the published checkpoint, else by
            the run that it lies in, else {}.
        tag: the published checkpoint that it is, or was made from; None for others.
        told: what the user says of the range that it takes, arguments of `known_range`.
    """

    title: str
    model: keras.Model | FileModel
    task: Task
    class_names: tuple[str, ...]
    view: dict
    tag: Tag | None = None
    named: bool = True
    told: dict = dataclasses.field(default_factory=dict)

    @property
    def image_size(self):
        """(height, width) of its input in pixels."""
        return self.model.input_shape[1:3]

    @functools.cached_property
    def input_range(self):
        """The ImageRange that it takes."""
        return known_range(self.model, **self.told)

    def predict(self, image):
        """The model's outputs for one image of its size, RGB 0..255, as a batch of one."""
        return self.model.predict_on_batch(self.input_range.from_pixels(np.float32(image)[np.newaxis]))


def open_model(path=None, weights=None, input_scale=None, input_bias=None):
    """Open a model file (.keras, .h5, .tflite, .mlpackage), a run folder, or the published checkpoint `weights`.

    With both, the file counts as made from that checkpoint, and has its class names and its view of images. A file in a
    run's folder has the run's task, class names and view. `input_scale` and `input_bias` tell what RGB 0..255 is
    multiplied by and what is added then, for a model that doesn't say it itself.

    Raises:
        InputError: neither, nobody who says which numbers it takes, a file that can't be read, an unknown checkpoint or
            one that can't be had, outputs of no known task, an input of no fixed size, or another number of class names
            than of classes.
    """
    if path is None and weights is None:
        raise InputError("Expected a model file, a run folder, or weights='NAME'. Received: none of them.")
    segmenter = published_segmenter(weights)
    if segmenter and path is None:
        return _published_segmenter(weights, input_scale, input_bias)
    tag = None if weights is None or segmenter else find_tag(weights)
    run = None if path is None else RunFolder.of(path)
    model = pretrained_model(weights) if path is None else _load(model_file(path))
    title = tag.name if path is None else str(path)
    classification = TASKS["classification"]
    task = run.task if run else _own_task(model) or classification
    task = task.for_file(model) if isinstance(model, FileModel) else task
    scores = _scores_classes(model) and (run or isinstance(model, FileModel) or task_of(model) is not FEATURES)
    if (task is classification and not scores) or not takes_photos(model):
        raise InputError(
            "Expected a classifier of RGB images of a fixed size with one output [n, classes], softmax, sigmoid or "
            "logits of a Dense, Activation or Softmax layer (one number: sigmoid), a detector, a segmenter, or the "
            f"folder of a run of another task. Received: {title} with input {model.input_shape} and output "
            f"{model.output_shape}."
        )
    told = {"scale": input_scale, "bias": input_bias}
    known_range(model, **told)
    own_names = _own_names(model, path, run, tag) or (_voc() if segmenter else ())
    count = task.count_classes(model.output_shape)
    names = own_names or _usual_names(count)
    if count and len(names) != count:
        raise InputError(
            f"Expected {count} class names for {title}. Received: {len(names)}, {', '.join(names[:3])} ..."
        )
    view = {"crop": tag.crop, "interpolation": tag.interpolation} if tag else run.view if run else _view(task)
    return Opened(title, model, task, names, view, tag, bool(own_names), told)


def _voc():
    """The class names of published segmenters."""
    from keras_mobattn.tasks.segmentation import VOC

    return tuple(VOC)


def _published_segmenter(weights, input_scale, input_bias):
    """A published segmenter, opened."""
    from keras_mobattn.tasks.segmentation import DeepLabV3

    model, told = DeepLabV3(weights=weights), {"scale": input_scale, "bias": input_bias}
    known_range(model, **told)
    task = task_of(model)
    return Opened(weights, model, task, _voc(), _view(task), told=told)


def _load(file):
    return FILE_MODELS.get(file.suffix, load_model)(file)


def _own_task(model):
    """The task of what is no classifier, a Keras model or a file; None for others."""
    if isinstance(model, FileModel):
        return next((task for task in TASKS.values() if task.recognises_file(model)), None)
    own = task_of(model)
    return None if own is FEATURES or isinstance(own, type(TASKS["classification"])) else own


def _view(task):
    return {"crop": None, "interpolation": "bicubic"} if task.whole_image else {}


def _scores_classes(model):
    """Whether there is one output [n, classes]. Not every kind of file tells its activation."""
    return isinstance(model.output_shape, tuple) and len(model.output_shape) == 2


def _own_names(model, path, run, tag):
    """The class names of the checkpoint, of the file, or of the run that it lies in; () where none tells."""
    if tag:
        return _imagenet()
    embedded = model.labels if isinstance(model, FileModel) else ()
    return embedded or (run.labels if run else ())


def _usual_names(count):
    """ImageNet's class names for 1000 classes, else numbers; () for 0."""
    return _imagenet() if count == len(_imagenet()) else tuple(f"class {i}" for i in range(count))


def _imagenet():
    return tuple(name.replace("_", " ") for _, name in imagenet_classes())
