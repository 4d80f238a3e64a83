"""A Source of the image files of a folder, with labels, boxes or masks."""

import functools
import hashlib
import os

import numpy as np
import tensorflow as tf

from keras_mobattn.data.annotations import read_annotated
from keras_mobattn.data.folder import LabelledFile, read_folder
from keras_mobattn.data.image_file import upright_bmp
from keras_mobattn.data.masks import read_masks
from keras_mobattn.data.reading import Indexed, column_of
from keras_mobattn.data.source import Source
from keras_mobattn.data.splits import TEST

BOXES = ("boxes", "box_labels")
READERS = {BOXES: read_annotated, ("mask",): read_masks}  # targets -> what reads a folder for them
CLASSES = (read_folder, ("label",))


def folder_source(folder, targets, *options):
    """The Source of a folder of annotated images for boxes, of images and masks for masks; else of one with a
    sub-folder for each class."""
    read, targets = next(((read, theirs) for theirs, read in READERS.items() if theirs[0] in targets), CLASSES)
    class_names, splits = read(folder, *options)
    return Source(
        name=folder.name or str(folder.resolve()),
        class_names=class_names,
        num_examples={split: len(files) for split, files in splits.items()},
        openers={split: functools.partial(_indexed_files, files, targets) for split, files in splits.items()},
        targets=targets,
        fingerprint=_fingerprint(splits, targets),
    )


def _fingerprint(splits, targets):
    digest = hashlib.blake2b(digest_size=16)
    for split, files in splits.items():
        for file in files:
            values = (file.mask.fingerprint if name == "mask" else getattr(file, name) for name in targets)
            learned = " ".join(str(np.asarray(value).tolist()) for value in values)
            digest.update(f"{split} {learned} {file.facts.digest.hex()}\n".encode())
    return digest.hexdigest()


def files_source(name, files):
    """A Source of image files {path: ImageFacts} without targets; in this order, all are "test"."""
    files = [LabelledFile(path, 0, facts) for path, facts in files.items()]
    return Source(name, (), {TEST: len(files)}, {TEST: functools.partial(_indexed_files, files)}, targets=())


def _indexed_files(files, targets=("label",)):
    """The Indexed of image files with their targets: plain ones stay encoded for TensorFlow, Pillow decodes the
    others; masks likewise."""
    columns = {name: column_of([getattr(file, name) for file in files]) for name in targets if name != "mask"}
    plain = [file.facts.plain for file in files]
    image = _reader([file.path for file in files], plain, lambda index: upright_bmp(files[index].path))
    contents = {"image": image}
    if "mask" in targets:
        masks = [file.mask for file in files]
        plain = plain + [mask.plain for mask in masks]
        contents["mask"] = _reader(
            [mask.file.path for mask in masks], [mask.plain for mask in masks], lambda index: masks[index].png()
        )
    turned = np.array([file.facts.orientation if file.facts.plain else 1 for file in files], np.int32)
    orientations = None if (turned == 1).all() else tf.constant(turned)  # most sets need no turning, nor time for it

    def example(index):
        seen = {name: read(index) for name, read in contents.items()}
        seen |= {name: column[index] for name, column in columns.items()}
        return seen if orientations is None else seen | {"orientation": orientations[index]}

    return Indexed(len(files), example, portable=all(plain))


def _reader(paths, plain, convert):
    """A function of an index -> the bytes of the file; of one that isn't plain what `convert`, a function of the index,
    makes of it."""
    names, is_plain = tf.constant([os.fsencode(path) for path in paths]), tf.constant(plain)

    def converted(index):
        content = tf.numpy_function(lambda index: convert(int(index)), [index], tf.string, stateful=False)
        content.set_shape(())
        return content

    def read(index):
        if all(plain):
            return tf.io.read_file(names[index])
        return tf.cond(is_plain[index], lambda: tf.io.read_file(names[index]), lambda: converted(index))

    return read
