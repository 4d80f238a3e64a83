"""Figures of a segmenter on a whole split, all from one confusion matrix of pixels."""

import functools
import heapq
import io
import itertools

import numpy as np
from PIL import Image

from keras_mobattn.data.targets import IGNORED, WHOLE_MASK
from keras_mobattn.errors import InputError
from keras_mobattn.tasks.known_classes import expect_known
from keras_mobattn.tasks.segmentation.draw import coloured, difference, mask_png, overlay
from keras_mobattn.tasks.segmentation.masks import masks_of, scores_of

TITLES = {"miou": "mIoU", "pixel_accuracy": "pixel accuracy", "mean_accuracy": "mean accuracy of classes"}
WORST = 24  # images whose masks are kept
PANELS = ("truth", "prediction", "difference")  # beside the image


class SegmentationTally:
    """Adds up pixels by true and predicted class, at the size that the masks themselves have.

    The result: {"miou", "pixel_accuracy", "mean_accuracy": float in 0..1, "num_images": int, "mistaken": images
    with a wrong pixel, "pixel_confusion": int64
    [K, K] (row: truth, column: prediction), "class_iou", "class_accuracy": float [K], NaN of classes that occur
    nowhere, "worst": [(index of the image, its mIoU, PNG of the truth, PNG of the prediction)], the worst first}.
    Pixels of the truth that are IGNORED don't count. mIoU is the mean over the classes that occur in the truth or in
    the predictions.
    """

    def __init__(self, class_names):
        self._class_names = class_names
        self._confusion = np.zeros((len(class_names),) * 2, np.int64)
        self._count = itertools.count()
        self._mistaken = 0
        self._worst = []  # a heap with the best of the worst on top

    def add(self, learned, outputs):
        """Add a batch: labels with the task's `truth`, and outputs.

        Raises:
            InputError: a pixel of a class that the images don't have.
        """
        scores = np.asarray(scores_of(outputs))
        for content, each in zip(np.asarray(learned[WHOLE_MASK]), scores, strict=True):
            truth = np.asarray(Image.open(io.BytesIO(content)))
            mask = masks_of(each[None], truth.shape)[0].numpy()
            expect_known(mask, self._class_names)
            confusion = confusion_of(truth, mask, len(self._class_names))
            self._confusion += confusion
            self._keep(next(self._count), truth, mask, confusion)

    def _keep(self, index, truth, mask, confusion):
        if not confusion.sum() or confusion.trace() == confusion.sum():
            return
        self._mistaken += 1
        place = (-float(np.nanmean(iou_of(confusion))), -index)
        if len(self._worst) < WORST or place > self._worst[0][0]:
            masks = (mask_png(each) for each in (truth, mask))
            push = heapq.heappush if len(self._worst) < WORST else heapq.heapreplace
            push(self._worst, (place, *masks))

    def result(self):
        """The figures of all that was added.

        Raises:
            InputError: no pixel of any mask counts.
        """
        confusion, count = self._confusion, next(self._count)
        if not confusion.sum():
            raise InputError(
                f"Expected pixels that count in the masks of the {count} images to evaluate on. Received: none, all "
                f"are {IGNORED}. Take others."
            )
        with np.errstate(invalid="ignore"):
            accuracy = np.diag(confusion) / confusion.sum(1)
        return {
            "miou": float(np.nanmean(iou_of(confusion))),
            "pixel_accuracy": float(confusion.trace() / confusion.sum()),
            "mean_accuracy": float(np.nanmean(accuracy)),
            "num_images": count,
            "mistaken": self._mistaken,
            "pixel_confusion": confusion,
            "class_iou": iou_of(confusion),
            "class_accuracy": accuracy,
            "worst": [(-index, -badness, *masks) for (badness, index), *masks in sorted(self._worst, reverse=True)],
        }


def confusion_of(truth, mask, classes):
    """Pixels int64 [classes, classes] by true and predicted class; those IGNORED in the truth are left out."""
    counts = truth != IGNORED
    return np.bincount(truth[counts].astype(np.int64) * classes + mask[counts], minlength=classes**2).reshape(
        classes, classes
    )


def iou_of(confusion):
    """Intersection over union of each class, float64 [K]; NaN of those that occur nowhere."""
    shared = np.diag(confusion).astype(np.float64)
    union = confusion.sum(0) + confusion.sum(1) - shared
    return np.divide(shared, union, out=np.full(len(shared), np.nan), where=union > 0)


def figures_by_class(result, class_names):
    """Columns and rows of each class's share of the pixels, IoU and accuracy, and of all."""
    confusion = result["pixel_confusion"]
    shares = confusion.sum(1) / confusion.sum()
    figures = zip(class_names, shares, result["class_iou"], result["class_accuracy"], strict=True)
    rows = [(name, *(_percent(value) for value in values)) for name, *values in figures]
    whole = (_percent(result[name]) for name in ("miou", "pixel_accuracy"))
    return ("class", "pixels %", "IoU %", "accuracy %"), [*rows, ("all", "100.0", *whole)]


def _percent(value):
    return "-" if np.isnan(value) else f"{100 * value:.1f}"


def worst_images(result, class_names):
    """The images with the lowest mIoU, as `Task.worst` wants them; each is drawn with PANELS beside it."""
    return [
        (index, f"mIoU {100 * miou:.0f} %", functools.partial(_panels, truth, mask, class_names))
        for index, miou, truth, mask in result["worst"]
    ]


def _panels(truth, mask, class_names, image):
    """(the image, its truth, the prediction over it, the difference), each uint8 [h, w, 3]."""
    size = image.shape[1::-1]
    truth, mask = (
        np.asarray(Image.open(io.BytesIO(each)).resize(size, Image.Resampling.NEAREST)) for each in (truth, mask)
    )
    return image, coloured(truth), overlay(image, mask, class_names), difference(truth, mask)
