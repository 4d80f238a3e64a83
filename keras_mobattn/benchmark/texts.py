"""What rows are called and how their numbers are written, in tables, remarks, plots and on the way."""

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_mobattn.benchmark.measurement import Measurement


def number_text(value):
    """Three digits or so: 0.0214, 3.40, 21.4, 315; "" for None."""
    if value is None:
        return ""
    digits = next((digits for limit, digits in ((0.1, 4), (1, 3), (10, 2), (100, 1)) if abs(value) < limit), 0)
    return f"{value:.{digits}f}"


def megabytes_text(size):
    """Bytes in MB, as `number_text`; "" for None."""
    return number_text(None if size is None else size / 1e6)


def threads_text(number):
    """As in: 1 thread, 2 threads; nothing for None, which is a GPU's."""
    return f"{number} thread{'s'[: number > 1]}" if number else ""


def operators_text(counts):
    """{"CAST": 2, "POW": 1} as "CAST x2, POW"; "" for none."""
    return ", ".join(name if count == 1 else f"{name} x{count}" for name, count in (counts or {}).items())


def in_brackets(refusals):
    """What a delegate says of what it left out, for the end of a sentence: " (UNPACK: Operation is not supported)"."""
    return f" ({'; '.join(refusal.rstrip('.: ') for refusal in refusals)})" if refusals else ""


def title_of(row):
    """A row in a few words: "mobile, xnnpack, 2 threads"."""
    return ", ".join(filter(None, (row.name, row.backend, threads_text(row.num_threads))))


def labels_of(measurements: Iterable["Measurement"]) -> list[str]:
    """A short, distinct label for every row: of its name, backend, threads and device, those in which rows differ."""
    parts = [(row.name, row.backend, threads_text(row.num_threads), row.device.name) for row in measurements]
    differ = [len(set(column)) > 1 for column in zip(*parts, strict=True)]
    labels: list[str] = []
    for part in parts:
        label = ", ".join(filter(None, itertools.compress(part, differ))) or part[0]
        again = sum(known.rpartition(" #")[0] == label or known == label for known in labels)
        labels.append(f"{label} #{again + 1}" if again else label)
    return labels


def devices_text(measurements: Iterable["Measurement"]) -> str:
    """Where the measurements were made, each device and runtime once."""
    devices = dict.fromkeys((row.device, row.runtime) for row in measurements)
    return "; ".join(
        ", ".join(
            filter(None, (device.name, device.soc, f"{device.cores} cores" if device.cores else "", device.os, runtime))
        )
        for device, runtime in devices
    )
