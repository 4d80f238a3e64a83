"""Time the training data: images per second on one core for each augmentation, and what its parts take.

    python training/benchmark_input.py
    python training/benchmark_input.py --augment mobilevitv2 --image-size 256 --step-images-per-second 180

The images are JPEGs of ImageNet's size (500x375 pixels, about 110 kB), crops of scikit-learn's photographs with grain.
Everything runs in one thread of tf.data; the time is what the process spends on the processor, so that "per core" is
meant and other processes disturb little. The augmentations and their parts take turns, and medians are shown.

Exit code 0; 2: bad input; 130: Ctrl-C.
"""

import dataclasses
import io
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from rich.table import Table

from keras_mobattn import benchmark, cli, report
from keras_mobattn.data import AUGMENTATIONS, sample_photos
from keras_mobattn.data.augment import random_box
from keras_mobattn.data.decode import decode, decode_crop
from keras_mobattn.data.views import batch_view, image_view
from keras_mobattn.errors import InputError, choose
from keras_mobattn.files import replacing, write_json

PHOTO = (375, 500)  # height and width of the average image of ImageNet
GRAIN = 6.0  # levels, so that a file is as large as ImageNet's: the photographs' crops are enlarged, and smooth
QUALITY = 95
CLASSES = 1000
BATCH = 32
PARTS = ("decode", "resize", "augment", "batch")
COLUMNS = {  # heading: cell of a row
    "augmentation": lambda row: row["augment"],
    "images/s per core": lambda row: f"{row['images_per_second']:.0f}",
    **{f"{part} ms": lambda row, part=part: f"{row['parts_ms'][part]:.2f}" for part in PARTS},
    "cores for the step": lambda row: f"{row['cores']:.1f}" if row["cores"] else "",
}


def main(
    augment: tuple[str, ...] = (),
    image_size: int = 256,
    images: int = 64,
    rounds: int = 9,
    step_images_per_second: float | None = None,
    step: Path | None = None,
    output_dir: Path = Path("runs/input"),
) -> None:
    """Time the training data on one core.

    Args:
        augment: names of augmentations; all of ImageNet's when none are named.
        image_size: height and width in pixels of what the model gets.
        images: how many JPEGs are made.
        rounds: how often each augmentation and part is timed; the first time does not count.
        step_images_per_second: what the model trains with; the table then says how many cores keep it fed.
        step: a JSON that training/benchmark_step.py wrote, whose fastest images_per_second is taken for that.
        output_dir: gets input.json and input.png.
    """
    names = augment or tuple(name for name, each in AUGMENTATIONS.items() if each.crop_area)
    table = {name: choose(AUGMENTATIONS, name, "augmentation") for name in names}
    for name, value, least in (("image_size", image_size, 8), ("images", images, 1), ("rounds", rounds, 2)):
        if value < least:
            raise InputError(f"{name} must be at least {least}. Received: {value}.")
    speed = step_speed(step) if step else step_images_per_second
    if speed is not None and not speed > 0:
        raise InputError(f"step_images_per_second must be above 0. Received: {speed}.")
    with tempfile.TemporaryDirectory() as folder:
        paths, kilobytes = make_photos(Path(folder), images)
        timed = time_all(table, paths, image_size, rounds)
    rows = [row_of(name, timed[name], speed) for name in table]
    record = {
        "device": dataclasses.asdict(benchmark.describe_host()),
        "tensorflow": tf.__version__,
        "image_size": image_size,
        "batch": BATCH,
        "photos": {"count": images, "height": PHOTO[0], "width": PHOTO[1], "mean_kb": kilobytes},
        "step_images_per_second": speed,
        "rows": rows,
    }
    write_json(output_dir / "input.json", record)
    parts = {row["augment"]: row["parts_ms"] for row in rows}
    with replacing(output_dir / "input.png") as beside:
        beside.write_bytes(report.operator_bars(parts, "ms of one core for an image", order=PARTS, format="png"))
    show(rows, f"{images} JPEGs of 500x375 pixels, {kilobytes:.0f} kB in the mean, to {image_size} pixels; one core")
    cli.console.print(f"{output_dir / 'input.json'} and input.png have it too.", soft_wrap=True)


def step_speed(path):
    """The fastest `images_per_second` anywhere in a JSON file."""

    def speeds(value):
        if isinstance(value, dict):
            yield from (each for key, each in value.items() if key == "images_per_second")
        children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        for child in children:
            yield from speeds(child)

    try:
        found = [each for each in speeds(json.loads(path.read_text())) if isinstance(each, int | float)]
    except ValueError as error:  # no JSON, or no text
        raise InputError(f"Expected a JSON file of training/benchmark_step.py. Received: {str(path)!r}.") from error
    if not found:
        raise InputError(f"Expected images_per_second in the JSON. Received: {str(path)!r} without it.")
    return max(found)


def make_photos(folder, count):
    """Write `count` JPEGs: (their paths, their mean size in kB)."""
    from PIL import Image

    rng, paths = np.random.RandomState(0), []
    for index, photo in enumerate(sample_photos(count, PHOTO)):
        noisy = photo + rng.normal(0, GRAIN, photo.shape)
        content = io.BytesIO()
        Image.fromarray(np.rint(noisy).clip(0, 255).astype(np.uint8)).save(content, "JPEG", quality=QUALITY)
        paths.append(str(folder / f"{index}.jpg"))
        Path(paths[-1]).write_bytes(content.getvalue())
    return paths, float(np.mean([Path(path).stat().st_size for path in paths])) / 1000


def time_all(table, paths, image_size, rounds):
    """{name: {part: seconds an image takes up to and with this part, one value a round}}; all take turns."""
    iterators = {
        (name, part): endless(paths, stage)
        for name, augmentation in table.items()
        for part, stage in stages(augmentation, image_size).items()
    }
    timed = {name: {part: [] for part in PARTS} for name in table}
    with cli.progress() as progress:
        task = progress.add_task("Timing", total=rounds * len(iterators))
        for number in range(rounds):
            for (name, part), iterator in iterators.items():
                seconds = timed_batches(iterator, max(2, -(-len(paths) // BATCH)))
                if number:  # the first round warms up
                    timed[name][part].append(seconds)
                progress.advance(task)
    return timed


def stages(augmentation, image_size):
    """{part: (dataset of (encoded image, number) -> dataset of batches)}, each with all parts before it."""
    plain = dataclasses.replace(augmentation, flip=False, rand_augment=None, erasing=0.0, mixing=None, layers=None)
    unmixed = dataclasses.replace(augmentation, mixing=None, layers=None)
    size = (image_size, image_size)
    views = {
        "decode": decoder(augmentation),
        "resize": lambda image, number: image_view(plain, 0)(image, size, number),
        "augment": lambda image, number: image_view(unmixed, 0)(image, size, number),
    }
    finish = batch_view(augmentation, CLASSES, 0)

    def counted(view):  # one number of each image goes on, so that nothing is left out and nothing is copied
        return lambda dataset: dataset.map(lambda *x: tf.reduce_max(view(*x)[:1])).batch(BATCH)

    def whole(dataset):
        dataset = dataset.map(lambda image, number: (views["augment"](image, number), number % CLASSES, number))
        return dataset.batch(BATCH).map(lambda images, labels, numbers: finish(images, labels, numbers[0]))

    return {part: counted(view) for part, view in views.items()} | {"batch": whole}


def decoder(augmentation):
    """A function (encoded image, number) -> uint8 [h, w, 3], with no more decoded than the augmentation looks at."""
    if not augmentation.crop_area:
        return lambda image, number: decode(image)
    area = augmentation.crop_area
    return lambda image, number: decode_crop(image, lambda shape: random_box(shape, [0, number], area, 1.0))


def endless(paths, stage):
    """An iterator over the stage's batches of the files, without end, in one thread, with nothing done ahead."""
    files = tf.constant(paths)
    dataset = tf.data.Dataset.range(2**62).map(lambda i: (tf.io.read_file(files[i % len(paths)]), i))
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    options.autotune.enabled = False
    return iter(stage(dataset).with_options(options))


def timed_batches(iterator, count):
    """Seconds of processor time that an image takes, over `count` batches."""
    started = time.process_time()
    for _ in range(count):
        next(iterator)
    return (time.process_time() - started) / (count * BATCH)


def row_of(name, timed, speed):
    """The medians of one augmentation: the whole in images/s, each part in ms, the cores that keep the step fed."""
    upto = [0.0, *(float(np.median(timed[part])) for part in PARTS)]
    return {
        "augment": name,
        "images_per_second": 1 / upto[-1],
        "parts_ms": {part: 1000 * max(0.0, b - a) for part, a, b in zip(PARTS, upto, upto[1:], strict=False)},
        "samples_ms": {part: [1000 * seconds for seconds in values] for part, values in timed.items()},
        "cores": speed * upto[-1] if speed else None,
    }


def show(rows, title):
    """Print the table."""
    headings = [heading for heading in COLUMNS if heading != "cores for the step" or rows[0]["cores"]]
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "augmentation" else "right")
    for row in rows:
        table.add_row(*(COLUMNS[heading](row) for heading in headings))
    cli.console.print(table)


if __name__ == "__main__":
    cli.run(main)
