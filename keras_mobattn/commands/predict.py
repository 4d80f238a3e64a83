"""Say what is in images: the best classes of a published checkpoint, or of a model of your own.

    python training/predict.py cat.jpg dog.jpg --weights mobilevitv2_100.cvnets_in1k
    python training/predict.py cat.jpg --model runs/photos
    python training/predict.py cat.jpg --model photos_int8.tflite

Exit code 2: an image could not be read; the others are still predicted.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import rich.markup
import tyro

from keras_mobattn import cli
from keras_mobattn.commands.opened import open_model
from keras_mobattn.data import fit_image, read_image
from keras_mobattn.errors import InputError, expect_range


def main(
    images: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE...", help_behavior_hint="")],
    weights: str | None = None,
    model: Path | None = None,
    top: int = 5,
) -> int:
    """Print the best classes of each image.

    Args:
        images: Image files of any size and format that Pillow reads.
        weights: A published checkpoint, e.g. timm/mobilevitv2_100.cvnets_in1k; it is downloaded once. Images are
            resized and cropped as it asks.
        model: A run folder, or a .keras, .h5 or .tflite file, in place of the checkpoint; with both, a file that was
            made from it.
        top: How many classes to print.
    """
    if not images:
        raise InputError("Expected one or more image files. Received: none.")
    expect_range("--top", top, 1, whole=True)
    opened = open_model(model, weights)
    code = 0
    for path in images:
        try:
            image = read_image(path)
        except InputError as error:  # the other images may do
            code = cli.complain(error)
            continue
        image = fit_image(image, opened.image_size, **opened.view)
        outputs = opened.model.predict_on_batch(np.float32(image)[np.newaxis])
        cli.console.print(opened.task.answer(rich.markup.escape(str(path)), outputs, opened.class_names, top))
    return code


def run():
    """Run it with the flags of the command line."""
    cli.run(main)
