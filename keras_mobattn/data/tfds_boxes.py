"""Where a tfds set keeps the boxes of its images, and the classes of them."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

HEAD, SPECIES = "head_bbox", "species"  # of oxford_iiit_pet: one box an image, or zeros
LABELS = ("label", "type")  # what the class of an object is called; the latter in kitti
LEFT_OUT = ("is_crowd", "invalid")  # objects with one of these are several, or none that could be told


@dataclasses.dataclass(frozen=True)
class TargetFeatures:
    """How to read targets whose features each set calls otherwise: boxes, or masks.

    names: the tfds features that are needed. class_names: in the order of the labels.
    read: a function of these features of an example -> {target: ..}; images among them are still encoded.
    """

    names: tuple[str, ...]
    class_names: tuple[str, ...]
    read: Callable


def box_features(features):
    """The TargetFeatures of the boxes of a set with tfds's {name: feature}; None where it has none.

    It reads {"boxes": float32 [n, 4], "box_labels": int64 [n]}, without crowds and boxes that have no area.
    They are in a sequence with a "bbox", whatever it is called; without classes the objects are of one, which is called
    as the sequence: "faces" has the class "face". Or the heads of oxford_iiit_pet, whose classes are the species.
    """
    import tensorflow_datasets as tfds

    for name, sequence in features.items():
        parts = getattr(sequence, "feature", {}) if isinstance(sequence, tfds.features.Sequence) else {}
        if hasattr(parts, "items") and "bbox" in (parts := dict(parts.items())):
            return _of_sequence(name, parts)
    if HEAD in features and SPECIES in features:
        return TargetFeatures((HEAD, SPECIES), tuple(features[SPECIES].names), _read_head)
    return None


def _of_sequence(name, parts):
    label = next((each for each in LABELS if hasattr(parts.get(each), "names")), None)
    class_names = tuple(parts[label].names) if label else (name.removesuffix("s"),)

    def read(example):
        objects = example[name]
        boxes = objects["bbox"]
        labels = objects[label] if label else tf.zeros(tf.shape(boxes)[0], tf.int64)
        kept = tf.reduce_all(boxes[:, 2:] > boxes[:, :2], 1)
        for each in LEFT_OUT:
            if each in objects:
                kept &= ~tf.cast(objects[each], tf.bool)
        return _those(boxes, labels, kept)

    return TargetFeatures((name,), class_names, read)


def _read_head(example):
    boxes, labels = example[HEAD][None], example[SPECIES][None]
    return _those(boxes, labels, tf.reduce_all(boxes[:, 2:] > boxes[:, :2], 1))


def _those(boxes, labels, kept):
    return {"boxes": tf.boolean_mask(boxes, kept), "box_labels": tf.boolean_mask(labels, kept)}
