"""Latency against the number of tokens: each attention style alone, or in a whole model, by the image's size."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import tf_keras as keras

from keras_mobattn import cli
from keras_mobattn.attention import ATTENTIONS
from keras_mobattn.benchmark import benchmark_files
from keras_mobattn.export import to_tflite
from keras_mobattn.files import made_after
from keras_mobattn.models import MobileViTv2, randomize_weights

DIM = 128  # attention width in layer 3 of MobileViTv2 1.0
STRIDE = 8  # of layer 3: its maps have an eighth of the image's side
PATCH_SIZE = 2
PACKAGE = Path(__file__).parents[1]
CONV = "1x1 conv"  # beside the styles: shows what a map that outgrows the caches costs on any machine
SOURCES = ("attention", "layers", "models", "export")  # parts of the package that a file depends on


def tokens_at(resolution):
    """The number of tokens in layer 3, at each of its 4 patch positions, for a square image of `resolution` pixels."""
    return (resolution // STRIDE // PATCH_SIZE) ** 2


def lone_layer(style, resolution):
    """A model of nothing but one attention layer of layer 3, or one 1x1 convolution, on maps [side, side, DIM]."""
    side = resolution // STRIDE
    x = keras.layers.Input((side, side, DIM), name="map")
    convolution = style == CONV
    layer = keras.layers.Conv2D(DIM, 1) if convolution else ATTENTIONS[style](DIM, patch_size=PATCH_SIZE)
    return keras.Model(x, layer(x))


def backbone(style, resolution):
    """MobileViTv2 1.0 without its classifier."""
    shape = (resolution, resolution, 3)
    return MobileViTv2(attention=style, input_shape=shape, include_top=False, include_preprocessing=False)


# Subject -> (function that builds its model, styles).
SUBJECTS = {"layer": (lone_layer, (*ATTENTIONS, CONV)), "backbone": (backbone, tuple(ATTENTIONS))}


def up_to_date(path):
    """Whether a converted file is there and newer than every part of the package that it depends on."""
    return made_after(path, [file for part in SOURCES for file in (PACKAGE / part).rglob("*.py")])


def subject_file(subject, style, resolution, folder):
    """Convert one of SUBJECTS to fp32 with random weights, check it against Keras, and return its path.

    A file that is already in `folder` is used again unless the package has changed since.

    Raises:
        InputError: it can't be converted, or differs from Keras.
    """
    build, _ = SUBJECTS[subject]
    path = Path(folder) / f"{subject}_{style.replace(' ', '_')}_{resolution}.tflite"
    if not up_to_date(path):
        model = randomize_weights(build(style, resolution))
        # 0..1 is what a backbone without preprocessing takes
        images = np.random.default_rng(0).uniform(0, 1, (2, *model.input_shape[1:])).astype("float32")
        to_tflite(model, path, check_images=images)
    return path


def row_name(style, resolution):
    """The name of a row: "mobile, 1024 tokens"."""
    return f"{style}, {tokens_at(resolution)} tokens"


def time_resolution(files, resolution, **protocol):
    """Time {style: file} in one interleaved run; return {style: Measurement}. `protocol` is benchmark_files'."""
    rows = benchmark_files(list(files.values()), **protocol) if files else []
    return {
        style: dataclasses.replace(row, name=row_name(style, resolution), file=Path(row.file).name)
        for style, row in zip(files, rows, strict=True)
    }


def time_layers(resolutions, folder, **protocol):
    """Time the bare layer with every style at every size; return {style: [(tokens, Measurement)]}."""
    timed = {style: [] for style in ATTENTIONS}
    for resolution in resolutions:
        with cli.progress() as progress:
            description = f"Converting attention layers for {resolution} pixels"
            styles = progress.track(ATTENTIONS, description=description)
            files = {style: subject_file("layer", style, resolution, folder) for style in styles}
        for style, row in time_resolution(files, resolution, **protocol).items():
            timed[style].append((tokens_at(resolution), row))
    return timed


def extrapolate(points, tokens):
    """The value at `tokens` of the line through the last two of [(tokens, value)] on log axes; None below two."""
    if len(points) < 2:
        return None
    (fewer, low), (more, high) = sorted(points)[-2:]
    return high * (high / low) ** (math.log(tokens / more) / math.log(more / fewer))
