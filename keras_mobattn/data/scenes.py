"""What the tfds builders of scenes share: images with a mask, and a box and a class for each object."""

import io

import numpy as np
import tensorflow_datasets as tfds


def scene_features(side, class_names):
    """tfds's features of a scene of `side` pixels a side: image, mask, and objects, a sequence of bbox and label."""
    label = tfds.features.ClassLabel(names=class_names)
    return {
        "image": tfds.features.Image(shape=(side, side, 3), encoding_format="png"),
        "mask": tfds.features.Image(shape=(side, side, 1), encoding_format="png"),
        "objects": tfds.features.Sequence({"bbox": tfds.features.BBoxFeature(), "label": label}),
    }


def scene_example(scene):
    """A scene {"image", "mask", "boxes", "box_labels"} as tfds writes these features."""
    pairs = zip(scene["boxes"], scene["box_labels"], strict=True)
    objects = [{"bbox": tfds.features.BBox(*map(float, box)), "label": label} for box, label in pairs]
    return {name: encode_png(scene[name]) for name in ("image", "mask")} | {"objects": objects}


def encode_png(pixels):
    """A binary file with the PNG, by Pillow at its fastest level: faster than tfds's encoder, and slightly larger."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(file, "PNG", compress_level=1)
    file.seek(0)
    return file


def box_around(seen):
    """(ymin, xmin, ymax, xmax) in pixels of what is true in bool [h, w]."""
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    return rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
