"""Convert a Keras model to Core ML (.mlpackage) and check every package against Keras, on any system: one table.

    python coreml/convert.py runs/digits --precision fp16 fp32

Exit code 0: converted and checked; 1: a precision failed (its file isn't kept, the others are); 2: bad input.
"""

import functools
from pathlib import Path
from typing import Annotated, Literal

import tyro

from keras_mobattn import cli
from keras_mobattn.convert import convert_all
from keras_mobattn.export import COREML_PRECISIONS, COREML_TARGETS, to_coreml


def main(
    model: Annotated[Path, tyro.conf.Positional],
    output: Path | None = None,
    precision: tuple[Literal[tuple(COREML_PRECISIONS)], ...] = ("fp16",),
    images: Path | None = None,
    input_scale: float = 1.0,
    minimum_deployment_target: Literal[tuple(COREML_TARGETS)] = "iOS17",
):
    """Convert a Keras model to Core ML and check every package against Keras.

    Args:
        model: a .keras or .h5 file, a SavedModel folder, or the folder of a training run, whose dataset is then used.
        output: an .mlpackage, or a folder for several precisions; default beside the model.
        precision: one or several.
        images: any folder of images to check with.
        input_scale: what RGB 0..255 is multiplied by; 0.00392157 for a model with include_preprocessing=False.
        minimum_deployment_target: the oldest iOS that shall run it.
    """
    convert = functools.partial(_convert, target=minimum_deployment_target)
    return convert_all(convert, ".mlpackage", model, output, precision, images, input_scale)


def _convert(source, path, precision, check, representative, *, target):
    return to_coreml(source, path, precision, check_images=check, minimum_deployment_target=target)


if __name__ == "__main__":
    cli.run(main)
