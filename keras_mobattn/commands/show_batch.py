"""Look at what training sees: a contact sheet of one step's images with their labels.

    mobattn show-batch --augment mobilevitv2 --dataset photos/ --image-size 256
    mobattn show-batch --augment digits --dataset digits --image-size 32 --step 7
    mobattn show-batch --recipe mobilevitv2_in1k
    mobattn show-batch --task detection --dataset boxes/ --image-size 320
    mobattn show-batch --task segmentation --dataset pets/ --image-size 256

Labels of mixed images are told with their weights: "3 .71 / 8 .29". The same seed and step give the same sheet, and
the images are those that a training run with these settings gets.

Exit code 0; 2: bad input; 130: Ctrl-C.
"""

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np

from keras_mobattn import cli
from keras_mobattn.catalog import RECIPES, TASKS
from keras_mobattn.errors import InputError, expect_range
from keras_mobattn.files import replacing
from keras_mobattn.recipes import recipe_settings


@dataclasses.dataclass(frozen=True)
class Sheet:
    """The images to show."""

    task: Literal[tuple(TASKS)] = "classification"
    """What the model is for: boxes and masks are drawn, and need images that have some."""
    augment: str | None = None
    """The augmentation by name; when left out the task's, mobilevitv2 for classifiers, ssd for
    detectors, segmentation for segmenters."""
    dataset: str = "photos"
    """A tfds name, "digits", "digit_crops", "digit_scenes", a folder of images, or "photos": crops of scikit-learn's
    two."""
    data_dir: str | None = None
    """Where tfds keeps its sets; its own default when left out."""
    on_corrupt: Literal["error", "skip"] = "error"
    """What to do with images in a folder that can't be decoded."""
    image_size: int | tuple[int, int] = 128
    """Height and width in pixels; one number for both."""
    count: int = 24
    """Images on the sheet. They are one batch, and are mixed with each other."""
    seed: int = 0
    """Of the order, the crops and all else that is random."""
    step: int = 0
    """Which step of the run, from 0."""
    aug_repeats: int = 1
    """How many times the batch has each image."""


def main(sheet: Sheet, output: Path = Path("runs/batch.png"), recipe: Literal[tuple(RECIPES)] | None = None) -> None:
    """Write a contact sheet of one step.

    Args:
        sheet: What to show.
        output: The PNG.
        recipe: Take augmentation, its repeats and size from this recipe, where no flag says otherwise.
    """
    from keras_mobattn import report

    for name, least in (("step", 0), ("count", 1), ("aug_repeats", 1)):
        expect_range(name, getattr(sheet, name), least, whole=True)
    if recipe:
        settings = recipe_settings(recipe)
        taken = {"augment", "image_size", "aug_repeats"} - cli.given_fields(Sheet)
        sheet = dataclasses.replace(sheet, **{name: getattr(settings, name) for name in taken})
    task = TASKS[sheet.task]
    sheet = dataclasses.replace(sheet, augment=sheet.augment or task.augment)
    if output.suffix.lower() != ".png":
        raise InputError(f"Expected output to be a name that ends with .png. Received: {str(output)!r}.")
    source = _open_source(sheet)
    images, labels = draw_step(source, sheet)
    captions = [task.caption(label, source.class_names) for label in labels]
    images = [task.shown(*each, source.class_names) for each in zip(images, labels, strict=True)]
    with replacing(output) as beside:
        beside.write_bytes(report.image_grid(np.stack(images), captions, format="png"))
    cli.console.print(
        f"{len(images)} images of step {sheet.step}, augmentation {sheet.augment!r}: {output}",
        soft_wrap=True,
        markup=False,
    )


def _open_source(sheet):
    from keras_mobattn.data import open_source, photo_source

    if sheet.dataset == "photos":
        return photo_source(sheet.count)
    return open_source(sheet.dataset, sheet.data_dir, sheet.on_corrupt, targets=TASKS[sheet.task].targets)


def draw_step(source, sheet):
    """The images, uint8 [n, H, W, 3], of the step, and the labels of each, as the task's `encode` gives them."""
    import tensorflow as tf

    from keras_mobattn.data import StepPlan, training_stream

    plan = StepPlan(source.num_examples["train"], sheet.count, 1, sheet.image_size)
    plan = dataclasses.replace(plan, epochs=sheet.step // plan.steps_per_epoch + 1)
    step = {"first_step": sheet.step, "num_steps": 1}
    how = {"seed": sheet.seed, "repeats": sheet.aug_repeats, "task": TASKS[sheet.task]}
    stream = training_stream(source, plan, sheet.augment, **how, **step)
    images, labels = next(stream.as_numpy_iterator())
    each = [tf.nest.map_structure(lambda column: column[index], labels) for index in range(len(images))]  # noqa: B023
    return np.rint(images).astype(np.uint8), each


def run():
    """Run it with the flags of the command line."""
    cli.run(main)
