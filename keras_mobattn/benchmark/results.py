"""What a benchmark leaves: benchmark.json, which has everything and is read again, benchmark.csv, and the table."""

import csv
import dataclasses
import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from keras_mobattn._types import PathLike
from keras_mobattn.benchmark.android.details import Conditions
from keras_mobattn.benchmark.browser.details import BrowserDetails
from keras_mobattn.benchmark.latency_table import print_table
from keras_mobattn.benchmark.measurement import FIELDS, Device, Measurement, Statistics
from keras_mobattn.benchmark.texts import operators_text
from keras_mobattn.errors import InputError, expect_path
from keras_mobattn.files import replacing, write_json

if TYPE_CHECKING:
    from rich.console import Console

# A CSV's first columns: fields of a row, or details, which are blank where its target has none of that name.
COLUMNS = (
    "name", "file", "runtime", "backend", "num_threads", "inputs", "warmup_runs", "num_runs", "warmup_min_secs",
    "min_secs", "max_secs", "rounds", "seed", "load_ms", "first_ms", "warmup_ms", "load_memory_bytes",
    "peak_memory_bytes", "size_bytes", "sha256", "macs", "roofline_gflops", "operators", "delegated", "partitions",
    "undelegated", "refusals", "python", "date", "command", "error",
)  # fmt: skip
# At its end, where there is a row from a browser: older files keep their columns.
BROWSER_COLUMNS = tuple(field.name for field in dataclasses.fields(BrowserDetails) if field.name != "target")
TEXTS = {"inputs": " ".join, "undelegated": operators_text, "refusals": lambda refusals: " ".join(refusals or ())}


def present(measurements: Collection[Measurement], output_dir: Path, console: "Console") -> None:
    """Print the table; write benchmark.json and benchmark.csv into the folder."""
    print_table(measurements, console)
    save_json(output_dir / "benchmark.json", measurements)
    save_csv(output_dir / "benchmark.csv", measurements)
    written = f"Written: {output_dir}/benchmark.json, {output_dir}/benchmark.csv"
    console.print(written, soft_wrap=True, markup=False, highlight=False)


def save_json(path: PathLike, measurements: Iterable[Measurement]) -> None:
    """Write every field of every measurement, raw samples included.

    Raises:
        OSError: the file can't be written.
    """
    write_json(path, [dataclasses.asdict(measurement) for measurement in measurements])


def load_measurements(path: PathLike) -> list[Measurement]:
    """Read back what `save_json` wrote, as a list of Measurement.

    Raises:
        InputError: the file is not a benchmark's JSON.
        OSError: it can't be read.
    """
    path = expect_path(path)
    try:
        return [Measurement.from_dict(record) for record in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"Expected the JSON file of a benchmark. Received: {str(path)!r} ({error}). Run the benchmark again."
        ) from error


def save_csv(path: PathLike, measurements: Collection[Measurement]) -> None:
    """Write one line per measurement, flat: COLUMNS, a phone's conditions, the device, the statistics, BROWSER_COLUMNS.

    Raises:
        OSError: the file can't be written.
    """
    statistics = [field.name for field in dataclasses.fields(Statistics)]
    device = [field.name for field in dataclasses.fields(Device)]
    conditions = [(what, when) for when in ("before", "after") for what in ("hottest_c", "fastest_mhz")]
    header = [*COLUMNS, *(f"{what}_{when}" for what, when in conditions), *(f"device_{name}" for name in device)]
    later = BROWSER_COLUMNS if any(isinstance(row.details, BrowserDetails) for row in measurements) else ()
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*header, *statistics, *later] if measurements else [])
        for row in measurements:
            cells = [_cell(row, name) for name in COLUMNS]
            cells += [getattr(row.detail(when) or Conditions(), what) for what, when in conditions]
            cells += [getattr(row.device, name) for name in device]
            cells += [getattr(row.statistics, name, None) for name in statistics]
            writer.writerow(cells + [row.detail(name) for name in later])


def _cell(row, name):
    value = getattr(row, name) if name in FIELDS else row.detail(name)
    return TEXTS[name](value) if name in TEXTS else value
