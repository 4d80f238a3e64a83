"""The table of latencies, as plain cells for any page and on the terminal, and the remarks below it."""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from keras_mobattn.benchmark.texts import devices_text, in_brackets, megabytes_text, number_text, operators_text

if TYPE_CHECKING:
    from rich.console import Console

    from keras_mobattn.benchmark.measurement import Measurement


def _text(value):
    return "" if value is None else str(value)


def _median(statistics):
    """The median; the mean with a ~ where there is none."""
    return number_text(statistics.median_ms) or ("~" + number_text(statistics.mean_ms) if statistics.mean_ms else "")


def _operators(row):
    """366, or 294/366 where a delegate took 294 of them."""
    delegated, operators = row.detail("delegated"), row.detail("operators")
    if None in (delegated, operators) or delegated == operators:
        return _text(operators)
    return f"{delegated}/{operators}"


def _change(row, what, digits):
    """What was before and after: "31.0 → 38.5"."""
    values = [getattr(conditions, what) for conditions in map(row.detail, ("before", "after")) if conditions]
    return " → ".join(f"{value:.{digits}f}" for value in values if value is not None)


def _spread(statistics):
    mean, std = number_text(statistics.mean_ms), number_text(statistics.std_ms)
    return f"{mean} ± {std}" if mean else ""


def _ratio(row, first):
    if not first or row.statistics.median_ms is None:
        return ""
    ratio = row.statistics.median_ms / first.statistics.median_ms
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.4f}"


# Heading -> cell of any row.
WHAT = {
    "model": lambda row: row.name,
    "backend": lambda row: row.backend,
    "threads": lambda row: _text(row.num_threads),
    "device": lambda row: row.device.name,
}
# Heading -> cell of a row that was measured; `first` is the row that ratios refer to.
FIGURES = {
    "median ms": lambda row, first: _median(row.statistics),
    "ratio": _ratio,
    "p95": lambda row, first: number_text(row.statistics.p95_ms),
    "min": lambda row, first: number_text(row.statistics.min_ms),
    "mean ± std": lambda row, first: _spread(row.statistics),
    "runs": lambda row, first: str(row.statistics.count),
    "first": lambda row, first: number_text(row.first_ms),
    "warm-up": lambda row, first: number_text(row.detail("warmup_ms")),
    "load": lambda row, first: number_text(row.load_ms),
    "peak MB": lambda row, first: megabytes_text(row.detail("peak_memory_bytes")),
    "file MB": lambda row, first: megabytes_text(row.size_bytes),
    "ops": lambda row, first: _operators(row),
    "parts": lambda row, first: _text(row.detail("partitions")),
    "GFLOP/s": lambda row, first: number_text(row.gflops),
    "% of roofline": lambda row, first: row.roofline_gflops and f"{100 * row.gflops / row.roofline_gflops:.0f}" or "",
    "°C": lambda row, first: _change(row, "hottest_c", 1),
    "MHz": lambda row, first: _change(row, "fastest_mhz", 0),
}
WORDS = ("model", "backend", "device")  # columns that are no figures
# Columns that stand only in tables where a row fills them: phones', a roofline's, and what Core ML does not tell.
WHERE_KNOWN = ("threads", "warm-up", "peak MB", "ops", "parts", "GFLOP/s", "% of roofline", "°C", "MHz")
# What a narrow terminal does without, the first first; JSON and CSV have it all.
DISPENSABLE = (
    "warm-up", "runs", "mean ± std", "min", "load", "first", "MHz", "file MB", "peak MB", "°C", "ops", "parts", "p95",
    "GFLOP/s",
)  # fmt: skip


def header_and_rows(measurements: Collection["Measurement"]) -> tuple[list[str], list[list[str]]]:
    """Return the headings and one list of texts per measurement; a failed one has "failed" for its median.

    Times are in ms. "ratio" is the median against that of the first measurement that did not fail. "parts" are the
    partitions that the delegate took: 1 is best; "ops" 294/366 means that it took 294 of 366 operators. "peak MB" is
    its growth from before loading, "°C" the hottest zone and "MHz" the fastest core before and after; "device" is
    there when there are several.
    """
    first = next((row for row in measurements if not row.error and row.statistics and row.statistics.median_ms), None)
    failed = ["failed"] + [""] * (len(FIGURES) - 1)
    rows = []
    for row in measurements:
        figures = failed if row.error else [cell(row, first) for cell in FIGURES.values()]
        rows.append([cell(row) for cell in WHAT.values()] + figures)
    header = [*WHAT, *FIGURES]
    columns = dict(zip(header, zip(*rows, strict=True), strict=True)) if rows else {}
    needless = {name for name in WHERE_KNOWN if not any(columns.get(name, ()))}
    if len(set(columns.get("device", ()))) < 2:
        needless.add("device")
    kept = [index for index, name in enumerate(header) if name not in needless]
    return [header[index] for index in kept], [[row[index] for index in kept] for row in rows]


def remarks(measurements: Iterable["Measurement"]) -> list[str]:
    """Return one sentence for each different failure and each list of operators that a delegate left out, by model."""
    sentences = []
    for row in measurements:
        if row.error:
            what = f"{row.name}, {row.backend}," if row.target == "browser" else row.name  # several rows of one file
            sentences.append(f"{what} failed: {row.error}")
            continue
        delegated, operators = row.detail("delegated"), row.detail("operators")
        if row.detail("undelegated"):
            sentences.append(f"{row.name}: {row.backend} left out {operators_text(row.detail('undelegated'))}.")
        elif None not in (delegated, operators) and delegated < operators:
            left = f"{operators - delegated} of {operators} operators"
            sentences.append(f"{row.name}: {row.backend} left out {left}{in_brackets(row.detail('refusals'))}.")
        if row.detail("note"):
            sentences.append(f"{row.name}, {row.backend}: {row.detail('note')}")
        if row.statistics and row.statistics.median_ms is None:
            sentences.append(f"{row.name}: ~ is the mean; this build of the tool prints no median.")
    return list(dict.fromkeys(sentences))


def print_table(measurements: Collection["Measurement"], console: "Console | None" = None) -> None:
    """Print the table, then the remarks, on a rich console or the screen. A narrow one gets fewer columns."""
    from rich.console import Console
    from rich.markup import escape
    from rich.measure import Measurement

    console = console or Console()
    header, rows = header_and_rows(measurements)
    if not console.is_terminal:  # a pipe or a file has no width to keep to
        console = Console(file=console.file, width=1000)
    unbounded = console.options.update(max_width=1000)
    for count in range(len(DISPENSABLE) + 1):
        table = _rich_table(measurements, header, rows, dropped=DISPENSABLE[:count])
        if Measurement.get(console, unbounded, table).maximum <= console.width:
            break
    console.print(table)
    console.print(escape(devices_text(measurements)), style="dim", highlight=False, soft_wrap=True)
    for remark in remarks(measurements):
        console.print(escape(remark), style="yellow", highlight=False, soft_wrap=True)


def _rich_table(measurements, header, rows, dropped):
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    kept = [index for index, heading in enumerate(header) if heading not in dropped]
    for index in kept:
        justify = "left" if header[index] in WORDS else "right"
        table.add_column(header[index], justify=justify, no_wrap=index > 0, overflow="fold")
    for measurement, row in zip(measurements, rows, strict=True):
        table.add_row(*(escape(row[index]) for index in kept), style="red" if measurement.error else None)
    return table
