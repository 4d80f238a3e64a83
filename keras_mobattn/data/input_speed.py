"""Processor time of the training data on one core, by parts."""

import dataclasses
import functools
import io
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_mobattn.data.augment import random_box
from keras_mobattn.data.decode import decode, decode_crop
from keras_mobattn.data.example_view import batch_view, image_view
from keras_mobattn.data.folder_source import files_source
from keras_mobattn.data.image_file import inspect_image
from keras_mobattn.data.photos import IMAGENET_SIZE, sample_photos
from keras_mobattn.data.source import Source
from keras_mobattn.data.targets import LABELS

GRAIN = 8.0  # levels of noise: the crops are enlarged, and without it their files would be smaller than ImageNet's
QUALITY = 95
CLASSES = 1000
BOXES = ((0.25, 0.25, 0.75, 0.75),)  # that an augmentation crops around
BATCH = 32
PARTS = ("decode", "resize", "augment", "batch")  # in this order; "batch" is batching, mixing and float32


def make_photos(folder, count):
    """Write `count` JPEGs: (their paths, their mean size in kB)."""
    from PIL import Image

    rng, paths = np.random.RandomState(0), []
    for index, photo in enumerate(sample_photos(count, IMAGENET_SIZE)):
        noisy = photo + rng.normal(0, GRAIN, photo.shape)
        content = io.BytesIO()
        Image.fromarray(np.rint(noisy).clip(0, 255).astype(np.uint8)).save(content, "JPEG", quality=QUALITY)
        paths.append(str(folder / f"{index}.jpg"))
        Path(paths[-1]).write_bytes(content.getvalue())
    return paths, float(np.mean([Path(path).stat().st_size for path in paths])) / 1000


def time_all(table, paths, image_size, rounds, advance):
    """{name: {part: [seconds for an image up to and with this part, for each round]}}; all take turns.

    `table` is {name: Augmentation}. The first of the `rounds` does not count. `advance()` is called after each of the
    rounds x names x parts measurements.
    """
    reader = files_source("photos", {Path(path): inspect_image(path) for path in paths}).read("test")
    iterators = {
        (name, part): _endless(reader, stage)
        for name, augmentation in table.items()
        for part, stage in _stages(augmentation, image_size).items()
    }
    timed = {name: {part: [] for part in PARTS} for name in table}
    for number in range(rounds):
        for (name, part), iterator in iterators.items():
            seconds = _timed(iterator, max(2, -(-len(paths) // BATCH)))
            if number:  # the first round warms up
                timed[name][part].append(seconds)
            advance()
    return timed


def _stages(augmentation, image_size):
    """{part: (dataset of (example, number) -> dataset of batches)}, each with all parts before it."""
    nothing = {
        "blur": 0,
        "photometric": None,
        "rotation": 0,
        "rand_augment": None,
        "erasing": 0.0,
        "mixing": None,
        "layers": None,
    }
    beside = BOXES if augmentation.object_crop else None
    plain = dataclasses.replace(augmentation, flip=False, **nothing)
    unmixed = dataclasses.replace(augmentation, mixing=None, layers=None)
    views = {
        "decode": _decoder(augmentation),
        "resize": _seen(image_view(plain, 0), image_size, beside),
        "augment": _seen(image_view(unmixed, 0), image_size, beside),
    }
    source = Source("photos", tuple(map(str, range(CLASSES))), {}, {})
    finish = batch_view(augmentation, LABELS, source, 0)

    def counted(view):  # one number of each image goes on, so that nothing is left out and nothing is copied
        return lambda dataset: dataset.map(lambda *x: tf.reduce_max(view(*x)[:1])).batch(BATCH)

    def whole(dataset):
        dataset = dataset.map(lambda example, number: (views["augment"](example, number), number % CLASSES, number))
        return dataset.batch(BATCH).map(
            lambda images, labels, numbers: finish({"image": images, "label": labels}, numbers[0])
        )

    return {part: counted(view) for part, view in views.items()} | {"batch": whole}


def _seen(view, image_size, beside):
    """A function (example, number) -> the pixels that a view makes."""
    size = (image_size, image_size)
    return lambda example, number: view(example["image"], size, number, example.get("orientation"), beside)[0]


def _decoder(augmentation):
    """A function (example, number) -> uint8 [h, w, 3] that decodes only the part that the augmentation shows."""
    area = augmentation.crop_area
    if not area:
        return lambda example, number: decode(example["image"], example.get("orientation"))

    def crop(example, number):
        choose = functools.partial(random_box, seed=[0, number], area=area, aspect=1.0)
        return decode_crop(example["image"], choose, example.get("orientation"))[0]

    return crop


def _endless(reader, stage):
    """An endless iterator over a stage's batches, in one thread, with nothing done ahead."""
    dataset = tf.data.Dataset.range(2**62).map(lambda i: (reader.example(i % reader.count), i))
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    options.autotune.enabled = False
    # The default optimizations would make maps parallel, and run ahead.
    options.experimental_optimization.apply_default_optimizations = False
    return iter(stage(dataset).with_options(options))


def _timed(iterator, count):
    """Seconds of processor time for an image, over `count` batches."""
    started = time.process_time()
    for _ in range(count):
        next(iterator)
    return (time.process_time() - started) / (count * BATCH)
