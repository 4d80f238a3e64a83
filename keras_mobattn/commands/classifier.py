"""What training/predict.py and training/evaluate.py share: a classifier, its class names, and what images it wants."""

import dataclasses

from keras_mobattn._tensorflow import keras
from keras_mobattn.errors import InputError
from keras_mobattn.export import TFLiteModel, embedded_labels, read_labels
from keras_mobattn.models import labels_file, load_model, model_file, pretrained_model
from keras_mobattn.weights import imagenet_classes
from keras_mobattn.weights.tags import Tag, find_tag


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A model that takes RGB 0..255 and scores classes.

    Attributes:
        title: where it is from.
        model: a Keras model, or a TFLiteModel.
        class_names: in the order of its outputs.
        tag: the published checkpoint that it is, or was made from; None for others.
    """

    title: str
    model: keras.Model | TFLiteModel
    class_names: tuple[str, ...]
    tag: Tag | None = None

    @property
    def image_size(self):
        """(height, width) of its input in pixels."""
        return self.model.input_shape[1:3]

    @property
    def view(self):
        """The arguments of `data.fit_image` that it is evaluated with: the checkpoint's, else those of training."""
        return {"crop": self.tag.crop, "interpolation": self.tag.interpolation} if self.tag else {}


def open_classifier(path=None, weights=None):
    """Open a model file (.keras, .h5, .tflite), a run folder, or the published checkpoint `weights`.

    With both, the file is taken for one that was made from that checkpoint, and gets the images that it asks for.

    Raises:
        InputError: neither, a file that can't be read, an unknown checkpoint or one that can't be had, outputs that
            aren't scores of classes, an input of no fixed size, or another number of class names than of classes.
    """
    if path is None and weights is None:
        raise InputError("Expected a model file, a run folder, or --weights NAME. Received: none of them.")
    tag = None if weights is None else find_tag(weights)
    model = pretrained_model(weights) if path is None else _load(model_file(path))
    title = tag.name if path is None else str(path)
    shape = model.output_shape
    if not isinstance(shape, tuple) or len(shape) != 2 or None in model.input_shape[1:3]:
        raise InputError(
            f"Expected a classifier with a fixed input size and one output [n, classes]. Received: {title} with input "
            f"{model.input_shape} and output {shape}."
        )
    names = _class_names(path, tag, shape[-1])
    if len(names) != shape[-1]:
        raise InputError(
            f"Expected {shape[-1]} class names for {title}. Received: {len(names)}, {', '.join(names[:3])} ..."
        )
    return Classifier(title, model, names, tag)


def _load(file):
    return TFLiteModel(file) if file.suffix == ".tflite" else load_model(file)


def _class_names(path, tag, count):
    """A checkpoint's, the file's own, the run's that it lies in, ImageNet's for 1000 classes, or numbers."""
    if tag is None:
        file = model_file(path)
        if file.suffix == ".tflite" and (names := embedded_labels(file)):
            return names
        if labels := labels_file(file.parent):
            return read_labels(labels)
    imagenet = tuple(name.replace("_", " ") for _, name in imagenet_classes())
    return imagenet if tag or count == len(imagenet) else tuple(f"class {i}" for i in range(count))
