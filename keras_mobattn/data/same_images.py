"""A warning of the same image in two splits, which makes the test's figures too good, or in two classes."""

import collections
import warnings

from keras_mobattn.data.left_out import NAMED


def tell_same(folder, splits, what, of):
    """Warn of files with the same bytes in two of `what`, "splits" say.

    `splits` is {split: files with a path and facts}, and `of` a function of a split and a file: which one it is in.
    """
    by_digest = collections.defaultdict(dict)
    for split, files in splits.items():
        for file in files:
            by_digest[file.facts.digest].setdefault(of(split, file), (split, file))
    found = [[*first_of_each.values()] for first_of_each in by_digest.values() if len(first_of_each) > 1]
    if found:
        named = "; ".join(
            " = ".join(f"{_short(file.path, folder)} ({split})" for split, file in group[:NAMED])
            for group in found[:NAMED]
        )
        count = "1 image is" if len(found) == 1 else f"{len(found)} images are"
        more = "; ..." if len(found) > NAMED else ""
        warnings.warn(f"{count} in two {what} of {folder}: {named}{more}.", stacklevel=4)


def tell_same_in_splits(folder, splits):
    """Warn of images that are in two splits."""
    tell_same(folder, splits, "splits", lambda split, file: split)


def _short(path, folder):
    return path.relative_to(folder) if path.is_relative_to(folder) else path
