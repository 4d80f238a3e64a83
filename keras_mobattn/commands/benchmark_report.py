"""Put benchmarks side by side in one HTML page: of this machine and of phones, of .tflite and .mlpackage files.

    mobattn report runs/benchmark/benchmark.json runs/benchmark_android/benchmark.json
    mobattn report runs/benchmark*/benchmark.json

Ratios refer to the first row that was measured.
"""

from pathlib import Path
from typing import Annotated

import tyro

from keras_mobattn import cli
from keras_mobattn.errors import InputError


def main(
    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE...", help_behavior_hint="")],
    output: Path = Path("runs/benchmark_report.html"),
):
    """Write a page with the rows of several benchmarks.

    Args:
        files: benchmark.json of any device.
        output: the page.
    """
    from keras_mobattn import benchmark, report

    measurements = [row for path in files for row in benchmark.load_measurements(path)]
    if not measurements:
        raise InputError("Expected at least one row in the JSON files of benchmarks. Received: none.")
    report.write_report(output, _report(measurements))
    cli.console.print(f"Written: {output}", soft_wrap=True, markup=False, highlight=False)


def _report(measurements):
    from keras_mobattn import benchmark, report

    rows = dict(zip(benchmark.labels_of(measurements), measurements, strict=True))
    bars = report.Figure(report.latency_by_style(rows), alt="Bars of the median latency of every row.")
    latency = report.Section("Latency", figures=(bars,), table=report.latency_table(measurements))
    profiles = tuple(
        report.Section(f"Operators of {label}", table=report.op_profile_table(row))
        for label, row in rows.items()
        if row.detail("op_profile")
    )
    failed = sum(bool(row.error) for row in measurements)
    devices = ", ".join(dict.fromkeys(row.device.name for row in measurements))
    summary = (("rows", str(len(rows))), ("failed", str(failed)), ("devices", devices))
    kinds = {Path(row.file).suffix for row in measurements}
    what = f"{kinds.pop()} files" if len(kinds) == 1 else "exported files"
    return report.Report(f"Latency of {what}", summary=summary, sections=(latency, *profiles))


def run():
    """Run it with the flags of the command line."""
    cli.run(main)
