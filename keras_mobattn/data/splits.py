"""The splits of a folder or a tfds set, training, validation and test, by the names of sub-folders or splits."""

import dataclasses
from pathlib import Path

from keras_mobattn.data.listing import sub_folders
from keras_mobattn.errors import InputError

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
    """Refuse train/ and test/ full of images: they are no classes. One class may be called train, as a vehicle."""
    if len(named) > 1:
        names = " and ".join(f"{path.name}/" for path in named.values())
        raise InputError(
            f"Expected sub-folders of classes in the splits of {folder}. Received: {names} without any. Sort the "
            "images into one folder a class."
        )
