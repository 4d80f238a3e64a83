"""A folder of images and masks: its layout, splits and classes, and what is left out of it."""

import dataclasses
import warnings
from pathlib import Path

from keras_mobattn.data.annotations.coco import coco_folder
from keras_mobattn.data.checking import ON_CORRUPT, decodable_images
from keras_mobattn.data.image_file import ImageFacts
from keras_mobattn.data.left_out import NAMED, LeftOut
from keras_mobattn.data.listing import expect_folder, files_by_suffix
from keras_mobattn.data.masks import look
from keras_mobattn.data.masks.coco import legend_function, read_outlines
from keras_mobattn.data.masks.downloads import read_ade20k, read_cityscapes, read_voc_masks
from keras_mobattn.data.masks.mask import Mask
from keras_mobattn.data.masks.pairs import read_pairs
from keras_mobattn.data.same_images import tell_same_in_splits
from keras_mobattn.data.splits import TRAIN, shuffled_with_test, with_training
from keras_mobattn.data.targets import IGNORED
from keras_mobattn.errors import InputError, choose

READERS = {look.VOC: read_voc_masks, look.CITY: read_cityscapes, look.ADE20K: read_ade20k, look.PAIRS: read_pairs}
EXPECTED = (
    "images/ and masks/ with PNGs of the same names, the folders of Pascal VOC, Cityscapes or ADE20k, or COCO's JSON "
    "with outlines"
)


@dataclasses.dataclass(frozen=True)
class MaskedFile:
    """An image file and its mask."""

    path: Path
    facts: ImageFacts
    mask: Mask


def read_masks(folder, on_corrupt="error", seed=0, for_test=False):
    """Find, read and check the images and masks of `folder`: (class names, {split: [MaskedFile, ..]}).

    Splits go by the names of folders (COCO's: of files), or the lists of Pascal VOC. Where nothing is held out, a fifth
    of the images becomes "test", drawn with `seed`; with `for_test` all images do, and none has to be for training. The
    files of a split come in a fixed random order.

    One warning counts and names what is left out: images without a mask, masks without an image, masks in which no
    pixel has a class. Others tell of classes without names, of classes that no training mask has, and of images that
    are in two splits.

    Raises:
        InputError: no folder, no masks, or of several sets; numbers or colours that are no classes'; another size than
            the image has, upright; a split without any class; corrupt files.
        OSError: a folder can't be read.
    """
    choose(ON_CORRUPT, on_corrupt, "on_corrupt")
    expect_folder(folder, "a folder of images and masks")
    left_out = LeftOut()
    listed, legend_of = _read(folder, left_out)
    listed = with_training(folder, listed, for_test)
    pairs = [each for images in listed.values() for each in images]
    facts = decodable_images(folder, [each.path for each in pairs], on_corrupt)
    masks = {each.mask.path: each.mask for each in pairs}
    seen = decodable_images(folder, list(masks), on_corrupt, lambda path: masks[path].inspect(), "masks")
    legend = legend_of(folder, seen)
    files = {}
    for split, images in listed.items():
        kept = [each for each in images if each.path in facts and each.mask.path in seen]
        files[split] = [_masked(each, facts[each.path], seen[each.mask.path], legend) for each in kept]
    files = {split: _with_classes(folder, split, images, left_out) for split, images in files.items()}
    left_out.tell(folder)
    _tell_unseen(folder, legend.class_names, files.get(TRAIN, ()))
    splits = shuffled_with_test(folder, files, seed, for_test)
    tell_same_in_splits(folder, splits)
    return legend.class_names, splits


def _read(folder, left_out):
    files = files_by_suffix(folder)
    found = look.layouts(folder)
    own = [each for each in found if each.name != look.PAIRS]
    if len(own) > 1:
        raise InputError(
            f"Expected one set of images and masks. Received: {folder} with {own[0].root} and {own[1].root}. Name one."
        )
    if found:
        layout = (own or found)[0]
        return READERS[layout.name](folder, layout.root, files, left_out)
    if not files[".json"]:
        raise InputError(f"Expected {EXPECTED}. Received: {folder} with none of these.")
    listed, classes = coco_folder(folder, files, left_out, read_outlines)
    return listed, legend_function(classes)


def _masked(pair, facts, seen, legend):
    if facts.size != seen.size:
        raise InputError(
            f"Expected the mask {str(pair.mask.path)!r} to have the size of its image, as it is shown, "
            f"{facts.size[1]}x{facts.size[0]} pixels. Received: {seen.size[1]}x{seen.size[0]}. Write it at that size."
        )
    classes = legend.classes(pair.mask.path, seen)
    return MaskedFile(
        pair.path, facts, Mask(pair.mask, seen.codes, classes, seen.digest, seen.plain and seen.codes == classes)
    )


def _with_classes(folder, split, files, left_out):
    """Those whose masks have a class somewhere; the others are left out."""
    kept = [each for each in files if set(each.mask.classes) != {IGNORED}]
    if files and not kept:
        raise InputError(
            f"Expected classes in the {split} masks of {folder}. Received: pixels that count nowhere in all "
            f"{len(files)}."
        )
    for each in files:
        if set(each.mask.classes) == {IGNORED}:
            left_out.add("masks in which no pixel has a class", each.mask.file.path)
    return kept


def _tell_unseen(folder, class_names, files):
    """Warn of classes that nothing can be learned of."""
    seen = {place for each in files for place in each.mask.classes}
    unseen = [name for place, name in enumerate(class_names) if place not in seen]
    if files and unseen:
        more = ", ..." if len(unseen) > NAMED else ""
        warnings.warn(
            f"{len(unseen)} of {len(class_names)} classes are in no training mask of {folder}: "
            f"{', '.join(unseen[:NAMED])}{more}.",
            stacklevel=4,
        )
