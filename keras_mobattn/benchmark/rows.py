"""Rows before they are timed: how they are to be timed, what they are called, and which files they are of."""

import dataclasses
import datetime
import shlex
import sys
from pathlib import Path

from keras_mobattn.benchmark.measurement import Measurement
from keras_mobattn.errors import expect_range
from keras_mobattn.formats.identity import identify_tflite


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
        date=now(),
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        **fields,
    )
    try:
        size_bytes, sha256, wrong = identify(path)
    except OSError as error:
        return dataclasses.replace(row, error=f"{error.strerror}: {path}.")
    return dataclasses.replace(row, size_bytes=size_bytes, sha256=sha256.hexdigest()[:16], error=wrong)


def now():
    """For Measurement.date."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")
