"""A folder of annotated images: its format, its splits and classes, and what is left out of it."""

import collections
import os
import warnings

import numpy as np

from keras_mobattn.data.annotations.annotated import AnnotatedFile, expect_class_names, in_shares
from keras_mobattn.data.annotations.coco import coco_folder
from keras_mobattn.data.annotations.find import image_finder
from keras_mobattn.data.annotations.voc import read_voc
from keras_mobattn.data.annotations.yolo import IMAGES, label_file, read_data_yaml, read_yolo
from keras_mobattn.data.checking import ON_CORRUPT, decodable_images
from keras_mobattn.data.left_out import LeftOut, named_of
from keras_mobattn.data.listing import expect_folder, files_by_suffix, find_images, image_files
from keras_mobattn.data.same_images import tell_same_in_splits
from keras_mobattn.data.splits import SPLIT_OF, TRAIN, shuffled_with_test, split_of, with_training
from keras_mobattn.errors import InputError, choose

FORMATS = {  # a format -> how its files end
    "COCO": (".json",),
    "YOLO": (".yaml", ".yml"),
    "Pascal VOC": (".xml",),
}
NO_LABELS = {"classes", "labels", "readme", *SPLIT_OF}  # stems of other texts beside YOLO's label files
EXPECTED = (
    "COCO's JSON (annotations/instances_train.json), Pascal VOC's XML (a file for each image), or YOLO's data.yaml "
    "with images/ and labels/"
)


def read_annotated(folder, on_corrupt="error", seed=0, for_test=False):
    """Find, read and check the annotated images of `folder`: (class names, {split: [AnnotatedFile, ..]}).

    The format is that of its files; splits go by the names of files and folders, train, val or valid, and test. Where
    nothing is held out, a fifth of the images becomes "test", drawn with `seed`; with `for_test` all images do, and
    none has to be for training. The files of a split come in a fixed random order.

    One warning counts and names what is left out: boxes outside of their image or without an area, crowds, images that
    are not there, images without an annotation, and YOLO's text files without an image. Others tell of YOLO's images
    without a text file, which have no objects, and of images that are in two splits.

    Raises:
        InputError: no folder, no annotations or two kinds of them; damaged ones; classes that differ between the
            splits; no boxes at all; another size than the image has; corrupt images.
        OSError: a folder can't be read.
    """
    choose(ON_CORRUPT, on_corrupt, "on_corrupt")
    expect_folder(folder, "a folder of annotated images")
    left_out = LeftOut()
    found = files_by_suffix(folder)
    kind = _format(folder, found)
    listed, names = READERS[kind](folder, found, left_out)
    listed = with_training(folder, listed, for_test)
    annotated = {each.path.resolve() for images in listed.values() for each in images}
    for path in image_files(found):
        if path.resolve() not in annotated:
            left_out.add("images without an annotation", path)
    facts = decodable_images(folder, [each.path for images in listed.values() for each in images], on_corrupt)
    files = {
        split: [_annotated(each, facts[each.path], names, left_out) for each in images if each.path in facts]
        for split, images in listed.items()
    }
    left_out.tell(folder)
    for split, images in files.items():
        if not any(len(each.boxes) for each in images):
            raise InputError(
                f"Expected boxes in the {split} images of {folder}. Received: none in {len(images)} images."
            )
    splits = shuffled_with_test(folder, files, seed, for_test)
    tell_same_in_splits(folder, splits)
    return names, splits


def _annotated(listed, facts, names, left_out):
    if listed.size is not None and not _same_aspect(listed.size, facts.size):
        raise InputError(
            f"Expected {str(listed.path)!r} to be as its annotation says, {listed.size[1]}x{listed.size[0]} pixels. "
            f"Received: {facts.size[1]}x{facts.size[0]}, turned upright. Annotate the image as it is shown."
        )
    boxes, kept = in_shares(listed, facts.size, left_out)
    labels = np.array([names.index(listed.labels[place]) for place in kept], np.int64)
    return AnnotatedFile(listed.path, facts, boxes, labels)


def _same_aspect(one, other):
    """Whether one size is the other or, but for rounding, a scaled copy of it."""
    scale = [theirs / ours for ours, theirs in zip(one, other, strict=True)]
    return abs(scale[0] / scale[1] - 1) <= 1 / min(*one, *other) + 0.01


def _format(folder, files):
    """Which of FORMATS the folder is in."""
    present = [name for name, suffixes in FORMATS.items() if any(files[suffix] for suffix in suffixes)]
    if len(present) != 1:
        found = f"files of {' and '.join(present)}" if present else "none of their files"
        raise InputError(f"Expected {EXPECTED}. Received: {folder} with {found}. Keep one kind.")
    return present[0]


def _voc(folder, files, left_out):
    find = image_finder(folder, files)
    stems = {path.stem: path for path in image_files(files)}

    def image_of(name, annotation):
        same = stems.get(annotation.stem)
        return (name and find(name, annotation)) or (same and find(same.name, annotation))

    listed = collections.defaultdict(list)
    lists = _voc_lists(folder, files)
    for path in files[".xml"]:
        each = read_voc(path, image_of)
        if each.path is None:
            left_out.add("images that are not there", path)
            continue
        listed[lists.get(path.stem) or split_of(path, folder) or TRAIN].append(each)
    names = {split: {label for each in images for label in each.labels} for split, images in listed.items()}
    for split, theirs in names.items():
        if odd := sorted(theirs - names.get(TRAIN, theirs)):
            raise InputError(f"Expected classes of the training images in {split}. Received: {', '.join(odd[:3])} too.")
    return listed, expect_class_names(tuple(sorted(set().union(*names.values()))), folder)


def _voc_lists(folder, files):
    """{an image's name: its split} of VOC's ImageSets/Main/train.txt and the like."""
    found = {}
    for path in files[".txt"]:
        if path.parent.name == "Main" and path.stem in SPLIT_OF:
            found |= {line.split()[0]: SPLIT_OF[path.stem] for line in path.read_text().splitlines() if line.strip()}
    return found


def _yolo(folder, files, left_out):
    (path, *others) = [path for suffix in FORMATS["YOLO"] for path in files[suffix]]
    if others:
        raise InputError(f"Expected one data.yaml. Received: {folder} with {path.name} and {others[0].name}.")
    splits, names = read_data_yaml(path)
    listed = {}
    for split, folders in splits.items():
        images = [image for each in folders for image in find_images(_images_in(each), collections.Counter())]
        listed[split] = [read_yolo(image, names) for image in images]
    texts = {label_file(each.path): each.path for images in listed.values() for each in images}
    folders = {os.path.realpath(folder) for folder in {path.parent for path in texts}}
    known = {(os.path.realpath(path.parent), path.name) for path in texts}
    for path in files[".txt"]:
        place = (os.path.realpath(path.parent), path.name)
        if path.stem.casefold() not in NO_LABELS and place[0] in folders and place not in known:
            left_out.add("label files without an image", path)
    _tell_unlabelled(folder, [image for text, image in texts.items() if not text.is_file()])
    return listed, names


def _tell_unlabelled(folder, images):
    """Warn of images that are taken to show none of the objects, as YOLO does, since nobody may have looked yet."""
    if images:
        count = "1 image has" if len(images) == 1 else f"{len(images)} images have"
        warnings.warn(
            f"{count} no text file in {folder} and so no objects, as YOLO reads it: {named_of(images)}.",
            stacklevel=5,
        )


def _images_in(folder):
    """A split's folder may hold images/ and labels/ itself."""
    return folder / IMAGES if (folder / IMAGES).is_dir() else folder


READERS = {"COCO": coco_folder, "YOLO": _yolo, "Pascal VOC": _voc}
