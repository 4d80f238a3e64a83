"""Convert a Keras model to TFLite and check every file against Keras: one table.

    python tflite/convert.py runs/digits --precision fp32 fp16 dynamic int8
    python tflite/convert.py runs/digits --precision int8 --input-dtype uint8
    python tflite/convert.py model.keras --labels labels.txt --images photos/

Each file carries the metadata by which Android's Task Library and MediaPipe's ImageClassifier, ObjectDetector and
ImageSegmenter feed it and name its classes. Exit code 0: converted and checked; 1: a precision failed (its file isn't
kept, the others are); 2: bad input.
"""

import functools
from pathlib import Path
from typing import Annotated, Literal

import tyro

from keras_mobattn import cli
from keras_mobattn.about import About
from keras_mobattn.catalog import FORMS, IO_DTYPES, TFLITE_PRECISIONS
from keras_mobattn.formats.kinds import TFLITE


def main(
    model: Annotated[Path, tyro.conf.Positional],
    output: Path | None = None,
    precision: tuple[Literal[tuple(TFLITE_PRECISIONS)], ...] = ("fp32",),
    input_dtype: Literal[tuple(IO_DTYPES)] = "float32",
    output_dtype: Literal[tuple(IO_DTYPES)] = "float32",
    images: Path | None = None,
    on_corrupt: Literal["error", "skip"] = "error",
    input_scale: tuple[float, ...] | None = None,
    input_bias: tuple[float, ...] | None = None,
    single_output: bool = False,
    form: Literal[FORMS[TFLITE.name]] | None = None,
    labels: Path | None = None,
    about: About = About(),  # noqa: B008
):
    """Convert a Keras model to TFLite and check every file against Keras.

    Args:
        model: a .keras or .h5 file, a SavedModel folder, or the folder of a training run, whose dataset is then used.
        output: a .tflite file, or a folder for several precisions; default beside the model.
        precision: one or several.
        input_dtype: uint8 takes RGB 0..255 straight from a camera, int8 the same minus 128 (MediaPipe and Android's
            Task Library take float32 and uint8); with any precision.
        output_dtype: uint8 gives probabilities times 256, int8 the same minus 128.
        images: any folder of images, to check with and to calibrate int8 with.
        on_corrupt: what to do with images that can't be decoded.
        input_scale: what RGB 0..255 is multiplied by to be what the model takes, a number or one for each channel: for
            a Keras model that doesn't say it itself. 0.00784314 with --input-bias -1 for -1..1. Files take 0..255.
        input_bias: what is added then.
        single_output: of a binary classifier, give the probability of the second class alone, not those of both.
        form: of a detector. nms: ends in an operator that finds the objects, for MediaPipe's ObjectDetector and the
            Task Library (default); anchors: MediaPipe finds them by the anchors in the file, which runs on a GPU alone;
            raw: offsets and logits. Of a segmenter. logits: at the model's own stride, for MediaPipe's ImageSegmenter
            (default); probabilities: the same; full_size: probabilities of the image's size, for the Task Library.
        labels: a text file of class names, one a line, to be packed into the file; default the run's.
        about: what the file says of itself.
    """
    from keras_mobattn.commands.convert import convert_all
    from keras_mobattn.export import expect_io, to_tflite

    io_options = {"input_dtype": input_dtype, "output_dtype": output_dtype}
    convert = functools.partial(to_tflite, about=about, form=form, **io_options)

    def expect(source):
        expect_io(source.in_form(TFLITE.name, form), **io_options)

    options = dict(expect=expect, images=images, on_corrupt=on_corrupt, labels=labels)
    options |= dict(input_scale=input_scale, input_bias=input_bias, single_output=single_output)
    variants = {
        name: {"precision": name, "single_output": single_output, "form": form, **io_options} for name in precision
    }
    return convert_all(convert, TFLITE, model, output, variants, **options)


def run():
    """Run it with the flags of the command line."""
    cli.run(main)
