"""How every benchmark of files begins its rows: limits checked, rows named, files identified."""

import dataclasses
import datetime
import hashlib
import shlex
import sys
from pathlib import Path

from keras_mobattn.benchmark.measurement import Measurement
from keras_mobattn.errors import InputError
from keras_mobattn.files import is_tflite


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
    checks = {
        "warmup_runs of 0 or more": (warmup_runs >= 0, warmup_runs),
        "num_runs of 1 or more": (num_runs >= 1, num_runs),
        "min_secs of 0 or more": (min_secs >= 0, min_secs),
        "max_secs above 0 and not below min_secs": (max_secs > 0 and max_secs >= min_secs, max_secs),
    }
    for expected, (holds, received) in checks.items():
        if not holds:
            raise InputError(f"Expected {expected}. Received: {received}.")
    return dict(warmup_runs=warmup_runs, num_runs=num_runs, min_secs=min_secs, max_secs=max_secs, **others)


def names_of(paths):
    """Stems, unless two different files share one."""
    stems = [path.stem for path in paths]
    distinct = len(set(stems)) == len(set(paths))
    return stems if distinct else [str(path) for path in paths]


def begin_row(path, name, num_threads, **fields):
    """Return a Measurement of the file without figures: size, hash, date and command, or why it can't be timed.

    `num_threads` is None where threads don't apply.

    Raises:
        InputError: num_threads is below 1.
    """
    if num_threads is not None and num_threads < 1:
        raise InputError(f"Expected num_threads of 1 or more. Received: {num_threads}.")
    row = Measurement(
        name=name,
        file=str(path),
        num_threads=num_threads,
        date=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        **fields,
    )
    try:
        content = path.read_bytes()
    except OSError as error:
        return dataclasses.replace(row, error=f"{error.strerror}: {path}.")
    wrong = None if is_tflite(content) else "Not a TFLite file: bytes 4 to 7 are not the identifier TFL3."
    sha256 = hashlib.sha256(content).hexdigest()[:16]
    return dataclasses.replace(row, size_bytes=len(content), sha256=sha256, error=wrong)
