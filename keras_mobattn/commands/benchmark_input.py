"""Time the training data: images per second on one core for each augmentation, and what its parts take.

    python training/benchmark_input.py
    python training/benchmark_input.py --augment mobilevitv2 --image-size 256 --step-images-per-second 180

The images are JPEGs of ImageNet's size (500x375 pixels, about 110 kB), crops of scikit-learn's photographs with grain.
Everything runs in one thread of tf.data; the time is what the process spends on the processor, so that "per core" is
meant and other processes disturb little. The augmentations and their parts take turns, and medians are shown.

Exit code 0; 2: bad input; 130: Ctrl-C.
"""

import dataclasses
import importlib.metadata
import json
import tempfile
from pathlib import Path

import numpy as np
from rich.table import Table

from keras_mobattn import benchmark, cli, report
from keras_mobattn.data import AUGMENTATIONS, input_speed
from keras_mobattn.errors import InputError, choose, expect_range
from keras_mobattn.files import replacing, write_json

PARTS = input_speed.PARTS
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
        step: a benchmark.json of training/benchmark_step.py; the fastest of our rows is taken for that.
        output_dir: gets input.json and input.png.
    """
    names = augment or tuple(name for name, each in AUGMENTATIONS.items() if each.crop_area)
    table = {name: choose(AUGMENTATIONS, name, "augmentation") for name in names}
    for name, value, least in (("image_size", image_size, 8), ("images", images, 1), ("rounds", rounds, 2)):
        expect_range(name, value, least, whole=True)
    speed = step_speed(step) if step else step_images_per_second
    if speed is not None:
        expect_range("step_images_per_second", speed, 0, above=True)
    with tempfile.TemporaryDirectory() as folder:
        paths, kilobytes = input_speed.make_photos(Path(folder), images)
        with cli.progress() as progress:
            task = progress.add_task("Timing", total=rounds * len(table) * len(PARTS))
            timed = input_speed.time_all(table, paths, image_size, rounds, lambda: progress.advance(task))
    rows = [row_of(name, timed[name], speed) for name in table]
    record = {
        "device": dataclasses.asdict(benchmark.describe_host()),
        "tensorflow": importlib.metadata.version("tensorflow"),
        "image_size": image_size,
        "batch": input_speed.BATCH,
        "photos": {"count": images, "mean_kb": kilobytes},
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
    """Images per second of the fastest of our rows in a benchmark.json of training/benchmark_step.py."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        speeds = [row["images_per_second"] for row in rows if row["package"] == "ours"]
        return max(speed for speed in speeds if speed)
    except (ValueError, TypeError, KeyError) as error:  # no JSON, another one, or no row that was measured
        raise InputError(
            f"Expected a benchmark.json of training/benchmark_step.py with a row of ours. Received: {str(path)!r}."
        ) from error


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


def run():
    """Run it with the flags of the command line."""
    cli.run(main)
