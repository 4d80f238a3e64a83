"""Settings for photographs, with or without boxes or masks, that nobody has tuned anything for, and the reasons.

settings, reasons = choose_settings(TrainSettings(dataset="photos/"), given={"dataset"})
"""

import collections
import dataclasses
import os
import warnings
from pathlib import Path

import psutil
import tensorflow as tf

from keras_mobattn.catalog import TASKS
from keras_mobattn.data import is_folder, open_source
from keras_mobattn.data.annotations import is_annotated
from keras_mobattn.data.listing import find_images, sub_folders
from keras_mobattn.data.masks import is_masks
from keras_mobattn.data.splits import TEST, TRAIN, find_splits, held_out_of
from keras_mobattn.errors import InputError
from keras_mobattn.families import FAMILIES
from keras_mobattn.families.family import written_call
from keras_mobattn.models import published_name
from keras_mobattn.models.output_stride import OF_FAMILIES
from keras_mobattn.tasks.detection.ssdlite import MULTIPLE
from keras_mobattn.weights import TAGS, hub_problem, imagenet_tag

LOOKED_AT = 100  # images whose sizes are read
SMALL = 128  # pixels: images with shorter sides are not enlarged to the checkpoint's size,
SIDES = (64, 256)  # but to twice their side within these, a multiple of 32
BATCH, LEAST_BATCH = 32, 4
STEPS_AN_EPOCH = 8  # at least
MEMORY_SHARE = 0.5  # of what is free
# Of a batch in training: MobileViTv2 1.0 in float32, by training/benchmark_step.py; other widths in proportion
PIXEL_BYTES = 70e6 / 128**2


@dataclasses.dataclass(frozen=True)
class Budget:
    """How long to train, and with which learning rates."""

    images_seen: int
    fewest_epochs: int
    most_epochs: int
    head_epochs: int
    learning_rate: float  # for BATCH images
    layer_decay: float


PRETRAINED = Budget(20_000, 4, 40, 1, 5e-4, 0.8)
ADAPTED = Budget(40_000, 8, 80, 0, 1e-3, 1.0)  # attention of another style starts anew in each block
RANDOM = Budget(100_000, 10, 150, 0, 2e-3, 1.0)


@dataclasses.dataclass(frozen=True)
class Whole:
    """What is usual for a task that sees images whole, and whose head is a part as large as others, and starts anew."""

    side: int  # pixels
    multiple: int  # of which sides have to be
    budget: Budget


WHOLE = {
    "detection": Whole(320, MULTIPLE, Budget(120_000, 10, 200, 0, 1e-3, 1.0)),  # the paper's side
    "segmentation": Whole(256, 32, Budget(60_000, 10, 200, 0, 1e-3, 1.0)),
}


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known of the images."""

    images: int  # to train on
    classes: int
    side: int | None  # usual shorter side in pixels; None where no image can be read


def told_task(settings):
    """The name of the task that the files of the settings' dataset tell; the settings' own where they tell none."""
    found = {"detection": is_annotated, "segmentation": is_masks}
    return next((task for task, fits in found.items() if fits(settings.dataset)), settings.task)


def choose_settings(settings, given=()):
    """TrainSettings for a folder of photographs or a tfds set, and {what was chosen: the choice and its reason}.

    `given` are the names of the fields of `settings` that stay as they are.

    Raises:
        InputError: no such images, or given settings that don't go together.
    """
    if "task" not in given:
        settings = dataclasses.replace(settings, task=told_task(settings))
    task, whole = TASKS[settings.task], WHOLE.get(settings.task)
    facts, told = _facts(settings), {}

    def take(**fields):
        nonlocal settings
        settings = dataclasses.replace(settings, **{name: fields[name] for name in fields if name not in given})

    told["data"] = f"{facts.images:,} training images of {facts.classes} classes in {settings.dataset}"
    take(model="MobileViTv2", width=1.0, attention="own")
    family, model = FAMILIES[settings.model], _called(settings)
    problem = "" if "weights" in given else _why_no_weights(settings)
    take(weights=None if problem else "imagenet")
    published = settings.weights == "imagenet" or str(settings.weights).removeprefix("timm/") in TAGS
    other = settings.attention not in ("own", family.attention)
    take(weights_skip="attention" if published and other else None)
    start = f"from {settings.weights}" if settings.weights else "from random weights"
    told["model"] = f"{model}, {start}" + (f": {problem}" if problem else "")
    if settings.task == "segmentation":
        stride = f", output stride {settings.output_stride}" if settings.model in OF_FAMILIES else ""
        told["head"] = f"{settings.head}{stride}"
    if settings.weights_skip:
        told["model"] += f"; its {settings.attention} attention starts anew"

    small = facts.side is not None and facts.side < SMALL
    usual = whole.side if whole else family.input_size
    step, sides = (whole.multiple, (2 * SIDES[0], SIDES[1])) if whole else (32, SIDES)
    size = min(max(sides[0], step * -(-2 * facts.side // step)), sides[1]) if small else usual
    take(image_size=size, interpolation="bicubic")
    if whole:
        take(augment=task.augment, label_smoothing=0.0)
    else:
        take(augment="photos", test_crop=0.9)
    reason = f"since theirs are about {facts.side}" if small else "as published"
    told["images"] = f"{settings.image_size} pixels{'' if 'image_size' in given else f', {reason}'}"

    batch, reason = _batch(settings, facts)
    take(batch_size=batch)
    told["batch"] = f"{settings.batch_size} images{'' if 'batch_size' in given else reason}"

    budget = (ADAPTED if settings.weights_skip else PRETRAINED) if settings.weights else RANDOM
    budget = whole.budget if whole else budget
    epochs = min(max(budget.fewest_epochs, round(budget.images_seen / facts.images)), budget.most_epochs)
    take(epochs=epochs, head_epochs=0 if settings.trainable == "head" else budget.head_epochs)
    first = f"{settings.head_epochs} for the head alone, then " if settings.head_epochs else ""
    told["epochs"] = f"{first}{settings.epochs}, which show {settings.epochs * facts.images:,} images"

    rate = budget.learning_rate * (settings.batch_size / BATCH) ** 0.5  # as training.optimizer.BATCH_POWER has it
    take(learning_rate=float(f"{rate:.2g}"), layer_decay=budget.layer_decay if settings.optimizer == "adamw" else 1.0)
    falling = f", times {settings.layer_decay:g} for each block below the head" if settings.layer_decay < 1 else ""
    told["rates"] = f"{settings.learning_rate:g}{falling}"
    return settings, told


def _facts(settings):
    folder, targets = Path(os.path.expanduser(settings.dataset)), TASKS[settings.task].targets
    # Of a folder that isn't there, it says so; one of boxes or masks is read whole, since their format tells what
    # belongs to it.
    if not is_folder(settings.dataset) or not folder.is_dir() or "label" not in targets:
        source = open_source(settings.dataset, settings.data_dir, settings.on_corrupt, targets=targets)
        shapes = [example["image"].shape[:2] for example in source.first(TRAIN, LOOKED_AT).open(TRAIN)]
        return Facts(source.num_examples[TRAIN], len(source.class_names), _median(map(min, shapes)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # training tells of it
        splits = find_splits(folder).folders
    classes = sub_folders(splits.get(TRAIN, folder))
    by_class = [find_images(each, collections.Counter()) for each in classes]
    images = [path for paths in by_class for path in paths]
    if not images:
        open_source(settings.dataset)  # which says what is wrong
    held_out = 0 if TEST in splits else sum(held_out_of(len(paths)) for paths in by_class)
    return Facts(max(1, len(images) - held_out), len(classes), _usual_side(images))


def _usual_side(paths):
    """The median shorter side of some of the images; None where none can be read."""
    from PIL import Image

    sides = []
    for path in paths[:: max(1, len(paths) // LOOKED_AT)]:
        try:
            with Image.open(path) as image:
                sides.append(min(image.size))
        except (OSError, ValueError, Image.DecompressionBombError):  # training tells of it
            continue
    return _median(sides)


def _median(sides):
    sides = sorted(sides)
    return int(sides[len(sides) // 2]) if sides else None


def _arguments(settings):
    """The arguments of the model function that make its size."""
    size = {"width": settings.width} if settings.model == "MobileViTv2" else {}
    size |= {"variant": settings.variant} if settings.variant else {}
    return size | ({"distilled": True} if settings.distilled else {})


def _called(settings):
    attention = "" if settings.attention == "own" else f" with {settings.attention} attention"
    return written_call(settings.model, _arguments(settings)) + attention


def _why_no_weights(settings):
    """Why published weights can't be had, or ""."""
    try:
        return hub_problem(imagenet_tag(published_name(settings.model, **_arguments(settings))))
    except InputError:
        return "none were published for it"


def _batch(settings, facts):
    """(images for a step, why so few)."""
    height, width = settings.image_shape
    each = PIXEL_BYTES * height * width * (settings.width if settings.model == "MobileViTv2" else 1)
    batch, why, free = BATCH, "", _free_memory()
    while batch > LEAST_BATCH and batch * each > MEMORY_SHARE * free:
        batch, why = batch // 2, f", as {free / 1e9:.1f} GB of free memory allow"
    while batch > LEAST_BATCH and facts.images < STEPS_AN_EPOCH * batch:
        batch, why = batch // 2, ", since there are few"
    return min(batch, facts.images), why


def _free_memory():
    """Bytes; infinity on a GPU, whose memory is another and isn't known."""
    return float("inf") if tf.config.list_physical_devices("GPU") else psutil.virtual_memory().available
