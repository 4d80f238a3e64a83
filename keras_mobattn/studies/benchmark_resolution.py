"""Time each attention style against the number of tokens: for 64 to 1024 pixels, a table, a plot and the slopes.

    python tflite/benchmark_resolution.py                                   # one attention layer of 128 channels, alone
    python tflite/benchmark_resolution.py --subject backbone --styles separable mobile softmax

A slope of 1 means linear in the tokens, 2 quadratic. All styles of one size are timed in one interleaved run. Stopped
and started again, it goes on where it was: what was measured with the same settings, and with the same file, is kept.

Exit code 0: every cell was measured; 1: some were not (the reason is told, the others are kept); 130: Ctrl-C.
"""

import dataclasses
import importlib.metadata
from pathlib import Path
from typing import Literal

from rich.markup import escape
from rich.table import Table

from keras_mobattn import benchmark, cli, report
from keras_mobattn.benchmark.rows import begin_row
from keras_mobattn.errors import InputError
from keras_mobattn.files import replacing
from keras_mobattn.studies.resolution import (
    PATCH_SIZE,
    STRIDE,
    SUBJECTS,
    extrapolate,
    row_name,
    subject_file,
    time_resolution,
    tokens_at,
)

LAST = 3  # sizes of the slope: two doublings of the image's side
# Fields in which a kept row has to equal the one that would be measured now. Not the date, nor the command.
SAME = ("sha256", "device", "runtime", "num_threads", "rounds", "warmup_runs", "num_runs", "min_secs", "max_secs")


def main(
    styles: tuple[Literal[SUBJECTS["layer"][1]], ...] = (),
    resolutions: tuple[int, ...] = (64, 128, 256, 512, 1024),
    subject: Literal[tuple(SUBJECTS)] = "layer",
    num_threads: int = 1,
    num_runs: int = 20,
    warmup_runs: int = 3,
    min_secs: float = 0.5,
    max_secs: float = 20.0,
    rounds: int = 3,
    max_run_secs: float = 5.0,
    max_memory_gb: float = 4.0,
    output_dir: Path = Path("runs/resolution"),
):
    """Time each attention style against the number of tokens.

    Args:
        styles: which attention styles; all when none are named. "1x1 conv", for the layer only, is one convolution: its
            slope is what the machine's caches make of large maps, and no attention's.
        resolutions: sides of the square images in pixels, multiples of 16; layer 3 has an eighth, and 2x2 patches.
        subject: layer: one attention layer of MobileViTv2 1.0's layer 3, alone; backbone: all of MobileViTv2 1.0.
        num_threads: for XNNPACK.
        num_runs: fewest inferences of a cell.
        warmup_runs: inferences before them, in each round.
        min_secs: fewest seconds of a cell.
        max_secs: most seconds of a cell.
        rounds: how often to go round the styles of one size; a cell's samples are pooled.
        max_run_secs: leave a cell out when the two sizes before it predict a slower inference than this.
        max_memory_gb: leave a cell out when they predict a larger peak of memory than this.
        output_dir: folder for resolution.json, .csv, .png and the converted files; measured cells in it are kept.
    """
    sides = sorted(set(resolutions))
    if not sides or any(side < 64 or side % (STRIDE * PATCH_SIZE) for side in sides):
        raise InputError(
            f"Expected resolutions from 64 up that {STRIDE * PATCH_SIZE} divides. Received: "
            f"{' '.join(map(str, resolutions)) or 'none'}."
        )
    _, choices = SUBJECTS[subject]
    styles = styles or choices
    if not set(styles) <= set(choices):
        raise InputError(
            f"Expected styles for the {subject} among {', '.join(choices)}. Received: {', '.join(styles)}."
        )
    settings = dict(num_runs=num_runs, warmup_runs=warmup_runs, min_secs=min_secs, max_secs=max_secs, rounds=rounds)
    limits = Limits(max_run_secs, max_memory_gb)
    output_dir.mkdir(parents=True, exist_ok=True)
    kept = _kept(output_dir / f"{subject}.json")
    cells = {style: [] for style in styles}
    for side in sides:
        rows, files = {}, {}
        with cli.progress() as progress:
            for style in progress.track(styles, description=f"Converting for {side} pixels"):
                found = _file_or_reason(subject, style, side, output_dir / "files", cells[style], limits)
                if isinstance(found, str):
                    rows[style] = _row(Path(), style, side, num_threads, error=found)
                else:
                    begun = _row(found, style, side, num_threads, **settings)
                    old = kept.get(begun.name)
                    same = old and not old.error and all(getattr(old, name) == getattr(begun, name) for name in SAME)
                    (rows if same else files)[style] = old if same else found
        rows |= time_resolution(files, side, num_threads=(num_threads,), **settings)
        for style in styles:
            cells[style].append((tokens_at(side), rows[style]))
            kept[rows[style].name] = rows[style]
        _save(output_dir, subject, kept.values(), cells)
    _print(cells, output_dir, subject)
    return int(any(row.error for points in cells.values() for _, row in points))


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits beyond which a cell is left out."""

    max_run_secs: float
    max_memory_gb: float

    def exceeded(self, points, tokens):
        """A sentence when [(tokens, Measurement)] predict a run beyond the limits at `tokens`, else None."""
        good = [(count, row) for count, row in points if not row.error]
        ms = extrapolate([(count, row.statistics.median_ms) for count, row in good], tokens)
        memory = extrapolate([(count, row.details.peak_memory_bytes) for count, row in good], tokens)
        if ms is None or (ms <= 1e3 * self.max_run_secs and memory <= 1e9 * self.max_memory_gb):
            return None
        return (
            f"Left out: the two sizes before it predict {ms / 1e3:.2g} s and {memory / 1e9:.2g} GB a run; the limits "
            f"are {self.max_run_secs:g} s (--max-run-secs) and {self.max_memory_gb:g} GB (--max-memory-gb)."
        )


def _kept(path):
    try:
        return {row.name: row for row in benchmark.load_measurements(path)} if path.exists() else {}
    except InputError as error:
        raise InputError(f"{error} Remove it first, or give another --output-dir.") from error


def _file_or_reason(subject, style, side, folder, points, limits):
    """The converted file, or in a sentence why there is none."""
    try:
        return limits.exceeded(points, tokens_at(side)) or subject_file(subject, style, side, folder)
    except InputError as error:
        return str(error)


def _row(path, style, side, num_threads, error=None, **settings):
    """The row before it is timed; with `error` as it stays."""
    runtime = f"ai-edge-litert {importlib.metadata.version('ai-edge-litert')}"
    fields = dict(device=benchmark.describe_host(), runtime=runtime, backend="xnnpack", **settings)
    row = begin_row(path, row_name(style, side), num_threads, **fields)
    return dataclasses.replace(row, file="", error=error) if error else row


def _save(folder, subject, rows, cells):
    benchmark.save_json(folder / f"{subject}.json", rows)
    benchmark.save_csv(folder / f"{subject}.csv", list(rows))
    with replacing(folder / f"{subject}.png") as picture:
        picture.write_bytes(report.latency_by_tokens(cells, last=LAST, format="png"))


def slopes_table(cells):
    """Headings, and a list of texts for each style: the median of each size, and the slopes."""
    sizes = [tokens for tokens, _ in next(iter(cells.values()))]
    header = ["ms at tokens", *map(str, sizes), f"slope, last {LAST} sizes", "last 2"]
    rows = []
    for style, points in cells.items():
        medians = [(tokens, row.statistics.median_ms) for tokens, row in points if not row.error]
        texts = ["-" if row.error else f"{row.statistics.median_ms:.3g}" for _, row in points]
        slopes = [report.loglog_slope(medians[-count:]) for count in (LAST, 2)]
        rows.append([style, *texts, *("" if slope is None else f"{slope:.2f}" for slope in slopes)])
    return header, rows


def _print(cells, folder, subject):
    header, rows = slopes_table(cells)
    printed = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for index, heading in enumerate(header):
        printed.add_column(heading, justify="right" if index else "left")
    for row in rows:
        printed.add_row(*row)
    cli.console.print(printed)
    measurements = [row for points in cells.values() for _, row in points]
    cli.console.print(escape(benchmark.devices_text(measurements)), style="dim", highlight=False, soft_wrap=True)
    for remark in benchmark.remarks(measurements):
        cli.console.print(escape(remark), style="yellow", highlight=False, soft_wrap=True)
    written = ", ".join(f"{folder}/{subject}.{suffix}" for suffix in ("json", "csv", "png"))
    cli.console.print(f"Written: {written}", soft_wrap=True, markup=False, highlight=False)


def run():
    """Run it with the flags of the command line."""
    cli.run(main)
