"""What is left out of a folder of images with annotations or masks, counted by reason and told once."""

import collections
import warnings
from pathlib import Path

NAMED = 3  # files that a message names for each reason; the count tells the rest


class LeftOut:
    """What is left out, by reason, with the files that it is in."""

    def __init__(self):
        self._files = collections.defaultdict(list)

    def add(self, reason, file):
        """Count one."""
        self._files[reason].append(file)

    def tell(self, folder):
        """Warn, once, of all: "left out of photos: 3 boxes without an area (a.jpg, b.jpg)"."""
        if self._files:
            told = "; ".join(f"{len(files)} {reason} ({named_of(files)})" for reason, files in self._files.items())
            warnings.warn(f"Left out of {folder}: {told}.", stacklevel=4)


def named_of(files):
    """The names of the first of some files: "a.jpg, b.jpg, c.jpg, ..."."""
    different = list(dict.fromkeys(Path(file).name for file in files))
    return ", ".join(different[:NAMED]) + (", ..." if len(different) > NAMED else "")
