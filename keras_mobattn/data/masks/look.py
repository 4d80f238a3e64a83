"""Which layout of images and masks a folder has, without reading all of it."""

import dataclasses
import itertools
import os
from pathlib import Path

from keras_mobattn.data.listing import is_leftover

IMAGES = ("images", "jpegimages")  # names of folders, in any case
MASKS = ("masks", "labels", "annotations", "segmentationclass")
ROBOFLOW = "_classes.csv"  # whose masks lie beside the images
LOOKED_AT = 1000  # entries of a folder
FEW = 20  # sub-folders, up to which the folders in them are looked at too
CITYSCAPES = ("leftImg8bit", "gtFine")
ADE20K_NAMES = "objectInfo150.txt"


@dataclasses.dataclass(frozen=True)
class Layout:
    """A layout by its name, and the folder that has it: the one that was named, or one inside."""

    name: str
    root: Path


def is_masks(name):
    """Whether `name` is a folder of images and masks, in one of the LAYOUTS. COCO's outlines are boxes too, and don't
    count here."""
    folder = Path(os.path.expanduser(name))
    return folder.is_dir() and bool(layouts(folder))


def layouts(folder):
    """The Layouts in a folder, each with its root. Of several layouts that one place has, the first of LAYOUTS."""
    found = []
    for place in _places(folder):
        name = next((name for name, fits in LAYOUTS.items() if fits(place)), None)
        if name:
            found.append(Layout(name, place))
    return found


def _places(folder):
    inside = _folders(folder)
    deeper = [each for path in inside for each in _folders(path)] if len(inside) <= FEW else []
    return [folder, *(inside if len(inside) <= FEW else ()), *(deeper if len(deeper) <= FEW * FEW else ())]


def _entries(folder):
    with os.scandir(folder) as entries:
        return list(itertools.islice(entries, LOOKED_AT))


def _folders(folder):
    return sorted(Path(entry.path) for entry in _entries(folder) if entry.is_dir() and not is_leftover(entry.name))


def _is_voc(folder):
    return (folder / "SegmentationClass").is_dir() and (folder / "ImageSets" / "Segmentation").is_dir()


def _is_cityscapes(folder):
    return all((folder / name).is_dir() for name in CITYSCAPES)


def _is_ade20k(folder):
    """Its folders, and its list of classes or its images' names."""
    splits = [folder / kind / split for kind in ("images", "annotations") for split in ("training", "validation")]
    there = [path for path in splits if path.is_dir()]
    named = (folder / ADE20K_NAMES).is_file() or any(
        entry.name.startswith("ADE_") for path in there for entry in _entries(path)[:1]
    )
    return named and {path.parent.name for path in there} == {"images", "annotations"}


def _is_pairs(folder):
    """Masks in PNG in a folder called so, or beside the images as Roboflow puts them."""
    if (folder / ROBOFLOW).is_file():
        return True
    masks = [path for path in _folders(folder) if path.name.casefold() in MASKS]
    inside = [each for path in masks for each in (path, *_folders(path)[:FEW])]
    return any(entry.name.lower().endswith(".png") for path in inside for entry in _entries(path))


VOC, CITY, ADE20K, PAIRS = "Pascal VOC", "Cityscapes", "ADE20k", "images/ and masks/"
LAYOUTS = {VOC: _is_voc, CITY: _is_cityscapes, ADE20K: _is_ade20k, PAIRS: _is_pairs}
