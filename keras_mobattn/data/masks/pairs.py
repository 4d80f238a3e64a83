"""Images and masks in two folders beside each other, or as Roboflow puts them; a pair has the same name."""

import collections
import dataclasses
from pathlib import Path

from keras_mobattn.data.listing import image_files
from keras_mobattn.data.masks.legend import black_and_white, numbered, read_legend
from keras_mobattn.data.masks.look import IMAGES, MASKS, ROBOFLOW
from keras_mobattn.data.masks.mask import MaskFile
from keras_mobattn.data.splits import TRAIN, split_of
from keras_mobattn.errors import InputError

SUFFIX = "_mask"  # that a mask's name may have more than its image's
PICTURES = ("segmentationobject", "segmentationclassvisualization")  # folders of other pictures of the masks


@dataclasses.dataclass(frozen=True)
class Pair:
    """An image's path and its mask, a MaskFile or a coco.Outlines."""

    path: Path
    mask: MaskFile


def read_pairs(folder, root, files, left_out):
    """({split: [Pair, ..]}, a function (folder, {mask's path: MaskFacts}) -> Legend) of a `folder` with `files` by
    suffix.

    images/train/a.jpg belongs to masks/train/a.png, train/images/a.jpg to train/masks/a.png; with Roboflow's
    _classes.csv a.jpg to a_mask.png beside it. `left_out` counts images without a mask, and masks without an image.

    Raises:
        InputError: two images for one mask; no pair at all; lists of classes that can't be understood.
    """
    images, masks = collections.defaultdict(list), {}
    beside = {path.parent for path in files[".csv"] if path.name.lower() == ROBOFLOW}
    for path in image_files(files):
        parts = path.relative_to(folder).parts[:-1]
        kinds = [place for place, part in enumerate(parts) if part.casefold() in (*IMAGES, *MASKS, *PICTURES)]
        kind = parts[kinds[-1]].casefold() if kinds else ""
        key = (*(part for place, part in enumerate(parts) if place not in kinds[-1:]), path.stem)
        is_mask = kind in MASKS or (path.parent in beside and path.stem.endswith(SUFFIX))
        if kind in PICTURES:
            left_out.add("other pictures of masks", path)
        elif is_mask and path.suffix.lower() != ".png":
            left_out.add("masks that are no PNG", path)
        elif is_mask:
            masks[key] = path
        else:
            images[key].append(path)
    return paired(folder, images, masks, left_out, lambda path: split_of(path.parent, folder) or TRAIN), by_file(
        folder, files
    )


def paired(folder, images, masks, left_out, split):
    """{split: [Pair, ..]} of {key: image paths} and {key: mask path}; `split` is a function of an image's path.

    A key ends with the file's name. `left_out` counts what has no partner.
    """
    listed = collections.defaultdict(list)
    rest = dict(masks)
    for key, paths in images.items():
        mask = rest.pop(key, None) or rest.pop((*key[:-1], key[-1] + SUFFIX), None)
        if mask is None:
            for path in paths:
                left_out.add("images without a mask", path)
        elif len(paths) > 1:
            raise InputError(
                f"Expected one image for the mask {str(mask)!r}. Received: {', '.join(path.name for path in paths)}. "
                "Rename one, and its mask."
            )
        else:
            listed[split(paths[0])].append(Pair(paths[0], MaskFile(mask)))
    for mask in rest.values():
        left_out.add("masks without an image", mask)
    if not listed:
        raise InputError(
            f"Expected images and masks of the same names in {folder}. Received: {len(images)} images and "
            f"{len(masks)} masks, and no pair. Name masks as their images, in PNG."
        )
    return listed


def by_file(folder, files):
    """A function (folder, {path: MaskFacts}) -> Legend: what a file in the folder says, else the numbers alone."""
    legend = read_legend(folder, files)
    if legend is None:
        return numbered

    def told(folder, facts):
        two = len(legend.class_names) == 2
        return (black_and_white(folder, facts, legend.class_names) if two else None) or legend

    return told
