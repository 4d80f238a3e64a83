"""The accuracy of a classifier on a whole split, and tables of it."""

import numpy as np

from keras_mobattn.tasks.classification.both_classes import both_classes


class AccuracyTally:
    """Adds up labels and probabilities, [B, classes] both, or [B, 1] of the second of two classes.

    The result: {"accuracy": float, "top5_accuracy": float in 0..1, "num_images": int, "confusion": int64 [classes,
    classes] (row: truth, column: prediction), "probabilities": float32 [n, classes], "labels": int64 [n]}.
    """

    def __init__(self, classes):
        self._classes = classes
        self._labels, self._probabilities = [], []

    def add(self, labels, probabilities):
        """Add a batch."""
        self._labels.append(np.argmax(labels, -1))
        self._probabilities.append(both_classes(np.asarray(probabilities)))

    def result(self):
        """The figures of all that was added."""
        probabilities, labels = np.concatenate(self._probabilities), np.concatenate(self._labels)
        ranked = np.argsort(-probabilities, axis=1)
        confusion = np.zeros((self._classes, self._classes), np.int64)
        np.add.at(confusion, (labels, ranked[:, 0]), 1)
        return {
            "accuracy": float(np.mean(ranked[:, 0] == labels)),
            "top5_accuracy": float(np.mean(np.any(ranked[:, :5] == labels[:, None], axis=1))),
            "num_images": len(labels),
            "confusion": confusion,
            "probabilities": probabilities,
            "labels": labels,
        }


def accuracy_by_class(result, class_names):
    """Columns and rows of images and top-1 accuracy for each class, and for all. A class without images has none."""
    rows = []
    for name, row, right in zip(class_names, result["confusion"], result["confusion"].diagonal(), strict=True):
        rows.append((name, int(row.sum()), f"{100 * right / row.sum():.2f}" if row.sum() else "-"))
    return ("class", "images", "top-1 %"), [*rows, ("all", result["num_images"], f"{100 * result['accuracy']:.2f}")]


def most_mistaken(result, class_names):
    """Images of a wrong class, the most confident first, as `Task.worst` wants them."""
    guesses, sure = result["probabilities"].argmax(-1), result["probabilities"].max(-1)
    wrong = np.flatnonzero(guesses != result["labels"])
    order = wrong[np.argsort(-sure[wrong], kind="stable")]
    truth = result["labels"]
    return [(int(i), f"{class_names[guesses[i]]} {sure[i]:.2f},\nis {class_names[truth[i]]}", None) for i in order]
