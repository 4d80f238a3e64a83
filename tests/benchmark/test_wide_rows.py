"""Rows as the first versions wrote them, every target's fields in all of them: the same figures as ever.

tests/fixtures/wide_rows/ has what they made of real runs: benchmark.json, and the CSV and the table beside it.
"""

import io
import json

import pytest
import rich.console

from helpers import FIXTURES
from keras_mobattn import benchmark
from keras_mobattn.benchmark.measurement import DETAILS

FOLDER = FIXTURES / "wide_rows"
TARGETS = sorted(path.stem for path in FOLDER.glob("*.json"))


@pytest.mark.parametrize("target", TARGETS)
def test_the_csv_is_as_it_was(target, tmp_path):
    rows = benchmark.load_measurements(FOLDER / f"{target}.json")
    benchmark.save_csv(tmp_path / "rows.csv", rows)
    assert (tmp_path / "rows.csv").read_bytes() == (FOLDER / f"{target}.csv").read_bytes()


@pytest.mark.parametrize("target", TARGETS)
def test_the_table_is_as_it_was(target):
    out = io.StringIO()
    rows = benchmark.load_measurements(FOLDER / f"{target}.json")
    benchmark.print_table(rows, rich.console.Console(file=out, width=300, color_system=None))
    assert out.getvalue() == (FOLDER / f"{target}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("target", TARGETS)
def test_they_are_written_and_read_again(target, tmp_path):
    rows = benchmark.load_measurements(FOLDER / f"{target}.json")
    benchmark.save_json(tmp_path / "rows.json", rows)
    assert benchmark.load_measurements(tmp_path / "rows.json") == rows


@pytest.mark.parametrize("target", TARGETS)
def test_a_row_has_the_details_of_its_own_target(target, tmp_path):
    rows = benchmark.load_measurements(FOLDER / f"{target}.json")
    assert {row.target for row in rows} == {target.replace("_", " ")}
    benchmark.save_json(tmp_path / "rows.json", rows)
    names = set(DETAILS[rows[0].target].__dataclass_fields__)
    assert all(set(record["details"]) == names for record in json.loads((tmp_path / "rows.json").read_text()))
