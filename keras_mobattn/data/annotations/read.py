"""A folder of annotated images: its format, its splits and classes, and what is left out of it."""

import collections
import re

import numpy as np

from keras_mobattn.data.annotations.annotated import AnnotatedFile, LeftOut, in_shares
from keras_mobattn.data.annotations.coco import read_coco
from keras_mobattn.data.annotations.voc import read_voc
from keras_mobattn.data.annotations.yolo import IMAGES, read_data_yaml, read_yolo
from keras_mobattn.data.checking import ON_CORRUPT, decodable_images
from keras_mobattn.data.folder import TEST_SHARE
from keras_mobattn.data.image_file import SUFFIXES
from keras_mobattn.data.listing import find_images, is_leftover
from keras_mobattn.data.splits import SPLIT_OF, TEST, TRAIN, VALIDATION
from keras_mobattn.errors import InputError, choose

FORMATS = {  # a format -> how its files end
    "COCO": (".json",),
    "YOLO": (".yaml", ".yml"),
    "Pascal VOC": (".xml",),
}
EXPECTED = (
    "COCO's JSON (annotations/instances_train.json), Pascal VOC's XML (a file for each image), or YOLO's data.yaml "
    "with images/ and labels/"
)


def read_annotated(folder, on_corrupt="error", seed=0, for_test=False):
    """Find, read and check the annotated images of `folder`: (class names, {split: [AnnotatedFile, ..]}).

    The format is that of its files; splits go by the names of files and folders, train, val or valid, and test. Where
    nothing is held out, a fifth of the images becomes "test", drawn with `seed`; with `for_test` all images do, and
    none has to be for training. The files of a split come in a fixed random order.

    One warning counts and names what is left out: boxes outside of their image or without an area, crowds, images that
    are not there, and images without an annotation.

    Raises:
        InputError: no folder, no annotations or two kinds of them; damaged ones; classes that differ between the
            splits; no boxes at all; another size than the image has; corrupt images.
        OSError: a folder can't be read.
    """
    choose(ON_CORRUPT, on_corrupt, "on_corrupt")
    if not folder.is_dir():
        raise InputError(f"Expected a folder of annotated images. Received: {folder}, which is none.")
    left_out = LeftOut()
    found = _files(folder)
    kind = _format(folder, found)
    listed, names = READERS[kind](folder, found, left_out)
    listed = {split: listed[split] for split in (TRAIN, VALIDATION, TEST) if listed.get(split)}
    if TRAIN not in listed and not (for_test and listed):
        raise InputError(f"Expected training images in {folder}. Received: {', '.join(listed) or 'none'} alone.")
    annotated = {each.path.resolve() for images in listed.values() for each in images}
    for path in _images(found):
        if path.resolve() not in annotated:
            left_out.add("images without an annotation", path)
    facts = decodable_images(folder, [each.path for images in listed.values() for each in images], on_corrupt)
    files = {
        split: [_annotated(each, facts[each.path], names, left_out) for each in images if each.path in facts]
        for split, images in listed.items()
    }
    left_out.tell(folder)
    rng = np.random.RandomState(seed)  # the legacy generator: numpy promises that its stream never changes
    files = {split: [images[i] for i in rng.permutation(len(images))] for split, images in files.items()}
    for split, images in files.items():
        if not any(len(each.boxes) for each in images):
            raise InputError(
                f"Expected boxes in the {split} images of {folder}. Received: none in {len(images)} images."
            )
    return names, {TEST: files[TRAIN]} if for_test and list(files) == [TRAIN] else _held_out(folder, files)


def _held_out(folder, files):
    """The splits, with a test."""
    if TEST not in files and VALIDATION in files:
        return {TEST if split == VALIDATION else split: images for split, images in files.items()}
    if TEST in files:
        return files
    count = max(round(TEST_SHARE * len(files[TRAIN])), 1)
    if count == len(files[TRAIN]):
        raise InputError(f"Expected two or more images, to hold one out. Received: {folder} with one.")
    return {TRAIN: files[TRAIN][count:], TEST: files[TRAIN][:count]}


def _annotated(listed, facts, names, left_out):
    if listed.size is not None and not _same_aspect(listed.size, facts.size):
        raise InputError(
            f"Expected {str(listed.path)!r} to be as its annotation says, {listed.size[1]}x{listed.size[0]} pixels. "
            f"Received: {facts.size[1]}x{facts.size[0]}, turned upright. Annotate the image as it is shown."
        )
    boxes, kept = in_shares(listed, facts.size, left_out)
    labels = np.array([names.index(listed.labels[place]) for place in kept], np.int64)
    return AnnotatedFile(listed.path, facts, boxes, labels)


def _same_aspect(one, other):
    """Whether one size is the other or, but for rounding, a scaled copy of it."""
    scale = [theirs / ours for ours, theirs in zip(one, other, strict=True)]
    return abs(scale[0] / scale[1] - 1) <= 1 / min(*one, *other) + 0.01


def _files(folder):
    """{how files end: their paths, sorted} of all in the folder, without those of programs."""
    files = collections.defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(is_leftover(part) for part in path.relative_to(folder).parts):
            files[path.suffix.lower()].append(path)
    return files


def _images(files):
    return [path for suffix in SUFFIXES for path in files[suffix]]


def _format(folder, files):
    """Which of FORMATS the folder is in."""
    present = [name for name, suffixes in FORMATS.items() if any(files[suffix] for suffix in suffixes)]
    if len(present) != 1:
        found = f"files of {' and '.join(present)}" if present else "none of their files"
        raise InputError(f"Expected {EXPECTED}. Received: {folder} with {found}. Keep one kind.")
    return present[0]


def _split_of(path, folder):
    """The split that a file's name or the folders above it tell, the nearest first; None for none."""
    for part in reversed(path.relative_to(folder).parts):
        words = re.split(r"[^a-z]+", part.lower())
        if found := next((SPLIT_OF[word] for word in words if word in SPLIT_OF), None):
            return found
    return None


def _finder(folder, files):
    """A function of an image's name and the path of the file that names it: the image's path, or None."""
    by_name = collections.defaultdict(list)
    for path in _images(files):
        by_name[path.name].append(path)

    def find(name, annotation):
        beside = annotation.parent / name
        near = [beside] if beside.is_file() else by_name[name.replace("\\", "/").rsplit("/", 1)[-1]]
        if len(near) > 1:  # of several by that name, the one of the same split
            split = _split_of(annotation, folder)
            near = [path for path in near if _split_of(path.parent, folder) == split] or near
        if len(near) > 1:
            raise InputError(
                f"Expected one image {name!r} for {str(annotation)!r}. Received: {', '.join(map(str, near[:3]))}. Put "
                "each beside its annotation, or into a folder called as its split."
            )
        return near[0] if near else None

    return find


def _coco(folder, files, left_out):
    find, listed, names = _finder(folder, files), {}, None
    for path in files[".json"]:
        images, theirs = read_coco(path, find, left_out)
        split = _split_of(path, folder) or TRAIN
        if split in listed:
            raise InputError(
                f"Expected one JSON file for the {split} images. Received: {folder} with several. Call them train, val "
                "and test."
            )
        if names is not None and theirs != names:
            odd = sorted(set(names) ^ set(theirs)) or ["the same in another order"]
            raise InputError(
                f"Expected the same classes in all splits of {folder}. Received: {', '.join(odd[:3])} in one alone."
            )
        listed[split], names = images, theirs
    return listed, names


def _voc(folder, files, left_out):
    find = _finder(folder, files)
    stems = {path.stem: path for path in _images(files)}

    def image_of(name, annotation):
        same = stems.get(annotation.stem)
        return (name and find(name, annotation)) or (same and find(same.name, annotation))

    listed = collections.defaultdict(list)
    lists = _voc_lists(folder, files)
    for path in files[".xml"]:
        each = read_voc(path, image_of)
        if each.path is None:
            left_out.add("images that are not there", path)
            continue
        listed[lists.get(path.stem) or _split_of(path, folder) or TRAIN].append(each)
    names = {split: {label for each in images for label in each.labels} for split, images in listed.items()}
    for split, theirs in names.items():
        if odd := sorted(theirs - names.get(TRAIN, theirs)):
            raise InputError(f"Expected classes of the training images in {split}. Received: {', '.join(odd[:3])} too.")
    return listed, tuple(sorted(set().union(*names.values())))


def _voc_lists(folder, files):
    """{an image's name: its split} of VOC's ImageSets/Main/train.txt and the like."""
    found = {}
    for path in files[".txt"]:
        if path.parent.name == "Main" and path.stem in SPLIT_OF:
            found |= {line.split()[0]: SPLIT_OF[path.stem] for line in path.read_text().splitlines() if line.strip()}
    return found


def _yolo(folder, files, left_out):
    (path, *others) = [path for suffix in FORMATS["YOLO"] for path in files[suffix]]
    if others:
        raise InputError(f"Expected one data.yaml. Received: {folder} with {path.name} and {others[0].name}.")
    splits, names = read_data_yaml(path)
    listed = {}
    for split, folders in splits.items():
        images = [image for each in folders for image in find_images(_images_in(each), collections.Counter())]
        listed[split] = [read_yolo(image, names) for image in images]
    return listed, names


def _images_in(folder):
    """A split's folder may hold images/ and labels/ itself."""
    return folder / IMAGES if (folder / IMAGES).is_dir() else folder


READERS = {"COCO": _coco, "YOLO": _yolo, "Pascal VOC": _voc}
