"""Whether a folder looks like one of annotated images, without reading all of it."""

import itertools
import os
from pathlib import Path

from keras_mobattn.data.listing import sub_folders

LOOKED_AT = 1000  # files of a folder
WORDS = {  # how an annotation ends -> what it contains
    ".json": (b'"annotations"', b'"categories"', b'"bbox"'),
    ".xml": (b"<annotation", b"<bndbox>"),
    ".yaml": (b"names", b"train"),
    ".yml": (b"names", b"train"),
}


def is_annotated(name):
    """Whether `name` is a folder with COCO's JSON, Pascal VOC's XML or YOLO's data.yaml in it, or in a folder of it."""
    folder = Path(os.path.expanduser(name))
    if not folder.is_dir():
        return False
    seen = set()
    for place in (folder, *sub_folders(folder)):
        with os.scandir(place) as entries:
            for entry in itertools.islice(entries, LOOKED_AT):
                suffix = os.path.splitext(entry.name)[1].lower()
                if suffix in WORDS and (place, suffix) not in seen and entry.is_file():
                    seen.add((place, suffix))  # one of a kind tells
                    content = Path(entry.path).read_bytes()
                    if all(word in content for word in WORDS[suffix]):
                        return True
    return False
