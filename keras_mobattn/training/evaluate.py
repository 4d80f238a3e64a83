"""Accuracy of a saved model on a set of labelled images."""

import numpy as np

from keras_mobattn.data import batches
from keras_mobattn.errors import InputError


def evaluate(model, source, split="test", batch_size=64, crop=1.0, interpolation="bilinear"):
    """Predict a whole split. Returns top-1 and top-5 accuracy (0..1), the confusion matrix and the predictions.

    `crop` and `interpolation` are how `data.fit_image` makes the images as large as the model's input.
    {"accuracy": float, "top5_accuracy": float, "num_images": int, "confusion": int64 [classes, classes] (row: truth,
    column: prediction), "probabilities": float32 [n, classes], "labels": int64 [n]}.

    Raises:
        InputError: the model has another number of classes than the source, or no fixed size.
    """
    classes = len(source.class_names)
    if model.output_shape[-1:] != (classes,) or len(model.output_shape) != 2:
        raise InputError(
            f"Expected a classifier of the {classes} classes of {source.name!r}. "
            f"Received: {model.name} with output {model.output_shape}."
        )
    size = model.input_shape[1:3]
    if None in size:
        raise InputError(
            f"Expected a model with a fixed input size. Received: {model.name} with input {model.input_shape}."
        )
    probabilities, labels = [], []
    view = {"image_size": size, "crop": crop, "interpolation": interpolation}
    for images, targets in batches(source, split, batch_size=batch_size, **view):
        probabilities.append(model.predict_on_batch(images))
        labels.append(np.argmax(targets, -1))
    probabilities, labels = np.concatenate(probabilities), np.concatenate(labels)
    ranked = np.argsort(-probabilities, axis=1)
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, ranked[:, 0]), 1)
    return {
        "accuracy": float(np.mean(ranked[:, 0] == labels)),
        "top5_accuracy": float(np.mean(np.any(ranked[:, :5] == labels[:, None], axis=1))),
        "num_images": len(labels),
        "confusion": confusion,
        "probabilities": probabilities,
        "labels": labels,
    }
