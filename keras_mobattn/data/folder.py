"""A folder of images with one sub-folder a class: its files, classes and splits, and whether each file can be read."""

import concurrent.futures
import itertools

import numpy as np
import rich.console
import rich.progress
import tensorflow as tf

from keras_mobattn.errors import InputError, choose

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif")
FORMATS = ("JPEG", "MPO", "PNG", "BMP", "GIF")  # in Pillow's words; MPO is the JPEG with extra pictures of some cameras
TEST_FOLDERS = ("test", "validation", "val")
TEST_SHARE = 0.2
NAMED = 3  # how many corrupt files a message names; the count tells the rest


def read_folder(folder, on_corrupt, seed):
    """Find and check the images of `folder`: (class names, {"train": (paths, labels), "test": (paths, labels)}).

    With sub-folders train/ and one of test/, validation/, val/ these are the splits; else a fifth of each class is held
    out, drawn with `seed`. The files of a split come in a fixed random order, so the first few show all classes.

    Raises:
        InputError: no folder, no images, fewer than two classes, a class without images, or corrupt images.
    """
    report = choose(ON_CORRUPT, on_corrupt, "on_corrupt")
    if not folder.is_dir():
        what = "a file" if folder.exists() else "not there"
        raise InputError(
            f"Expected a folder with one sub-folder of images a class. Received: {folder}, which is {what}."
        )
    listed = {split: _list_classes(root) for split, root in _split_folders(folder).items()}
    class_names = _common_classes(folder, listed)
    _leave_out_corrupt(folder, listed, report)
    rng = np.random.RandomState(seed)  # the legacy generator: numpy promises that its stream never changes
    files = {split: _with_labels(classes, class_names, rng) for split, classes in listed.items()}
    if "test" not in files:
        files = _hold_out(folder, files["train"])
    return class_names, {split: _shuffled(pairs, rng) for split, pairs in files.items()}


def _with_labels(classes, class_names, rng):
    """For each class the list of its (path, label), in random order."""
    listed = ((classes[name], label) for label, name in enumerate(class_names))
    return [[(str(paths[i]), label) for i in rng.permutation(len(paths))] for paths, label in listed]


def _hold_out(folder, classes):
    """Split each class's files into train and test. One file at least goes to each, where there are two."""
    counts = [max(round(TEST_SHARE * len(files)), int(len(files) > 1)) for files in classes]
    if not any(counts):
        raise InputError(
            f"Expected two or more images in some class, to hold one out. Received: one in each of {folder}."
        )
    cut = list(zip(classes, counts, strict=True))
    return {"train": [files[count:] for files, count in cut], "test": [files[:count] for files, count in cut]}


def _shuffled(classes, rng):
    files = list(itertools.chain.from_iterable(classes))
    paths, labels = zip(*(files[i] for i in rng.permutation(len(files))), strict=True)
    return list(paths), list(labels)


def _sub_folders(folder):
    """Sub-folders by name, without hidden ones and archive leftovers such as __MACOSX."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))


def _split_folders(folder):
    """{"train": ..., "test": ...} when the folder has both, with classes inside, else {"train": folder}."""
    with_classes = {path.name: path for path in _sub_folders(folder) if _sub_folders(path)}
    test = next((name for name in TEST_FOLDERS if name in with_classes), None)
    if "train" in with_classes and test:
        return {"train": with_classes["train"], "test": with_classes[test]}
    return {"train": folder}


def _list_classes(root):
    """{class name: image paths}, both sorted; images may lie deeper in a class's folder."""
    return {
        path.name: sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        for path in _sub_folders(root)
    }


def _common_classes(folder, listed):
    """The class names, checked: at least two, the same in each split, each with files."""
    names = tuple(listed["train"])
    if len(names) < 2:
        found = f"{folder} with only {names[0]!r}" if names else f"{folder} with none"
        raise InputError(
            f"Expected two or more sub-folders, one a class, or train/ and test/ with these inside. Received: {found}."
        )
    for split, classes in listed.items():
        if odd := sorted(set(names) ^ set(classes)):
            raise InputError(
                f"Expected the same classes in train and test. Received: {folder} with {odd} in one alone."
            )
        if empty := [name for name, paths in classes.items() if not paths]:
            raise InputError(
                f"Expected images ({', '.join(SUFFIXES)}) in every class. Received: none in {', '.join(empty[:NAMED])} "
                f"({len(empty)} of {len(names)} classes of the {split} images in {folder})."
            )
    return names


def _leave_out_corrupt(folder, listed, report):
    """Take the files that can't be decoded out of `listed`, telling `report` about them."""
    paths = [path for classes in listed.values() for files in classes.values() for path in files]
    corrupt = _find_corrupt(paths)
    if not corrupt:
        return
    report(folder, corrupt, len(paths))
    for classes in listed.values():
        for name, files in classes.items():
            classes[name] = [path for path in files if path not in corrupt]
            if not classes[name]:
                raise InputError(
                    f"Expected an image that can be decoded in every class. Received: none in {files[0].parent}."
                )


def _find_corrupt(paths):
    """{path: reason} of the images that can't be decoded. Each is decoded once, in threads, under a progress bar."""
    console = rich.console.Console(stderr=True)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        problems = pool.map(_problem, paths)
        problems = rich.progress.track(problems, "Checking images", total=len(paths), console=console, transient=True)
        return {path: problem for path, problem in zip(paths, problems, strict=True) if problem}


def _problem(path):
    """Why the image at `path` can't be used, or None.

    Pillow tells the reason better and prints nothing, and in 600 damaged JPEGs it refused exactly those that TensorFlow
    refuses. In damaged PNGs and GIFs it overlooks some, so there TensorFlow, which will read them, decides too.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.format not in FORMATS:
                return f"{image.format} under the name {path.suffix}"
            if image.format == "BMP" and image.mode == "P":
                return "BMP with a palette, whose indices TensorFlow would take for grey levels"
            image.load()
            if image.format in ("PNG", "BMP", "GIF"):
                tf.io.decode_image(path.read_bytes(), channels=3, expand_animations=False)
    except Image.UnidentifiedImageError:
        return "not an image"
    except OSError as error:
        return error.strerror or str(error)
    except Exception as error:  # damaged headers make the decoders raise SyntaxError, ValueError, tf.errors, ...
        return f"damaged ({type(error).__name__})"
    return None


def _summary(folder, corrupt, total):
    first = itertools.islice(corrupt.items(), NAMED)
    named = ", ".join(f"{path.relative_to(folder)} ({reason})" for path, reason in first)
    more = f" and {len(corrupt) - NAMED} more" if len(corrupt) > NAMED else ""
    return f"{len(corrupt)} of {total} images can't be decoded: {named}{more}"


def _refuse(folder, corrupt, total):
    summary = _summary(folder, corrupt, total)
    raise InputError(
        f"Expected images that can be decoded. Received: {folder}, where {summary}. Repair or remove them, or skip "
        "them: on_corrupt='skip', --on-corrupt skip."
    )


def _skip(folder, corrupt, total):
    text = f"Skipping: in {folder}, {_summary(folder, corrupt, total)}."
    rich.console.Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)


ON_CORRUPT = {"error": _refuse, "skip": _skip}
