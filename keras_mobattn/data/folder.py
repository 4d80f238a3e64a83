"""A folder of images with one sub-folder for each class: its files, classes and splits, and what was left out."""

import collections
import dataclasses
import itertools
import unicodedata
from pathlib import Path

import numpy as np

from keras_mobattn.data.checking import ON_CORRUPT, decodable_images
from keras_mobattn.data.image_file import SUFFIXES, ImageFacts
from keras_mobattn.data.left_out import NAMED
from keras_mobattn.data.listing import expect_folder, find_images, sub_folders, tell_left_out
from keras_mobattn.data.same_images import tell_same, tell_same_in_splits
from keras_mobattn.data.splits import TEST, TRAIN, find_splits, held_out_of
from keras_mobattn.errors import InputError, choose
from keras_mobattn.files import is_label


@dataclasses.dataclass(frozen=True)
class LabelledFile:
    """An image file of a folder, the index of its class, and its ImageFacts."""

    path: Path
    label: int
    facts: ImageFacts


def read_folder(folder, on_corrupt="error", seed=0, for_test=False):
    """Find and check the images of `folder`: (class names, {split: [LabelledFile, ..]}).

    `splits.find_splits` tells the splits. Where nothing is held out for a test, a fifth of each class becomes "test",
    drawn with `seed`; with `for_test` all images do, and one class is enough. The files of a split come in a fixed
    random order, so that the first few show all classes.

    One warning counts and names what is left out, others the images that are in two splits or classes.

    Raises:
        InputError: no folder, no images, too few classes, a class without images, names that can't be used, splits that
            can't be told, or corrupt images.
        OSError: a folder can't be read.
    """
    choose(ON_CORRUPT, on_corrupt, "on_corrupt")
    expect_folder(folder, "a folder with one sub-folder of images a class")
    listed, left_out = _list(folder, for_test)
    class_names = _common_classes(folder, listed, 1 if for_test else 2)
    tell_left_out(folder, left_out)
    paths = [path for classes in listed.values() for path in itertools.chain(*classes.values())]
    facts = decodable_images(folder, paths, on_corrupt)
    rng = np.random.RandomState(seed)  # the legacy generator: numpy promises that its stream never changes
    files = {split: _labelled(classes, class_names, facts, rng) for split, classes in listed.items()}
    if TEST not in files:
        files = _hold_out(folder, files[TRAIN])
    splits = {split: _shuffled(classes, rng) for split, classes in files.items()}
    tell_same_in_splits(folder, splits)
    tell_same(folder, splits, "classes", lambda split, file: file.label)
    return class_names, splits


def _list(folder, for_test):
    """({split: {class name: image paths}}, Counter of what is left out), classes and paths sorted."""
    splits = find_splits(folder)
    folders = splits.folders
    if TRAIN not in folders and not for_test:
        raise InputError(
            f"Expected the training images in {folder}. Received: {', '.join(f'{p.name}/' for p in folders.values())} "
            "alone. Put train/ beside it."
        )
    if for_test and list(folders) == [TRAIN]:
        folders = {TEST: folders[TRAIN]}
    left_out = collections.Counter()
    for path in splits.aside:
        if count := len(find_images(path, left_out)):
            left_out[f"in {path.name}/, which has no sub-folders of classes"] += count
    for root in {folder, *folders.values()}:
        if count := len(find_images(root, collections.Counter(), deep=False)):
            left_out["outside of every class's folder"] += count
    listed = {}
    for split, root in folders.items():
        classes = {path: find_images(path, left_out) for path in sub_folders(root)}
        if for_test:  # a class may have no images to test
            classes = {path: paths for path, paths in classes.items() if paths}
        listed[split] = {_class_name(path): paths for path, paths in classes.items()}
        if len(listed[split]) < len(classes):
            raise InputError(
                f"Expected another name for each class. Received: {root}, where two folders' names look the same, but "
                "are written with other characters (an accent of its own, and a letter with it). Rename one."
            )
    return listed, left_out


def _class_name(path):
    """The folder's name, printable and composed (NFC), for labels.txt and models; macOS decomposes accents in names."""
    name = unicodedata.normalize("NFC", path.name)
    if not is_label(name):
        raise InputError(
            f"Expected printable names of classes that don't begin or end with a space: files keep them one a line. "
            f"Received: {str(path)!r}. Rename the folder."
        )
    return name


def _common_classes(folder, listed, fewest):
    """The class names, once they are at least `fewest`, the same in each split, and each has files."""
    names = tuple(listed.get(TRAIN, listed.get(TEST, ())))
    if len(names) < fewest:
        found = f"{folder} with only {names[0]!r}" if names else f"{folder} with none"
        raise InputError(
            f"Expected two or more sub-folders, one a class, or train/ and test/ with these inside. Received: {found}."
        )
    for split, classes in listed.items():
        if odd := sorted(set(names) ^ set(classes)):
            raise InputError(
                f"Expected the same classes in {TRAIN} and {split}. Received: {folder} with {odd} in one alone."
            )
        if empty := [name for name, paths in classes.items() if not paths]:
            raise InputError(
                f"Expected images ({', '.join(SUFFIXES)}) in every class. Received: none in {', '.join(empty[:NAMED])} "
                f"({len(empty)} of {len(names)} classes of the {split} images in {folder})."
            )
    return names


def _labelled(classes, class_names, facts, rng):
    """A list for each class with its LabelledFiles that `facts` has, in random order."""
    files = []
    for label, name in enumerate(class_names):
        paths = [path for path in classes[name] if path in facts]
        if not paths:
            raise InputError(
                f"Expected an image that can be decoded in every class. Received: none in {classes[name][0].parent}."
            )
        files.append([LabelledFile(paths[i], label, facts[paths[i]]) for i in rng.permutation(len(paths))])
    return files


def _hold_out(folder, classes):
    """{"train": .., "test": ..} of each class's files; a class of two files or more has at least one in both."""
    counts = [held_out_of(len(files)) for files in classes]
    if not any(counts):
        raise InputError(
            f"Expected two or more images in some class, to hold one out. Received: {folder} with one in each."
        )
    cut = list(zip(classes, counts, strict=True))
    return {TRAIN: [files[count:] for files, count in cut], TEST: [files[:count] for files, count in cut]}


def _shuffled(classes, rng):
    files = list(itertools.chain.from_iterable(classes))
    return [files[i] for i in rng.permutation(len(files))]
