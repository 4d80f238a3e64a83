"""Coloured rectangles on black, with their boxes and masks, that can be found again in a view of the image."""

import numpy as np
import tensorflow as tf

from keras_mobattn.data import Indexed, Source

SHAPE = (83, 131)  # prime, so that swapped axes show
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))  # a rectangle of each on black


def rectangles(rng, count=3):
    """An image with coloured rectangles apart from each other, their boxes and the mask of 1 + colour."""
    image, mask = np.zeros((*SHAPE, 3), np.uint8), np.zeros((*SHAPE, 1), np.uint8)
    boxes = []
    for number in range(count):
        height, width = rng.integers(12, 24, 2)
        top = rng.integers(0, SHAPE[0] - height)
        left = rng.integers(number * SHAPE[1] // count, (number + 1) * SHAPE[1] // count - width)
        window = np.s_[top : top + height, left : left + width]
        image[window], mask[window] = COLOURS[number], 1 + number
        boxes.append((top, left, top + height, left + width))
    boxes = np.array(boxes, np.float32) / np.tile(SHAPE, 2)
    return {"image": image, "boxes": boxes.astype(np.float32), "box_labels": np.arange(count), "mask": mask}


def seen_boxes(image, colour):
    """(ymin, xmin, ymax, xmax) in pixels of what has more than half of the colour; None where nothing has."""
    channel = np.argmax(colour)
    rows, columns = np.nonzero(image[..., channel] > 127)
    return None if len(rows) == 0 else np.array([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1])


def drawn(count=10):
    """A Source of rectangles, whose images have one to three of them."""
    rng = np.random.default_rng(2)
    examples = [rectangles(rng, 1 + i % 3) for i in range(count)]
    rows = {key: tf.ragged.stack([example[key] for example in examples]) for key in ("boxes", "box_labels")}
    whole = {key: tf.constant(np.stack([example[key] for example in examples])) for key in ("image", "mask")}

    def example(i):
        pairs = {"boxes": tf.reshape(rows["boxes"][i].to_tensor(), [-1, 4]), "box_labels": rows["box_labels"][i]}
        return {key: value[i] for key, value in whole.items()} | pairs

    reader = Indexed(count, example)
    splits = dict.fromkeys(("train", "test"), count)
    return Source(
        "drawn",
        ("red", "green", "blue"),
        splits,
        dict.fromkeys(splits, lambda: reader),
        ("boxes", "box_labels", "mask"),
    )
