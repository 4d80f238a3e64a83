"""The accuracy of a classifier on a whole split, and tables of it."""

import numpy as np
import rich.markup
import rich.table

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


def accuracy_table(title, class_names, result):
    """A rich table of images and top-1 accuracy for each class, and for all. A class without images has no accuracy."""
    table = rich.table.Table(title=title)
    for column in ("class", "images", "top-1 %"):
        table.add_column(column, justify="left" if column == "class" else "right")
    for name, row, right in zip(class_names, result["confusion"], result["confusion"].diagonal(), strict=True):
        share = f"{100 * right / row.sum():.2f}" if row.sum() else "-"
        table.add_row(rich.markup.escape(name), str(row.sum()), share)
    table.add_section()
    table.add_row("all", str(result["num_images"]), f"{100 * result['accuracy']:.2f}")
    return table


def best_classes(title, scores, class_names, top):
    """A rich table of the `top` classes of one image by their scores [classes]."""
    table = rich.table.Table("class", title=title, title_justify="left")
    table.add_column("score", justify="right")
    for i in np.argsort(-scores, kind="stable")[:top]:
        table.add_row(rich.markup.escape(class_names[i]), f"{scores[i]:.4f}")
    return table
