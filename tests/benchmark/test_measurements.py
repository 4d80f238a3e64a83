"""Rows of a benchmark as JSON, as CSV and as the printed table."""

import csv
import dataclasses
import io
import json

import pytest
import rich.console

from helpers import FIXTURES
from helpers.made_up_rows import example_rows
from keras_mobattn import benchmark
from keras_mobattn.benchmark import Measurement, Statistics
from keras_mobattn.benchmark.measurement import DETAILS
from keras_mobattn.errors import InputError


def test_json_round_trip(tmp_path):
    examples = example_rows()
    benchmark.save_json(tmp_path / "new" / "rows.json", examples)
    assert benchmark.load_measurements(tmp_path / "new" / "rows.json") == examples


def test_files_of_the_first_version_are_read(tmp_path):
    path = FIXTURES / "benchmark_first_version.json"  # written by that version, before it had p95_ms
    benchmark.save_json(tmp_path / "new.json", example_rows()[:2])
    old, new = (json.loads(file.read_text()) for file in (path, tmp_path / "new.json"))
    assert set(old[1]) < {*new[1], *new[1]["details"]}  # it lacks fields, and has a target's details among them
    assert set(old[1]["statistics"]) < set(new[1]["statistics"])
    lost, mobile = benchmark.load_measurements(path)
    assert (lost.error, lost.statistics) == ("No such file.", None)
    assert mobile.statistics == Statistics.of((2.0, 4.0))  # what it lacks comes from the samples
    assert mobile == example_rows()[1]


@pytest.mark.parametrize("text", ["", "{}x", "[1]", '[{"name": "a"}]', '{"a": 1}'])
def test_foreign_json_is_refused(tmp_path, text):
    (tmp_path / "rows.json").write_text(text)
    with pytest.raises(InputError, match="Expected the JSON file of a benchmark"):
        benchmark.load_measurements(tmp_path / "rows.json")


def test_csv_has_every_field_but_the_samples(tmp_path):
    benchmark.save_csv(tmp_path / "rows.csv", example_rows())
    with (tmp_path / "rows.csv").open(newline="") as file:
        lost, mobile, *_ = csv.DictReader(file)
    apart = {"samples_ms", "load_samples_ms", "op_profile", "statistics", "device", "before", "after"}
    apart |= {"details", "target"}
    kinds = (Measurement, *(kind for name, kind in DETAILS.items() if name != "browser"))
    expected = {field.name for kind in kinds for field in dataclasses.fields(kind)} - apart
    expected |= {field.name for field in dataclasses.fields(Statistics)}
    expected |= {f"device_{field.name}" for field in dataclasses.fields(benchmark.Device)}
    expected |= {"hottest_c_before", "hottest_c_after", "fastest_mhz_before", "fastest_mhz_after"}
    assert set(mobile) == expected
    assert (mobile["median_ms"], mobile["std_ms"], mobile["undelegated"]) == ("3.0", "1.0", "CAST x2, POW")
    assert (lost["error"], lost["median_ms"]) == ("No such file.", "")
    browser = dataclasses.replace(example_rows()[1], details=DETAILS["browser"](adapter="apple / metal-3", right=True))
    benchmark.save_csv(tmp_path / "rows.csv", [*example_rows(), browser])
    with (tmp_path / "rows.csv").open(newline="") as file:
        *_, last = csv.DictReader(file)
    expected |= {field.name for field in dataclasses.fields(DETAILS["browser"])} - apart
    assert set(last) == expected
    assert (last["adapter"], last["right"], last["median_ms"]) == ("apple / metal-3", "True", "3.0")


def test_table_has_ratios_to_the_first_row_that_was_measured():
    header, rows = benchmark.header_and_rows(example_rows())
    cells = [dict(zip(header, row, strict=True)) for row in rows]
    assert [row["median ms"] for row in cells] == ["failed", "3.00", "6.00", "~1.50"]
    assert [row["ratio"] for row in cells] == ["", "1.00", "2.00", ""]
    assert cells[1]["p95"] == "3.90"
    assert cells[1]["mean ± std"] == "3.00 ± 1.00"
    assert benchmark.remarks(example_rows() * 2) == [
        "lost failed: No such file.",
        "mobile: xnnpack left out CAST x2, POW.",
        "phone: ~ is the mean; this build of the tool prints no median.",
    ]


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_printed_table_fits_the_terminal(width):
    out = io.StringIO()
    console = rich.console.Console(file=out, width=width, force_terminal=True, no_color=True, color_system=None)
    benchmark.print_table(example_rows()[:3], console)
    lines = out.getvalue().splitlines()[:4]
    assert max(map(len, map(str.rstrip, lines))) <= width
    assert "median ms" in lines[0]
    assert "soft[b]max" in lines[3]
    assert "2.00" in lines[3]
    assert "failed" in lines[1]
    assert ("runs" in lines[0]) == (width == 200)
