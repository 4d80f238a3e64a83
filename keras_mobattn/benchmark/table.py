"""Measurements as a table: plain cells for any page, and one for the terminal."""

import itertools

from keras_mobattn.benchmark.measurement import operators_text

MB = 1e6


def _text(value):
    return "" if value is None else str(value)


def number_text(value):
    """Three digits or so: 0.0214, 3.40, 21.4, 315."""
    if value is None:
        return ""
    digits = next((digits for limit, digits in ((0.1, 4), (1, 3), (10, 2), (100, 1)) if abs(value) < limit), 0)
    return f"{value:.{digits}f}"


def _megabytes(value):
    return number_text(None if value is None else value / MB)


def _median(statistics):
    """The median; the mean with a ~ where there is none."""
    return number_text(statistics.median_ms) or ("~" + number_text(statistics.mean_ms) if statistics.mean_ms else "")


def _operators(row):
    """366, or 294/366 where a delegate took 294 of them."""
    if None in (row.delegated, row.operators) or row.delegated == row.operators:
        return _text(row.operators)
    return f"{row.delegated}/{row.operators}"


def _change(row, what, digits):
    """What was before and after: "31.0 → 38.5"."""
    values = [getattr(conditions, what) for conditions in (row.before, row.after) if conditions]
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
    "warm-up": lambda row, first: number_text(row.warmup_ms),
    "load": lambda row, first: number_text(row.load_ms),
    "peak MB": lambda row, first: _megabytes(row.peak_memory_bytes),
    "file MB": lambda row, first: _megabytes(row.size_bytes),
    "ops": lambda row, first: _operators(row),
    "parts": lambda row, first: _text(row.partitions),
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


def header_and_rows(measurements):
    """Return the headings and one list of texts per measurement; a failed one has "failed" for its median.

    Times are in ms. "ratio" is the median against that of the first measurement that did not fail. "parts" are the
    partitions that the delegate took: 1 is best; "ops" 294/366 means that it took 294 of 366 operators. "peak MB" is
    Measurement.peak_memory_bytes, "°C" the hottest zone and "MHz" the fastest core before and after; "device" is
    there when there are several.
    """
    first = next((row for row in measurements if not row.error and row.statistics.median_ms), None)
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


def remarks(measurements):
    """Return one sentence for each different failure and each list of operators that a delegate left out, by model."""
    sentences = []
    for row in measurements:
        if row.error:
            sentences.append(f"{row.name} failed: {row.error}")
            continue
        if row.undelegated:
            sentences.append(f"{row.name}: {row.backend} left out {operators_text(row.undelegated)}.")
        elif None not in (row.delegated, row.operators) and row.delegated < row.operators:
            left = f"{row.operators - row.delegated} of {row.operators} operators"
            sentences.append(f"{row.name}: {row.backend} left out {left}{in_brackets(row.refusals)}.")
        if row.statistics.median_ms is None:
            sentences.append(f"{row.name}: ~ is the mean; this build of the tool prints no median.")
    return list(dict.fromkeys(sentences))


def threads_text(number):
    """As in: 1 thread, 2 threads; nothing for None, which is a GPU's."""
    return f"{number} thread{'s'[: number > 1]}" if number else ""


def labels_of(measurements):
    """A short, distinct label for every row: of its name, backend, threads and device, those in which rows differ."""
    parts = [(row.name, row.backend, threads_text(row.num_threads), row.device.name) for row in measurements]
    differ = [len(set(column)) > 1 for column in zip(*parts, strict=True)]
    labels = []
    for part in parts:
        label = ", ".join(filter(None, itertools.compress(part, differ))) or part[0]
        again = sum(known.rpartition(" #")[0] == label or known == label for known in labels)
        labels.append(f"{label} #{again + 1}" if again else label)
    return labels


def in_brackets(refusals):
    """What a delegate says of what it left out, for the end of a sentence: " (UNPACK: Operation is not supported)"."""
    return f" ({'; '.join(refusal.rstrip('.: ') for refusal in refusals)})" if refusals else ""


def devices_text(measurements):
    """Where the measurements were made, each device and runtime once."""
    devices = dict.fromkeys((row.device, row.runtime) for row in measurements)
    return "; ".join(
        ", ".join(filter(None, (device.name, device.soc, device.cores and f"{device.cores} cores", device.os, runtime)))
        for device, runtime in devices
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
        justify = "left" if header[index] in WORDS else "right"
        table.add_column(header[index], justify=justify, no_wrap=index > 0, overflow="fold")
    for measurement, row in zip(measurements, rows, strict=True):
        table.add_row(*(escape(row[index]) for index in kept), style="red" if measurement.error else None)
    return table
