"""Sets as they are downloaded: Pascal VOC's, Cityscapes' and ADE20k's folders, each with its own numbers of classes."""

import collections

from keras_mobattn.data.listing import image_files
from keras_mobattn.data.masks.legend import Legend, legend_of, numbered
from keras_mobattn.data.masks.look import ADE20K_NAMES, CITYSCAPES
from keras_mobattn.data.masks.mask import PALETTE
from keras_mobattn.data.masks.pairs import by_file, paired
from keras_mobattn.data.splits import SPLIT_OF, TEST, TRAIN, split_of
from keras_mobattn.data.targets import IGNORED
from keras_mobattn.errors import InputError

VOC_CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
CITYSCAPES_CLASSES = {  # name -> the number in labelIds (github.com/mcordts/cityscapesScripts, labels.py)
    "road": 7, "sidewalk": 8, "building": 11, "wall": 12, "fence": 13, "pole": 17, "traffic light": 19,
    "traffic sign": 20, "vegetation": 21, "terrain": 22, "sky": 23, "person": 24, "rider": 25, "car": 26, "truck": 27,
    "bus": 28, "train": 31, "motorcycle": 32, "bicycle": 33,
}  # fmt: skip
LAST_ID = max(CITYSCAPES_CLASSES.values())
KINDS = {"_gtFine_labelIds": CITYSCAPES_CLASSES.values(), "_gtFine_labelTrainIds": range(len(CITYSCAPES_CLASSES))}


def read_voc_masks(folder, root, files, left_out):
    """As `pairs.read_pairs`: JPEGImages/, SegmentationClass/ and the lists in ImageSets/Segmentation/.

    The classes are those of a file in the folder, as CVAT writes it; else VOC's, where all masks have VOC's colours.
    """
    splits = _voc_lists(root)
    inside = {path: path.relative_to(root).parts for path in image_files(files) if path.is_relative_to(root)}
    images, masks = collections.defaultdict(list), {}
    for path, parts in inside.items():
        if parts[0] == "JPEGImages":
            images[(path.stem,)].append(path)
        elif parts[0] == "SegmentationClass" and path.suffix.lower() == ".png":
            masks[(path.stem,)] = path
    for (stem,), path in list(masks.items()):
        if stem not in splits:
            left_out.add("masks that are in no list of ImageSets/Segmentation", path)
            del masks[(stem,)], images[(stem,)]
    told = by_file(folder, files)
    return paired(folder, images, masks, left_out, lambda path: splits[path.stem]), (
        _voc_legend if told is numbered else told
    )


def _voc_lists(root):
    """{an image's name: its split}; without train.txt, trainval.txt and CVAT's default.txt are for training."""
    lists = {path.stem: path for path in sorted((root / "ImageSets" / "Segmentation").glob("*.txt"))}
    named = {stem: SPLIT_OF[stem.casefold()] for stem in lists if stem.casefold() in SPLIT_OF}
    if TRAIN not in named.values():
        named |= {stem: TRAIN for stem in ("trainval", "default") if stem in lists}
    found = {}
    for stem, split in sorted(named.items(), key=lambda each: each[1] == TRAIN):  # what is for training comes last
        for line in lists[stem].read_text(encoding="utf-8").splitlines():
            if line.strip():
                found.setdefault(line.strip().rsplit("/", 1)[-1], split)
    if not found:
        raise InputError(
            f"Expected lists of images, train.txt and val.txt, in {root / 'ImageSets' / 'Segmentation'}. Received: "
            f"{', '.join(lists) or 'none'}."
        )
    return found


def _voc_legend(folder, facts):
    colours = [_voc_colour(number) for number in range(256)]
    of_voc = all(
        each.kind == PALETTE
        and all(colours[code] == colour for code, colour in zip(each.codes, each.palette, strict=True))
        for each in facts.values()
    )
    numbers = {code for each in facts.values() for code in each.codes}
    if of_voc and numbers <= {*range(len(VOC_CLASSES)), IGNORED}:
        return legend_of(VOC_CLASSES, folder)
    return numbered(folder, facts)


def _voc_colour(number):
    """The colour 0xRRGGBB of a number in VOC's palette: the number's bits in turn, the highest first (VOCdevkit,
    VOClabelcolormap.m)."""
    colour = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            colour[channel] |= (number >> (3 * bit + channel) & 1) << (7 - bit)
    red, green, blue = colour
    return red << 16 | green << 8 | blue


def read_cityscapes(folder, root, files, left_out):
    """As `pairs.read_pairs`: leftImg8bit/ and gtFine/, of whose classes 19 are learned. The public test has no labels,
    and is left out."""
    ends = [end for end in KINDS if any(path.stem.endswith(end) for path in files[".png"])]
    if not ends:
        raise InputError(f"Expected masks *{' or *'.join(KINDS)}.png in {root / CITYSCAPES[1]}. Received: none.")
    images, masks = collections.defaultdict(list), {}
    for path in files[".png"]:
        if not path.is_relative_to(root):
            continue
        top, *rest = path.relative_to(root).parts
        if top == CITYSCAPES[0] and split_of(path.parent, root) == TEST:
            left_out.add("images of the test, whose labels are not public", path)
        elif top == CITYSCAPES[0]:
            images[(*rest[:-1], path.stem.removesuffix("_leftImg8bit"))].append(path)
        elif top == CITYSCAPES[1] and path.stem.endswith(ends[0]) and split_of(path.parent, root) != TEST:
            masks[(*rest[:-1], path.stem.removesuffix(ends[0]))] = path
    places = dict.fromkeys((*range(LAST_ID + 1), IGNORED), IGNORED)
    places |= {number: place for place, number in enumerate(KINDS[ends[0]])}
    legend = Legend(tuple(CITYSCAPES_CLASSES), places)
    return paired(folder, images, masks, left_out, lambda path: split_of(path.parent, root) or TRAIN), lambda *_: legend


def read_ade20k(folder, root, files, left_out):
    """As `pairs.read_pairs`: ADE20k's SceneParsing, whose 0 is no class. Its names are in objectInfo150.txt."""
    images, masks = collections.defaultdict(list), {}
    for path in image_files(files):
        top, *rest = path.relative_to(root).parts if path.is_relative_to(root) else ("",)
        key = (*rest[:-1], path.stem)
        if top == "images":
            images[key].append(path)
        elif top == "annotations" and path.suffix.lower() == ".png":
            masks[key] = path
    names = _ade20k_names(root / ADE20K_NAMES)

    def legend(folder, facts):
        found = legend_of(names, root / ADE20K_NAMES, 1) if names else numbered(folder, facts, 1)
        return Legend(found.class_names, {**found.places, 0: IGNORED})

    return paired(folder, images, masks, left_out, lambda path: split_of(path.parent, root) or TRAIN), legend


def _ade20k_names(path):
    """The first synonym of each row "Idx Ratio Train Val Name", or the next that no other class has; () without."""
    if not path.is_file():
        return ()
    names = []
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        if not line.strip():
            continue
        cells = line.split("\t")
        if len(cells) < 5 or cells[0].strip() != str(len(names) + 1):
            raise InputError(
                f"Expected rows of index, ratio, train, val and name, from 1 on, in {str(path)!r}. Received: {line!r}."
            )
        synonyms = [word.strip() for word in cells[-1].split(",")]
        free = next((word for word in synonyms if word not in names), None)
        names.append(free or f"{synonyms[0]} {len(names) + 1}")
    return tuple(names)
