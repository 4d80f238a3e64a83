"""The image files of a folder, and the files that are left out, counted by reason."""

import collections
import os
import warnings
from pathlib import Path

from keras_mobattn.data.image_file import SUFFIXES
from keras_mobattn.errors import InputError

# Folders that programs leave beside pictures, with copies of these. Hidden ones, as .ipynb_checkpoints, go with them.
LEFTOVERS = {
    "__macosx",
    "@eadir",
    "#recycle",
    "$recycle.bin",
    "system volume information",
    "lost+found",
    "__pycache__",
}
UNMENTIONED = {"thumbs.db", "desktop.ini"}  # and hidden files that are no images


def expect_folder(folder, wanted):
    """Raise an InputError where `folder` is no folder; `wanted` says what is expected."""
    if not folder.is_dir():
        what = "a file" if folder.exists() else "not there"
        raise InputError(f"Expected {wanted}. Received: {folder}, which is {what}. Look in {folder.absolute().parent}.")


def sub_folders(folder):
    """Sub-folders by name, without hidden ones and LEFTOVERS; links to folders count as folders."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_leftover(path.name))


def is_leftover(name):
    """Whether a folder of this name is hidden, or a program's leftovers."""
    return name.startswith(".") or name.casefold() in LEFTOVERS


def find_images(folder, left_out, deep=True):
    """The image files in `folder`, sorted; with `deep` also those further inside. Links are followed, each folder once.

    Files that are no images by their name are counted in `left_out`, a Counter of reasons: ".txt", "in @eaDir/".

    Raises:
        OSError: a folder can't be read.
    """
    images, seen = [], set()
    for path, folders, files in os.walk(folder, onerror=_raise, followlinks=True):
        real = os.path.realpath(path)
        inside = [] if real in seen else sorted(folders)  # a link that leads to where it lies, or to what was read
        files = [] if real in seen else files
        seen.add(real)
        folders[:] = [name for name in inside if deep and not is_leftover(name)]
        for name in inside:
            if is_leftover(name):
                count = sum(map(_is_image, _files_below(Path(path) / name)))
                left_out.update({f"in {name}/": count} if count else {})
        for name in files:
            if reason := _why_not(Path(path), name):
                left_out[reason] += 1
            elif _is_image(name):
                images.append(Path(path) / name)
    return sorted(images)


def _why_not(folder, name):
    """In a word or two why a file is left out; "" for images, and for files that nobody expects to be images."""
    suffix = os.path.splitext(name)[1].lower()
    if name.startswith("."):
        return "hidden" if _is_image(name) else ""
    if name.casefold() in UNMENTIONED:
        return ""
    if suffix not in SUFFIXES:
        return suffix or "without a suffix"
    path = folder / name
    return "" if path.is_file() or not path.exists() else "no regular file"  # a broken link is a corrupt image


def _is_image(name):
    return os.path.splitext(name)[1].lower() in SUFFIXES


def _files_below(folder):
    return (name for _, _, files in os.walk(folder) for name in files)


def files_by_suffix(folder):
    """{how files end: their paths, sorted} of all in the folder, without those of programs."""
    files = collections.defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(is_leftover(part) for part in path.relative_to(folder).parts):
            files[path.suffix.lower()].append(path)
    return files


def image_files(files):
    """The paths of images among `files_by_suffix`."""
    return [path for suffix in SUFFIXES for path in files[suffix]]


def _raise(error):
    raise error


def tell_left_out(folder, left_out):
    """Warn, once, of what was left out of a folder, as "12 .txt, 3 in @eaDir/", the most frequent first."""
    if left_out:
        told = ", ".join(f"{count} {reason}" for reason, count in left_out.most_common())
        warnings.warn(f"Left out of {folder}: {told}.", stacklevel=3)
