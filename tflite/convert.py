"""Convert a Keras model to TFLite and check every file against Keras: one table.

    python tflite/convert.py runs/digits --precision fp32 fp16 dynamic int8
    python tflite/convert.py model.keras --precision int8 --images photos/

Exit code 0: converted and checked; 1: a precision failed (its file isn't kept, the others are); 2: bad input.
"""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from keras_mobattn import cli
from keras_mobattn.convert import convert_all
from keras_mobattn.export import TFLITE_PRECISIONS, to_tflite


def main(
    model: Annotated[Path, tyro.conf.Positional],
    output: Path | None = None,
    precision: tuple[Literal[tuple(TFLITE_PRECISIONS)], ...] = ("fp32",),
    images: Path | None = None,
    input_scale: float = 1.0,
):
    """Convert a Keras model to TFLite and check every file against Keras.

    Args:
        model: a .keras or .h5 file, a SavedModel folder, or the folder of a training run, whose dataset is then used.
        output: a .tflite file, or a folder for several precisions; default beside the model.
        precision: one or several.
        images: any folder of images, to check with and to calibrate int8 with.
        input_scale: what RGB 0..255 is multiplied by; 0.00392157 for a model with include_preprocessing=False.
    """
    return convert_all(_convert, ".tflite", model, output, precision, images, input_scale)


def _convert(source, path, precision, check, representative):
    return to_tflite(source, path, precision, representative_images=representative, check_images=check)


if __name__ == "__main__":
    cli.run(main)
