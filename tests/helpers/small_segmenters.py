"""Segmenters on a backbone of three convolutions: quick to convert, and all that their heads compute is in them."""

import numpy as np
import tf_keras as keras
from PIL import Image

import keras_mobattn
from helpers import shapes
from helpers.segmenters import NAMES, SIDES
from keras_mobattn import data
from keras_mobattn.layers import InputRange
from keras_mobattn.tasks.segmentation import segment
from keras_mobattn.tasks.segmentation.evaluation import confusion_of, iou_of
from keras_mobattn.tasks.segmentation.task import HEADS


def small_backbone():
    """A model with maps of stride 8 and 16."""
    image = keras.Input((*SIDES, 3))
    x = keras.layers.Conv2D(8, 3, 4, "same", activation="relu", name="stem")(InputRange()(image))
    x = keras.layers.Conv2D(16, 3, 2, "same", activation="relu", name="P3")(x)
    x = keras.layers.Conv2D(24, 3, 2, "same", activation="relu", name="P4")(x)
    return keras.Model(image, x, name="small")


def small_segmenter(head="lraspp", names=NAMES, **options):
    """A segmenter of these classes with random weights."""
    model = HEADS[head](small_backbone(), len(names), width=16, **options)
    return keras_mobattn.randomize_weights(model, 1)


def miou_on_shapes(model, folder):
    """The mIoU of `segment` on the test images of a folder of `shapes`."""
    confusion, classes = 0, len(shapes.NAMES)
    for path in sorted((folder / "images" / "test").iterdir()):
        with Image.open(folder / "masks" / "test" / path.name) as mask:
            truth = np.asarray(mask)
        confusion = confusion + confusion_of(truth, segment(model, data.read_image(path)), classes)
    assert confusion.sum() == shapes.SPLITS["test"] * (truth != shapes.IGNORED).sum()
    return np.nanmean(iou_of(confusion))
