"""The loop of every benchmark: which row is timed when, with pauses, failures and Ctrl-C; and what a target adds to it.

A new target is a folder with a subclass of `Target`, its details, and a line in `measurement.DETAILS`.
"""

import contextlib
import dataclasses
import itertools
import math
import statistics
import sys
import time
import warnings
from collections.abc import Sequence

from keras_mobattn.benchmark.measurement import Measurement, Statistics
from keras_mobattn.benchmark.rows import now
from keras_mobattn.benchmark.texts import title_of
from keras_mobattn.errors import InputError, expect_range

SHARED_OUT = ("num_runs", "min_secs", "max_secs")  # limits of a whole row, of which every round has its share


class DeviceLostError(Exception):
    """The device can't be reached any more. The message is a sentence."""


class RowError(Exception):
    """This row can't be timed, but the next may be. The message is a sentence."""


class BenchmarkInterrupted(KeyboardInterrupt):
    """Ctrl-C during a benchmark. `measurements` holds the rows so far, pooled over the rounds that were run."""

    def __init__(self, measurements: Sequence[Measurement]):
        super().__init__()
        self.measurements = measurements


class Target:
    """What files are timed on, for `time_rows`.

    `show(text)` says on the screen what is under way; `show(note=text)` leaves a line there.
    """

    def connected(self):
        """A context manager: finds the device, yields the rows to time (of `begin_row`), leaves it clean in the end.

        Raises:
            InputError: it can't be had.
            DeviceLostError: it is gone already.
        """
        raise NotImplementedError

    def start(self, rows, show):
        """Put on the device what all rows need. Raises as `connected`."""

    def prepare(self, row, show):
        """Put on the device what this row needs, before the pause. Raises as `measure`."""

    def measure(self, row, show):
        """Return the row with the figures of one round, or with the `error` that it stopped with.

        Raises:
            InputError, RowError: its sentence is the row's error.
            DeviceLostError: there is nothing left to time on.
        """
        raise NotImplementedError

    def pooled(self, parts):
        """What this target alone makes of a row's rounds, as values for `Measurement.filled`."""
        return {}


def time_rows(target, *, rounds=1, cool_down=0.0):
    """Time a target's rows, going round them; return the Measurements in the order of the rows.

    A device that slows down or is disturbed then hits all rows alike, and ratios among them hold. Each row's samples
    are pooled over its rounds. What failed in one round is not tried in the next. `cool_down` are seconds without work
    before every measurement but the first. When the device is lost, the rounds so far count.

    Raises:
        InputError: `rounds` or `cool_down` out of range, or what the target raises before the first row.
        BenchmarkInterrupted: on Ctrl-C, with the rows so far.
    """
    expect_range("rounds", rounds, 1, whole=True)
    expect_range("cool_down", cool_down, 0)
    done = []
    try:
        with target.connected() as rows, _progress(rounds * len(rows)) as show:
            done = [(row, []) for row in rows]
            target.start(rows, show)
            _go_round(target, done, rounds, cool_down, show)
    except DeviceLostError as lost:  # before the first row: `_go_round` tells it in the rows
        raise InputError(f"{lost} Plug it in again and start again.") from lost
    except KeyboardInterrupt:
        raise BenchmarkInterrupted([_pooled(target, row, parts) for row, parts in done if parts]) from None
    return [_pooled(target, row, parts) for row, parts in done]


def _go_round(target, done, rounds, cool_down, show):
    """Fill `done`, [(row, its rounds so far)]."""
    worked = False
    for turn, (whole, parts) in enumerate(done * rounds):
        show(f"Next: {title_of(whole)}", done=turn)
        if parts and parts[-1].error:  # what failed in one round would fail in the next
            continue
        row = dataclasses.replace(_share(whole, rounds), date=now())
        try:
            if not row.error:
                target.prepare(row, show)
                _pause(cool_down * worked, row, show)
                worked = True
                row = target.measure(row, show)
        except (InputError, RowError) as error:
            row = dataclasses.replace(row, error=str(error))
        except DeviceLostError as lost:
            warnings.warn(f"{lost} The rounds so far count.", stacklevel=3)
            for missed, parts in done:
                if not parts:
                    parts.append(dataclasses.replace(missed, error=str(lost)))
            return
        parts.append(row)


def _pause(seconds, row, show):
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        show(f"Cooling down, {left:.0f} s; next: {title_of(row)}")
        time.sleep(min(left, 0.5))


def _share(row, rounds):
    """The row with the limits of one round."""
    if rounds == 1:
        return row
    seconds = {name: getattr(row, name) / rounds for name in ("min_secs", "max_secs")}
    return dataclasses.replace(row, num_runs=math.ceil(row.num_runs / rounds), **seconds)


def _pooled(target, row, parts):
    """One row from its rounds; a failure in any of them is the row."""
    whole = {name: getattr(row, name) for name in SHARED_OUT} | {"rounds": len(parts)}
    failed = next((part for part in parts if part.error), None)
    if failed or len(parts) == 1:
        return dataclasses.replace(failed or parts[0], **whole)
    samples = tuple(itertools.chain.from_iterable(part.samples_ms for part in parts))
    medians = {name: statistics.median(getattr(part, name) for part in parts) for name in ("load_ms", "first_ms")}
    pooled = {**whole, "samples_ms": samples, "statistics": Statistics.of(samples), **medians, **target.pooled(parts)}
    return parts[0].filled(**pooled)


@contextlib.contextmanager
def _progress(total):
    """Yield show(description, done, note): a progress bar on stderr with what is under way, and lines above it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    console = Console(file=sys.stderr)  # this stream, also while another package's bars are kept off it
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total)

        def show(description=None, done=None, note=None):
            if note:
                bar.console.print(note, soft_wrap=True, markup=False, highlight=False, style="dim")
            bar.update(task, description=description, completed=done)

        yield show
