"""Annotations in COCO's JSON: one file for many images, with pixels and ids of classes."""

import json

import numpy as np

from keras_mobattn.data.annotations.annotated import Listed, expect_class_names
from keras_mobattn.data.annotations.find import image_finder
from keras_mobattn.data.splits import TRAIN, split_of
from keras_mobattn.errors import InputError

LISTS = ("images", "annotations", "categories")


def read_coco(path, images, left_out):
    """(Listed of each image of a JSON file, its classes' names in the order of their ids).

    `images` is a function of an image's name in the file and the file's own path, which gives None for an image that
    isn't there. `left_out` counts these, and crowds: boxes around several objects, which teach nothing.

    Raises:
        InputError: no JSON of this form; annotations of images or classes that it doesn't have; all images missing.
    """
    stated, names, objects = read_objects(path, ("image_id", "category_id", "bbox"))
    found = []
    for number, each in stated.items():
        file = images(each["file_name"], path)
        if file is None:
            left_out.add("images that are not there", each["file_name"])
            continue
        single = [one for one in objects[number] if not one.get("iscrowd")]
        for _ in range(len(objects[number]) - len(single)):
            left_out.add("crowds", each["file_name"])
        size = (whole_side(each["height"], path), whole_side(each["width"], path))
        found.append(Listed(file, size, _corners(single, path), _labels(single, names)))
    if stated and not found:
        raise InputError(
            f"Expected the images of {str(path)!r}. Received: none of the {len(stated)} that it names, such as "
            f"{next(iter(stated.values()))['file_name']!r}. Put them beside it, or into a folder of its name."
        )
    return found, tuple(names[number] for number in sorted(names))


def read_objects(path, keys):
    """({id: image}, {id: name of a class}, {image's id: its annotations}) of a JSON file, rows as they are there.

    Annotations have all of `keys`, "image_id" and "category_id" among them.

    Raises:
        InputError: no JSON of this form; annotations of images or classes that it doesn't have.
    """
    record = _record(path)
    names = {each["id"]: each["name"] for each in _rows(record, "categories", ("id", "name"), path)}
    expect_class_names([*names.values()], path)
    stated = {each["id"]: each for each in _rows(record, "images", ("id", "file_name", "width", "height"), path)}
    objects = {number: [] for number in stated}
    for each in _rows(record, "annotations", keys, path):
        if each["image_id"] not in stated or each["category_id"] not in names:
            wanted = "image" if each["image_id"] not in stated else "category"
            raise InputError(
                f"Expected annotations of what {str(path)!r} lists. Received: one with {wanted}_id "
                f"{each[f'{wanted}_id']!r}, which is not among its {LISTS[0] if wanted == 'image' else LISTS[2]}."
            )
        objects[each["image_id"]].append(each)
    return stated, names, objects


def coco_folder(folder, files, left_out, read=None):
    """({split: what `read` gives for its JSON file}, the classes' names) of a folder with `files` by suffix.

    `read` is `read_coco`, or another function of this form.

    Raises:
        InputError: several files for one split, classes that differ between the splits.
    """
    read = read or read_coco
    find, listed, names = image_finder(folder, files), {}, None
    for path in files[".json"]:
        images, theirs = read(path, find, left_out)
        split = split_of(path, folder) or TRAIN
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


def _record(path):
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(
            f"Expected annotations in JSON. Received: {str(path)!r}, which is damaged ({error}). Write it again."
        ) from error
    if not isinstance(record, dict) or any(not isinstance(record.get(name), list) for name in LISTS):
        raise InputError(
            f"Expected COCO's annotations, with lists {', '.join(LISTS)}. Received: {str(path)!r} without."
        )
    return record


def _rows(record, name, keys, path):
    for row in record[name]:
        if not isinstance(row, dict) or any(key not in row for key in keys):
            raise InputError(
                f"Expected {', '.join(keys)} in all {name} of {str(path)!r}. Received: {str(row)[:80]} among them."
            )
    return record[name]


def whole_side(side, path):
    """A side of an image in pixels, an int; else an InputError."""
    if not isinstance(side, int | float) or side < 1:
        raise InputError(f"Expected sides of images in {str(path)!r} to be numbers from 1 up. Received: {side!r}.")
    return int(side)


def _corners(objects, path):
    """Boxes [x, y, width, height] as corners [n, 4]."""
    try:
        boxes = np.array([each["bbox"] for each in objects], np.float64).reshape(len(objects), 4)
    except (TypeError, ValueError):
        raise InputError(
            f"Expected bbox of four numbers in {str(path)!r}. Received: "
            f"{next((each['bbox'] for each in objects if not _is_box(each['bbox'])), None)!r}."
        ) from None
    x, y, width, height = boxes.T
    return np.stack([y, x, y + height, x + width], 1)


def _is_box(value):
    return isinstance(value, list) and len(value) == 4 and all(isinstance(each, int | float) for each in value)


def _labels(objects, names):
    return tuple(names[each["category_id"]] for each in objects)
