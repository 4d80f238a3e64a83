"""Make every file that a phone can use of a trained model: each proven, and compared in one table.

    mobattn export runs/photos
    mobattn export runs/photos --formats tflite-int8 coreml-fp16 --output-dir app/models
    mobattn export model.keras --images photos/
    mobattn export runs/pets --form full_size

Beside the files: model_export.json with the table's figures, and model_card.html and .md for whoever builds the app.

Exit code 0: every file is there and proven; 1: one could not be had (the table says why, the others are kept); 2: bad
input.
"""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from keras_mobattn import cli
from keras_mobattn.about import About
from keras_mobattn.catalog import ALL_FORMATS, ALL_FORMS, FORMATS, INPUT_TYPES


def main(
    model: Annotated[Path, tyro.conf.Positional],
    formats: tuple[Literal[tuple(ALL_FORMATS)], ...] = tuple(FORMATS),
    output_dir: Path | None = None,
    images: Path | None = None,
    on_corrupt: Literal["error", "skip"] = "error",
    input_scale: tuple[float, ...] | None = None,
    input_bias: tuple[float, ...] | None = None,
    single_output: bool = False,
    form: Literal[ALL_FORMS] | None = None,
    num_test_images: int = 500,
    input_type: Literal[tuple(INPUT_TYPES)] = "image",
    float32_layers: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME...")] = (),
    num_threads: int = 1,
    about: About = About(),  # noqa: B008  frozen
) -> int:
    """Convert a model to every format, prove each file, and compare them in one table.

    Args:
        model: The folder of a run, or a .keras or .h5 file or SavedModel folder.
        formats: Which; when left out all but the compressed ones, fp16 packages for Core ML (int8 and so on).
        output_dir: Where the files go; beside the model when left out.
        images: Any folder of images to check with and to calibrate int8 with, in place of the run's.
        on_corrupt: What to do with images that can't be decoded.
        input_scale: What RGB 0..255 is multiplied by to be what the model takes, a number or one for each channel: for
            a Keras model that doesn't say it itself. 0.00784314 with --input-bias -1 for -1..1. Files take 0..255.
        input_bias: What is added then.
        single_output: Of a binary classifier, give the probability of the second class alone, not those of both.
        form: What files give; those of a kind that doesn't have the form, their default. Of a detector: nms (default)
            and anchors of .tflite files, vision (default) of Core ML packages, raw of both. Of a segmenter: class_map
            (default) of Core ML packages, logits (default of .tflite files), probabilities and full_size of both.
        num_test_images: At most how many of the run's test images every row is scored on.
        input_type: Of the Core ML packages: image takes pixels, as Vision and Xcode's preview do; tensor takes float32
            [1, H, W, C], as `mobattn benchmark --device iphone` does; channels_first [1, C, H, W].
        float32_layers: Of the model, by name or by what names begin with, that Core ML fp16 packages compute in
            float32, since their numbers don't fit float16.
        num_threads: With which .tflite files are timed.
        about: What the files say of themselves.
    """
    from keras_mobattn import delivery
    from keras_mobattn.models import model_file

    with cli.progress() as bar:
        task = bar.add_task("Loading the model and images", total=None)

        def tell(what, done, total):
            bar.update(task, description=what, completed=done, total=total)

        made = delivery.deliver(
            model,
            output_dir,
            formats,
            images=images,
            on_corrupt=on_corrupt,
            num_test_images=num_test_images,
            wishes=delivery.Wishes(
                input_type, num_threads, about, input_scale, input_bias, single_output, float32_layers, form
            ),
            progress=tell,
        )
    table, caption, notes = delivery.screen_table(made)
    cli.table_console().print(table)
    for text in (caption, *(f"- {note}" for note in notes)):
        cli.say(text)
    folder = delivery.folder_of(model, output_dir)
    cli.say(f"Written: {folder}; look at {model_file(model).stem}_card.html.")
    return int(any(row.error for row in made.rows))


def run():
    """Run it with the flags of the command line."""
    cli.run(main)
