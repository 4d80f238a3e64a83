"""The splits of a folder or a tfds set, training, validation and test, by the names of sub-folders or splits."""

import dataclasses
import re
import warnings
from pathlib import Path

import numpy as np

from keras_mobattn.data.listing import sub_folders
from keras_mobattn.errors import InputError

TEST_SHARE = 0.2  # of the images, where nothing is held out
TRAIN, VALIDATION, TEST = "train", "validation", "test"
WORDS = {  # a split -> its names, in any case
    TRAIN: ("train", "training", "trn"),
    VALIDATION: ("validation", "valid", "val", "dev"),
    TEST: ("test", "testing", "tst"),
}
SPLIT_OF = {word: split for split, words in WORDS.items() for word in words}


@dataclasses.dataclass(frozen=True)
class Splits:
    """The splits of a folder."""

    folders: dict[str, Path]  # {"train": the folder with its classes, ..}
    aside: tuple[Path, ...] = ()  # folders that are called as a split, but have no classes


def by_split(names):
    """{split: name} of the names that mean a split.

    Raises:
        InputError: two names mean the same split.
    """
    found = {}
    for name in names:
        split = SPLIT_OF.get(name.casefold())
        if split in found:
            raise InputError(
                f"Expected one name for the {split} images. Received: {found[split]!r} and {name!r}. Rename one, or "
                "put them together."
            )
        if split:
            found[split] = name
    return found


def find_splits(folder):
    """The Splits of a folder: its sub-folders that are called as a split and hold classes, else itself as "train".

    Where only one of "validation" and "test" is there, it becomes "test"; without "train" that is enough to evaluate.

    Raises:
        InputError: two folders mean one split, or some folders look like splits and others don't.
    """
    inside = {path.name: path for path in sub_folders(folder)}
    named = {split: inside[name] for split, name in by_split(inside).items()}
    nested = {split: path for split, path in named.items() if sub_folders(path)}
    if not nested:
        _expect_one_flat(folder, named)
        return Splits({TRAIN: folder})
    if other := [name for name, path in inside.items() if path not in named.values()]:
        have = [path.name for path in nested.values()]
        raise InputError(
            f"Expected classes, or train/ and validation/ or test/ with classes inside, in {folder}. Received: "
            f"{', '.join(f'{name}/' for name in have)} with sub-folders, like a split, beside "
            f"{', '.join(f'{name}/' for name in other[:3])}{', ...' if len(other) > 3 else ''}, which is none. Name "
            "the folder that holds the classes, or move the others away."
        )
    held_out = nested.get(VALIDATION) or nested.get(TEST)
    if held_out and not {VALIDATION, TEST} <= set(nested):
        nested = {split: path for split, path in nested.items() if split == TRAIN} | {TEST: held_out}
    aside = tuple(path for path in named.values() if path not in nested.values())
    return Splits(nested, aside)


def _expect_one_flat(folder, named):
    """Refuse train/ and test/ full of images: they are no classes. One class may be called train, as a vehicle; it is
    told."""
    if len(named) > 1:
        names = " and ".join(f"{path.name}/" for path in named.values())
        raise InputError(
            f"Expected sub-folders of classes in the splits of {folder}. Received: {names} without any. Sort the "
            "images into one folder a class."
        )
    for path in named.values():
        warnings.warn(
            f"{path.name}/ in {folder} has no sub-folders and is taken for a class. If it holds images to test with, "
            "move it away, or put train/ with the classes beside it.",
            stacklevel=6,
        )


def split_of(path, folder):
    """The split that a file's name or the folders above it tell, the nearest first; None for none."""
    for part in reversed(path.relative_to(folder).parts):
        words = re.split(r"[^a-z]+", part.lower())
        if found := next((SPLIT_OF[word] for word in words if word in SPLIT_OF), None):
            return found
    return None


def with_training(folder, listed, for_test):
    """{split: list} of those that aren't empty, in the usual order.

    Raises:
        InputError: no training images. With `for_test` any are enough.
    """
    listed = {split: listed[split] for split in (TRAIN, VALIDATION, TEST) if listed.get(split)}
    if TRAIN not in listed and not (for_test and listed):
        raise InputError(f"Expected training images in {folder}. Received: {', '.join(listed) or 'none'} alone.")
    return listed


def held_out_of(count):
    """How many of a class's `count` images become the test: of two images or more at least one, and not all."""
    return max(round(TEST_SHARE * count), int(count > 1))


def shuffled_with_test(folder, files, seed, for_test):
    """{split: files in a fixed random order}, with a "test".

    Validation images alone become the test; of training images alone a fifth, or with `for_test` all.

    Raises:
        InputError: one image, of which none can be held out.
    """
    rng = np.random.RandomState(seed)  # the legacy generator: numpy promises that its stream never changes
    files = {split: [images[i] for i in rng.permutation(len(images))] for split, images in files.items()}
    if for_test and list(files) == [TRAIN]:
        return {TEST: files[TRAIN]}
    if TEST not in files and VALIDATION in files:
        return {TEST if split == VALIDATION else split: images for split, images in files.items()}
    if TEST in files:
        return files
    count = max(round(TEST_SHARE * len(files[TRAIN])), 1)
    if count == len(files[TRAIN]):
        raise InputError(f"Expected two or more images, to hold one out. Received: {folder} with one.")
    return {TRAIN: files[TRAIN][count:], TEST: files[TRAIN][:count]}
