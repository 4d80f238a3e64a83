"""Measurements as a table: plain cells for any page, and one for the terminal."""

from keras_mobattn.benchmark.measurement import operators_text

MB = 1e6


def _text(value):
    return "" if value is None else str(value)


def _number(value):
    """Three digits or so: 0.0214, 3.40, 21.4, 315."""
    if value is None:
        return ""
    digits = next((digits for limit, digits in ((0.1, 4), (1, 3), (10, 2), (100, 1)) if abs(value) < limit), 0)
    return f"{value:.{digits}f}"


def _megabytes(value):
    return _number(None if value is None else value / MB)


def _spread(statistics):
    return f"{_number(statistics.mean_ms)} ± {_number(statistics.std_ms)}" if statistics.mean_ms is not None else ""


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
}
# Heading -> cell of a row that was measured; `first` is the row that ratios refer to.
FIGURES = {
    "median ms": lambda row, first: _number(row.statistics.median_ms),
    "ratio": _ratio,
    "p90": lambda row, first: _number(row.statistics.p90_ms),
    "min": lambda row, first: _number(row.statistics.min_ms),
    "mean ± std": lambda row, first: _spread(row.statistics),
    "runs": lambda row, first: str(row.statistics.count),
    "first": lambda row, first: _number(row.first_ms),
    "load": lambda row, first: _number(row.load_ms),
    "peak MB": lambda row, first: _megabytes(row.peak_memory_bytes),
    "file MB": lambda row, first: _megabytes(row.size_bytes),
    "ops": lambda row, first: _text(row.operators),
    "parts": lambda row, first: _text(row.partitions),
}
# What a narrow terminal does without, the first first; JSON and CSV have it all.
DISPENSABLE = ("runs", "mean ± std", "min", "load", "first", "ops", "file MB", "peak MB", "parts", "p90")


def header_and_rows(measurements):
    """Return the headings and one list of texts per measurement; a failed one has "failed" for its median.

    Times are in ms. "ratio" is the median against that of the first measurement that did not fail. "parts" are the
    partitions that the delegate took: 1 is best. "peak MB" is Measurement.peak_memory_bytes.
    """
    first = next((row for row in measurements if not row.error and row.statistics.median_ms), None)
    failed = ["failed"] + [""] * (len(FIGURES) - 1)
    rows = []
    for row in measurements:
        figures = failed if row.error else [cell(row, first) for cell in FIGURES.values()]
        rows.append([cell(row) for cell in WHAT.values()] + figures)
    return [*WHAT, *FIGURES], rows


def remarks(measurements):
    """Return one sentence for each different failure and each list of operators that a delegate left out, by model."""
    sentences = []
    for row in measurements:
        if row.error:
            sentences.append(f"{row.name} failed: {row.error}")
        elif row.undelegated:
            sentences.append(f"{row.name}: {row.backend} left out {operators_text(row.undelegated)}.")
    return list(dict.fromkeys(sentences))


def devices_text(measurements):
    """Where the measurements were made, each device and runtime once."""
    devices = {(row.device.name, row.device.cores, row.device.os, row.runtime): None for row in measurements}
    return "; ".join(
        ", ".join(filter(None, (name, cores and f"{cores} cores", system, runtime)))
        for name, cores, system, runtime in devices
    )


def print_table(measurements, console):
    """Print the table, then the remarks, on a rich console. A narrow terminal gets fewer columns."""
    from rich.console import Console
    from rich.markup import escape
    from rich.measure import Measurement

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
        table.add_column(header[index], justify="left" if index < 2 else "right", no_wrap=index > 0, overflow="fold")
    for measurement, row in zip(measurements, rows, strict=True):
        table.add_row(*(escape(row[index]) for index in kept), style="red" if measurement.error else None)
    return table
