"""Masks of COCO's JSON: the outlines of objects, polygons or run lengths, drawn one over the other."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np

from keras_mobattn.data.annotations.coco import read_objects, whole_side
from keras_mobattn.data.masks.legend import legend_of
from keras_mobattn.data.masks.mask import GREY, MaskFacts
from keras_mobattn.data.masks.pairs import Pair
from keras_mobattn.data.targets import IGNORED
from keras_mobattn.errors import InputError

BACKGROUND = "background"


@dataclasses.dataclass(frozen=True)
class Outlines:
    """The objects of an image, (class, COCO's segmentation) each, in any order; a crowd's class is IGNORED.

    path: the image's. stated: the JSON file. size: (height, width) by that file.
    """

    path: Path
    stated: Path
    size: tuple[int, int]
    objects: tuple

    def pixels(self):
        """The class of each pixel, uint8 [h, w]: 0, the background, where there is no object; a small object is in
        front of a large one, and crowds are behind all.

        Raises:
            InputError: an outline that is none.
        """
        drawn = [(label, self._drawn(outline)) for label, outline in self.objects]
        mask = np.zeros(self.size, np.uint8)
        for label, inside in sorted(drawn, key=lambda each: (each[0] != IGNORED, -each[1].sum())):
            mask[inside] = label
        return mask

    def _drawn(self, outline):
        from pycocotools import mask

        try:
            coded = outline
            if isinstance(outline, list) or isinstance(outline["counts"], list):
                coded = mask.frPyObjects(outline, *self.size)
            drawn = mask.decode(mask.merge(coded) if isinstance(coded, list) else coded)
        except Exception as error:  # what pycocotools raises of numbers that are no outline
            raise InputError(
                f"Expected outlines in {str(self.stated)!r}, polygons or run lengths of {self.size[1]}x{self.size[0]} "
                f"pixels. Received: {str(outline)[:80]} for {self.path.name!r} ({error})."
            ) from error
        if drawn.shape != self.size:
            raise InputError(
                f"Expected outlines of {self.size[1]}x{self.size[0]} pixels for {self.path.name!r} in "
                f"{str(self.stated)!r}. Received: run lengths of {drawn.shape[1]}x{drawn.shape[0]}."
            )
        return drawn.astype(bool)

    def inspect(self):
        """Its MaskFacts. Raises as `pixels`."""
        pixels = self.pixels()
        digest = hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()
        return MaskFacts(self.size, GREY, tuple(np.unique(pixels).tolist()), (), digest, False)


def read_outlines(path, images, left_out):
    """([Pair, ..] of a JSON file, the classes' names: "background" and the categories in the order of their ids).

    As `annotations.coco.read_coco`, whose arguments and errors it has. Where an object has no outline, its box is
    ignored.

    Raises:
        InputError: no outlines at all.
    """
    stated, names, objects = read_objects(path, ("image_id", "category_id", "bbox"))
    others = tuple(names[number] for number in sorted(names) if names[number] != BACKGROUND)
    classes = (BACKGROUND, *others)
    found, outlines = [], 0
    for number, each in stated.items():
        file = images(each["file_name"], path)
        if file is None:
            left_out.add("images that are not there", each["file_name"])
            continue
        drawn = []
        for one in objects[number]:
            label = IGNORED if one.get("iscrowd") else classes.index(names[one["category_id"]])
            outline = one.get("segmentation")
            if not outline:
                left_out.add("objects without an outline, whose boxes count nowhere", each["file_name"])
                label, outline = IGNORED, _around(one, path)
            else:
                outlines += 1
            drawn.append((label, outline))
        size = whole_side(each["height"], path), whole_side(each["width"], path)
        found.append(Pair(file, Outlines(file, path, size, tuple(drawn))))
    if not outlines:
        raise InputError(
            f"Expected outlines, 'segmentation', in {str(path)!r}. Received: none in {len(found)} images that are "
            "there. Export polygons or masks with them."
        )
    return found, classes


def _around(one, path):
    """A box as a polygon."""
    try:
        x, y, width, height = map(float, one["bbox"])
    except (TypeError, ValueError):
        raise InputError(f"Expected bbox of four numbers in {str(path)!r}. Received: {one['bbox']!r}.") from None
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def legend_function(classes):
    """A function (folder, facts) -> Legend, as `pairs.read_pairs` gives one."""
    return lambda folder, facts: legend_of(classes, folder)
