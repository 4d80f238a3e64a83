"""The tables of a report, from the records of conversions and benchmarks."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from keras_mobattn import benchmark
from keras_mobattn.report.page import Table

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# Heading -> cell of one conversion, a dict with the fields of export.CheckReport.
CONVERSION = {
    "format": lambda row: row["format"],
    "precision": lambda row: row["precision"],
    "size MB": lambda row: f"{row['size_bytes'] / 1e6:.2f}",
    "max abs error": lambda row: f"{row['max_abs_error']:.1e}",
    "of the spread": lambda row: f"{row['max_abs_error'] / row['spread']:.1e}" if row["spread"] else None,
    "SNR dB": lambda row: f"{row['snr_db']:.1f}",
    "agreement": lambda row: None if row["agreement"] is None else f"{100 * row['agreement']:.1f} %",
    "images": lambda row: row["num_images"],
    "seconds": lambda row: f"{row['seconds']:.1f}",
}


def conversions_table(reports: "Iterable[DataclassInstance | Mapping[str, Any]]") -> Table:
    """A Table of conversions. `reports`: CheckReports, dicts of their fields, or {"format", "precision", "error"}."""
    rows = [dataclasses.asdict(report) if dataclasses.is_dataclass(report) else report for report in reports]
    failed = tuple(index for index, row in enumerate(rows) if row.get("error"))
    return Table(
        header=tuple(CONVERSION),
        rows=tuple(map(_conversion_cells, rows)),
        notes=tuple(f"{row['format']} {row['precision']} failed: {row['error']}" for row in rows if row.get("error")),
        failed=failed,
    )


def _conversion_cells(row):
    if row.get("error"):
        return (row["format"], row["precision"], "failed") + (None,) * (len(CONVERSION) - 3)
    return tuple(cell(row) for cell in CONVERSION.values())


def op_profile_table(measurement: "benchmark.Measurement", count: int = 15) -> Table:
    """A Table of the kinds of operators that take longest in a Measurement that was profiled."""
    return Table(
        header=("operator", "count", "ms", "share"),
        rows=tuple(
            (kind, number, f"{ms:.3f}", f"{100 * share:.1f} %")
            for kind, number, ms, share in benchmark.top_operators(measurement.detail("op_profile") or (), count)
        ),
    )


def latency_table(measurements: Iterable["benchmark.Measurement"]) -> Table:
    """A Table of Measurements, with what failed and what a delegate left out as notes."""
    measurements = list(measurements)
    header, rows = benchmark.header_and_rows(measurements)
    devices = benchmark.devices_text(measurements)
    return Table(
        header=tuple(header),
        rows=tuple(map(tuple, rows)),
        caption=f"Times in ms; ratio of medians to the first row that was measured. {devices}.",
        notes=tuple(benchmark.remarks(measurements)),
        failed=tuple(index for index, row in enumerate(measurements) if row.error),
    )
