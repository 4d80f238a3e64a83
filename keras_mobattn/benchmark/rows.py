"""How every benchmark of files makes its rows: limits checked, rows named, files identified, rounds pooled."""

import dataclasses
import datetime
import itertools
import math
import shlex
import statistics
import sys
from pathlib import Path

from keras_mobattn.benchmark.measurement import Measurement, Statistics
from keras_mobattn.errors import expect_range
from keras_mobattn.formats.identity import identify_tflite

POOLED = ("samples_ms", "load_samples_ms")


class BenchmarkInterrupted(KeyboardInterrupt):
    """Ctrl-C during a benchmark. `measurements` holds the rows so far, pooled over the rounds that were run."""

    def __init__(self, measurements):
        super().__init__()
        self.measurements = measurements


def protocol(warmup_runs, num_runs, min_secs, max_secs, **others):
    """Return the fields of a Measurement that say how it is made; `others` are taken as they are.

    Raises:
        InputError: a count or a time limit is out of range.
    """
    expect_range("warmup_runs", warmup_runs, 0, whole=True)
    expect_range("num_runs", num_runs, 1, whole=True)
    expect_range("min_secs", min_secs, 0)
    expect_range("max_secs", max_secs, 0, above=True)
    expect_range("max_secs", max_secs, min_secs, advice="It must not be below min_secs.")
    return dict(warmup_runs=warmup_runs, num_runs=num_runs, min_secs=min_secs, max_secs=max_secs, **others)


def names_of(paths):
    """Stems, unless two different files share one."""
    stems = [path.stem for path in paths]
    distinct = len(set(stems)) == len(set(paths))
    return stems if distinct else [str(path) for path in paths]


def begin_row(path, name, num_threads, *, identify=identify_tflite, **fields):
    """Return a Measurement of the file without figures: size, hash, date and command, or why it can't be timed.

    `num_threads` is None where threads don't apply; `identify` is `identify_tflite` or its like for another format.

    Raises:
        InputError: num_threads is below 1.
    """
    if num_threads is not None:
        expect_range("num_threads", num_threads, 1, whole=True)
    row = Measurement(
        name=name,
        file=str(path),
        num_threads=num_threads,
        date=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        **fields,
    )
    try:
        size_bytes, sha256, wrong = identify(path)
    except OSError as error:
        return dataclasses.replace(row, error=f"{error.strerror}: {path}.")
    return dataclasses.replace(row, size_bytes=size_bytes, sha256=sha256.hexdigest()[:16], error=wrong)


def round_share(whole, rounds):
    """What one of `rounds` rounds measures of the `whole` protocol of a row: its share of runs and seconds.

    Raises:
        InputError: rounds is below 1.
    """
    expect_range("rounds", rounds, 1, whole=True)
    seconds = {name: whole[name] / rounds for name in ("min_secs", "max_secs")}
    return {**whole, "num_runs": math.ceil(whole["num_runs"] / rounds), **seconds}


def pool_rounds(parts, whole):
    """One row from the rounds of one configuration; a failure in any of them is the row."""
    failed = next((part for part in parts if part.error), None)
    if failed:
        return dataclasses.replace(failed, **whole, rounds=len(parts))
    samples, loads = (tuple(itertools.chain(*(getattr(part, name) for part in parts))) for name in POOLED)
    return dataclasses.replace(
        parts[0],
        **whole,
        rounds=len(parts),
        samples_ms=samples,
        statistics=Statistics.of(samples),
        load_samples_ms=loads,
        load_ms=statistics.median(loads or [part.load_ms for part in parts]),
        first_ms=statistics.median(part.first_ms for part in parts),
        peak_memory_bytes=max(part.peak_memory_bytes or 0 for part in parts) or None,
    )
