"""Say what is in images, and where: by a published checkpoint, a run of your own, or any file made from one.

    mobattn predict                                     # two photographs that are here, by a published checkpoint
    mobattn predict cat.jpg holidays/ "more/*.heic" --weights mobilevitv2_100.cvnets_in1k
    mobattn predict photos/ --model runs/photos --plot sheet.png
    mobattn predict cat.jpg --model runs/photos/model_int8.tflite --json-lines
    mobattn predict street.jpg --model runs/boxes --plot street_boxes.png
    mobattn predict photos/ --model runs/pets --masks masks/
    mobattn predict street.jpg --weights apple/deeplabv3-mobilevit-small --plot street_mask.png

Exit code 2: an image could not be read; the others are still predicted.
"""

import collections
import copy
import dataclasses
import glob
import json
import os
from pathlib import Path
from typing import Annotated

import rich.console
import rich.markup
import tyro

from keras_mobattn import cli
from keras_mobattn.catalog import DEFAULT_WEIGHTS
from keras_mobattn.errors import InputError, expect_range

MANY = 8  # images: with more, each gets a line instead of a table
SHOWN = 60  # images on a contact sheet


def main(
    images: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE...", help_behavior_hint="")
    ] = (),
    weights: str | None = None,
    model: Path | None = None,
    top: int = 5,
    min_score: float | None = None,
    json_lines: bool = False,
    plot: Path | None = None,
    masks: Path | None = None,
    input_scale: tuple[float, ...] | None = None,
    input_bias: tuple[float, ...] | None = None,
) -> int:
    """Print what a model says of each image.

    Args:
        images: Image files of any size and format that Pillow reads, folders of them, or patterns such as "*.jpg";
            none: the two photographs that come with scikit-learn.
        weights: A published checkpoint, e.g. timm/mobilevitv2_100.cvnets_in1k; it is downloaded once. Images are
            resized and cropped as it asks. Without --model too, it is that one.
        model: A run folder, or a .keras, .h5, .tflite or .mlpackage file, in place of the checkpoint; with both, a file
            that was made from it.
        top: How many classes to print, of a classifier.
        min_score: The least score of the objects that a detector shows; default 0.3.
        json_lines: Print a line of JSON for each image, and nothing else; boxes as COCO has them, [x, y, width, height]
            in pixels, and masks in COCO's run-length encoding.
        plot: Write a contact sheet of the images and what they were taken for to this .png; of one image by a detector
            or a segmenter the photo itself with its boxes or its classes' colours.
        masks: Of a segmenter, write each image's mask into this folder, a PNG of the photo's size and name: its pixels
            are the numbers of the classes, its palette is Pascal VOC's. None that is there is replaced.
        input_scale: What RGB 0..255 is multiplied by to be what the model takes, a number or one for each channel: for
            a Keras file that doesn't say it itself. 0.00784314 with --input-bias -1 for -1..1.
        input_bias: What is added then.
    """
    from keras_mobattn.commands.opened import open_model
    from keras_mobattn.files import replacing
    from keras_mobattn.report.pictures import under

    expect_range("--top", top, 1, whole=True)
    if plot and plot.suffix.lower() != ".png":
        raise InputError(f"Expected a .png file as --plot. Received: {str(plot)!r}.")
    found = list(pictures(images))
    if plot and os.path.realpath(plot) in {os.path.realpath(title) for title, _ in found}:
        raise InputError(
            f"Expected --plot to be none of the images. Received: {plot}, which is one. Take another name."
        )
    if model is None and weights is None:
        weights = _default_weights()
        _note(f"By the published checkpoint {DEFAULT_WEIGHTS}; --model RUN is for one of yours.")
    opened = open_model(model, weights, input_scale, input_bias)
    if min_score is not None:
        opened = _with_least_score(opened, min_score)
    mask_files = _mask_files(masks, opened, found) if masks else {}
    if plot and os.path.realpath(plot) in map(os.path.realpath, mask_files.values()):
        raise InputError(f"Expected --plot to be none of the masks. Received: {plot}, which is one. Take another name.")
    code, sheet, written = 0, [], 0
    for title, read in found:
        try:
            photo = read()
            image = _as_seen(photo, opened)
        except InputError as error:  # the other images may do
            code = cli.complain(error)
            continue
        record = opened.task.record(opened.predict(image), opened.class_names, top, tuple(photo.shape[:2]))
        if json_lines:
            print(json.dumps({"image": title, **record}, ensure_ascii=False))
        elif len(found) > MANY:
            cli.say(f"{title}: {opened.task.in_words(record, top)}")
        else:
            cli.console.print(opened.task.answer(rich.markup.escape(title), record))
        if title in mask_files:
            with replacing(mask_files[title]) as beside:
                beside.write_bytes(opened.task.mask_file(record))
            written += 1
        if plot and len(sheet) < SHOWN:
            picture = opened.task.picture(image, photo, record)
            sheet.append((picture, f"{under(opened.task.in_words(record, 1))}\n{Path(title).name[:18]}"))
    if plot and sheet:
        _write_sheet(plot, sheet, len(found))
    if written:
        classes = f", classes by number: {_numbered(opened.class_names)}" if opened.class_names else ""
        _note(f"Written: {written} {'mask' if written == 1 else 'masks'} in {masks}{classes}.")
    return code


def _mask_files(folder, opened, found):
    """{image: the path of its mask}."""
    from keras_mobattn.tasks import Task

    if type(opened.task).mask_file is Task.mask_file:
        raise InputError(f"Expected --masks with a segmenter. Received: {opened.title}. Leave it out.")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"Expected a folder for --masks. Received: {folder}, which is a file. Take another name.")
    paths = {title: folder / f"{Path(title).stem}.png" for title, _ in found}
    counts = collections.Counter(paths.values())
    twice = [title for title, path in paths.items() if counts[path] > 1]
    if twice:
        raise InputError(
            f"Expected images of different names for --masks. Received: {', '.join(twice[:3])}. Rename them, or take "
            "one folder after the other."
        )
    if over := next((title for title, path in paths.items() if path.resolve() == Path(title).resolve()), None):
        raise InputError(
            f"Expected another folder for --masks than that of the images. Received: {folder}, with {over}."
        )
    if there := [str(path) for path in paths.values() if path.exists()]:  # somebody's annotations, it may be
        more = f" and {len(there) - 1} more" if there[1:] else ""
        raise InputError(
            f"Expected a folder for --masks without masks of these images. Received: one with {there[0]}{more}. Take "
            "another folder, or move them away."
        )
    return paths


def _numbered(names):
    return ", ".join(f"{number} {name}" for number, name in enumerate(names[:MANY])) + (", .." if names[MANY:] else "")


def _with_least_score(opened, min_score):
    """The same, whose detector shows objects from this score on."""
    expect_range("--min-score", min_score, 0, 1)
    if not hasattr(opened.task, "min_score"):
        raise InputError(f"Expected --min-score with a detector. Received: {opened.title}. Leave it out.")
    task = copy.copy(opened.task)
    task.min_score = min_score
    return dataclasses.replace(opened, task=task)


def _default_weights():
    """The checkpoint where none is named. Without a network, this says so at once, not after all retries."""
    from keras_mobattn.weights import find_tag, hub_problem

    if problem := hub_problem(find_tag(DEFAULT_WEIGHTS)):
        raise InputError(
            f"Expected a model. Received: none, and {DEFAULT_WEIGHTS} can't be had: {problem}. Name a run or a model "
            "file with --model, or get to the network."
        )
    return DEFAULT_WEIGHTS


def pictures(names):
    """[(name, function that reads it)] of the images; `names` are of files, folders and patterns.

    Raises:
        InputError: a pattern that no file fits, a folder without images, or no file that is there.
    """
    if not names:
        from keras_mobattn.data.photos import whole_photos

        return [(name, lambda pixels=pixels: pixels) for name, pixels in whole_photos().items()]
    from keras_mobattn.data import read_image

    paths = [path for name in names for path in _paths(name)]
    if not any(path.exists() for path in paths):  # before a model is looked for
        raise InputError(f"Expected image files. Received: {', '.join(names)}, not there. Look in {Path.cwd()}.")
    return [(str(path), lambda path=path: read_image(path)) for path in dict.fromkeys(paths)]


def _paths(name):
    from keras_mobattn.data.image_file import SUFFIXES
    from keras_mobattn.data.listing import find_images, tell_left_out

    path = Path(os.path.expanduser(name))  # of "~nobody" it makes nothing, and no error either
    if path.is_dir():
        left_out = collections.Counter()
        images = find_images(path, left_out)
        tell_left_out(path, left_out)
        if not images:
            raise InputError(
                f"Expected images ({', '.join(SUFFIXES)}) in {name}. Received: a folder without. Name another one."
            )
        return images
    if path.exists() or not glob.has_magic(name):
        return [path]
    found = [Path(each) for each in sorted(glob.glob(str(path), recursive=True)) if Path(each).is_file()]
    if not found:
        raise InputError(f"Expected files that {name!r} fits. Received: none in {Path.cwd()}. Check the pattern.")
    return found


def _as_seen(image, opened):
    from keras_mobattn.data import resize_and_crop

    return resize_and_crop(image, opened.image_size, **opened.view).numpy()


def _write_sheet(path, sheet, count):
    import numpy as np

    from keras_mobattn import report
    from keras_mobattn.files import replacing
    from keras_mobattn.report.pictures import SIDE, framed, png

    images, captions = zip(*sheet, strict=True)
    if len(images) == 1 and max(images[0].shape) > SIDE:  # a photo, which says more at its own size
        drawn = png(images[0])
    else:
        same = len({image.shape for image in images}) == 1
        drawn = report.image_grid(
            np.stack(images if same else [framed(each) for each in images]), captions, format="png"
        )
    with replacing(path) as beside:
        beside.write_bytes(drawn)
    more = f", the first of {count}" if count > len(sheet) == SHOWN else ""
    _note(f"Written: {path}, {len(sheet)} image{'' if len(sheet) == 1 else 's'}{more}.")


def _note(sentence):
    """Print on stderr, so that stdout has the predictions alone."""
    rich.console.Console(stderr=True).print(sentence, soft_wrap=True, markup=False, highlight=False)


def run():
    """Run it with the flags of the command line."""
    cli.run(main)
