"""Annotations of YOLO: a text file for each image, a line for each object, and a data.yaml that names the classes."""

import numpy as np

from keras_mobattn._packages import needs
from keras_mobattn.data.annotations.annotated import Listed, expect_class_names
from keras_mobattn.data.splits import WORDS
from keras_mobattn.errors import InputError

IMAGES, LABELS = "images", "labels"  # the folder of the images, and the one of their text files beside it


def read_data_yaml(path):
    """({split: folders of its images}, names of the classes) of a data.yaml.

    Raises:
        InputError: no YAML, without names, with one name twice, or a folder that isn't there.
    """
    needs("PyYAML")
    import yaml

    try:
        record = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"Expected YAML. Received: {str(path)!r}, which is damaged ({error}).") from error
    names = record.get("names") if isinstance(record, dict) else None
    names = [names[number] for number in sorted(names)] if isinstance(names, dict) else names
    if not names or not isinstance(names, list):
        raise InputError(f"Expected 'names' of classes in {str(path)!r}. Received: {names!r}.")
    root = path.parent / str(record.get("path") or ".")
    root = root if root.is_dir() else path.parent  # ultralytics' is often from where it was made
    splits = {}
    for split, words in WORDS.items():
        given = next((record[word] for word in words if record.get(word)), None)
        if given is not None:
            splits[split] = [_folder(root, path, str(each)) for each in (given if isinstance(given, list) else [given])]
    return splits, expect_class_names(tuple(map(str, names)), path)


def _folder(root, path, name):
    near = (root / name, path.parent / name, path.parent / name.removeprefix("../"))
    found = next((folder for folder in near if folder.is_dir()), None)
    if found is None:
        raise InputError(f"Expected the images that {str(path)!r} names. Received: {name!r}, which is no folder there.")
    return found


def read_yolo(image, names):
    """The Listed of an image file by the text file that belongs to it. Without one it has no objects.

    A line is "class x y width height", of the box's center and size, as shares of the image's sides; or the class and
    the corners of a polygon, of which the box around it is taken.

    Raises:
        InputError: a line of another form, a class that `names` doesn't have, numbers above 1.
    """
    path = label_file(image)
    rows, labels = [], []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ()
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        where = f"line {number} of {str(path)!r}"
        label, values = _numbers(words, where)
        if not 0 <= label < len(names):
            raise InputError(f"Expected a class from 0 to {len(names) - 1} in {where}. Received: {words[0]}.")
        if np.nanmax(np.abs(values)) > 1 + 1e-3:
            raise InputError(
                f"Expected shares of the image's sides, 0 to 1, in {where}. Received: {line.strip()[:60]!r}. Divide "
                "pixels by the image's width and height."
            )
        rows.append(_box(values))
        labels.append(names[label])
    return Listed(image, None, np.array(rows, np.float64).reshape(-1, 4), tuple(labels))


def label_file(image):
    """The text file of an image: images/train/a.jpg has labels/train/a.txt, and a.jpg elsewhere a.txt beside it."""
    parts = list(image.parts)
    places = [place for place, part in enumerate(parts[:-1]) if part == IMAGES]
    if places:
        parts[places[-1]] = LABELS
    return type(image)(*parts).with_suffix(".txt")


def _numbers(words, where):
    try:
        label, values = int(words[0]), np.array([float(word) for word in words[1:]])
    except ValueError:
        label, values = -1, np.zeros(0)
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        raise InputError(
            f"Expected 'class x y width height' or a polygon in {where}. Received: {' '.join(words)[:60]!r}."
        )
    return label, values


def _box(values):
    """(ymin, xmin, ymax, xmax)."""
    if len(values) == 4:
        x, y, width, height = values
        return y - height / 2, x - width / 2, y + height / 2, x + width / 2
    x, y = values[::2], values[1::2]
    return y.min(), x.min(), y.max(), x.max()
