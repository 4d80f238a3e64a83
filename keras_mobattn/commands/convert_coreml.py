"""Convert a Keras model to Core ML (.mlpackage) and check every package against Keras, on any system: one table.

    python coreml/convert.py runs/digits --precision fp16 fp32
    python coreml/convert.py runs/digits --input-type image                    # a classifier for Vision and Xcode
    python coreml/convert.py runs/digits --compression none int8 palettized4 --require-ane

Exit code 0: converted and checked; 1: a package failed (it isn't kept, the others are); 2: bad input.
"""

import dataclasses
import itertools
from pathlib import Path
from typing import Annotated, Literal

import tyro

from keras_mobattn import cli
from keras_mobattn.about import About
from keras_mobattn.catalog import (
    COREML_COMPRESSIONS,
    COREML_OUTPUT_DTYPES,
    COREML_PRECISIONS,
    COREML_TARGETS,
    FORMS,
    INPUT_TYPES,
)
from keras_mobattn.errors import InputError
from keras_mobattn.formats.kinds import COREML

NONE = "none"


def main(
    model: Annotated[Path, tyro.conf.Positional],
    output: Path | None = None,
    precision: tuple[Literal[tuple(COREML_PRECISIONS)], ...] = ("fp16",),
    compression: tuple[Literal[(NONE, *COREML_COMPRESSIONS)], ...] = (NONE,),
    minimum_deployment_target: Literal[tuple(COREML_TARGETS)] = "iOS17",
    input_type: Literal[tuple(INPUT_TYPES)] = "tensor",
    input_sizes: Annotated[tuple[str, ...], tyro.conf.arg(metavar="HxW...")] = (),
    output_dtype: Literal[COREML_OUTPUT_DTYPES] = "float32",
    require_ane: bool = False,
    float32_layers: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME...")] = (),
    input_scale: tuple[float, ...] | None = None,
    input_bias: tuple[float, ...] | None = None,
    single_output: bool = False,
    form: Literal[FORMS[COREML.name]] | None = None,
    images: Path | None = None,
    on_corrupt: Literal["error", "skip"] = "error",
    labels: Path | None = None,
    about: About = About(),  # noqa: B008
):
    """Convert a Keras model to Core ML and check every package against Keras.

    Args:
        model: a .keras or .h5 file, a SavedModel folder, or the folder of a training run, whose dataset is then used.
        output: an .mlpackage, or a folder for several; default beside the model.
        precision: one or several.
        compression: of the weights, with each precision; one or several; those with a8 of the activations, too. int8,
            palettized and pruned need iOS16, palettized6_a8 iOS17, the others iOS18.
        minimum_deployment_target: the oldest system that shall run it.
        input_type: tensor takes float32 [1, H, W, C] (for benchmarks), channels_first [1, C, H, W], image takes RGB
            pixels; with labels that makes a classifier, which Vision and Xcode's preview understand.
        input_sizes: further heights and widths that the package takes, e.g. 320x320 192x256: multiples of 64, for
            PVTv2 of 32; not for DeiT and EfficientFormerV2.
        output_dtype: of the arrays that an fp16 package gives.
        require_ane: keep no package that the Neural Engine is on record to compute wrong, instead of a warning; with
            --precision fp16 alone.
        float32_layers: layers that fp16 packages compute in float32, since their numbers don't fit float16: names of
            the Keras model's layers, inner ones too, or what their names begin with.
        input_scale: what RGB 0..255 is multiplied by to be what the model takes, a number or one for each channel: for
            a Keras model that doesn't say it itself. 0.00784314 with --input-bias -1 for -1..1. Packages take 0..255.
        input_bias: what is added then.
        single_output: of a binary classifier, give the probability of the second class alone, not those of both.
        form: of a detector. vision: a pipeline that finds the objects, for Vision and Xcode's preview (default); raw:
            offsets and logits. Of a segmenter. class_map: each pixel's class, for Vision and Xcode's preview (default);
            logits, probabilities: at the model's own stride; full_size: probabilities of the image's size.
        images: any folder of images to check with.
        on_corrupt: what to do with images that can't be decoded.
        labels: a text file of class names, one a line; default the run's.
        about: what the package says of itself.
    """
    from keras_mobattn.commands.convert import convert_all
    from keras_mobattn.export import expect_coreml, to_coreml

    if require_ane and set(precision) != {"fp16"}:
        raise InputError(
            f"Expected --precision fp16 alone with --require-ane. Received: {', '.join(precision)}. The Neural Engine "
            "computes nothing else: leave one of the two out."
        )
    input_options = dict(
        minimum_deployment_target=minimum_deployment_target,
        input_type=input_type,
        input_sizes=[_size(text) for text in input_sizes],
        float32_layers=float32_layers,
    )
    compressions = [None if name == NONE else name for name in compression]
    variants = {"_".join(filter(None, pair)): pair for pair in itertools.product(precision, compressions)}

    def expect(source):
        for name in compressions:
            expect_coreml(source, compression=name, **input_options)

    def convert(source, path, variant, representative_images, check_images):
        precision, compression = variants[variant]
        options = dict(check_images=check_images, compression=compression, about=about, form=form, **input_options)
        options["representative_images"] = representative_images
        kept = COREML_PRECISIONS[precision] if compression is None else COREML_COMPRESSIONS[compression]
        options["tolerance"] = dataclasses.replace(kept.tolerance, neural_engine=require_ane)
        return to_coreml(source, path, precision, output_dtype=output_dtype, **options)

    options = dict(expect=expect, images=images, on_corrupt=on_corrupt, labels=labels)
    options |= dict(input_scale=input_scale, input_bias=input_bias, single_output=single_output)
    named = {
        name: {
            **{"precision": precision, "compression": compression, "single_output": single_output, "form": form},
            "output_dtype": output_dtype,
            **input_options,
        }
        for name, (precision, compression) in variants.items()
    }
    return convert_all(convert, COREML, model, output, named, **options)


def _size(text):
    """ "320x256" as (320, 256)."""
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise InputError(f"Expected --input-sizes like 320x320, height first. Received: {text!r}.")
    return int(height), int(width)


def run():
    """Run it with the flags of the command line."""
    cli.run(main)
