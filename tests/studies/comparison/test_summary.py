"""The figures of an attention comparison: means, errors of the mean, ratios, and gaps where runs failed."""

import statistics

import pytest

from helpers.compared import cost_of
from keras_mobattn.studies import comparison
from keras_mobattn.studies.comparison import STAGES, Cost


def _row(host, style, seed, accuracy):
    reached = {"accuracies": {"crops": 0.9, "scenes": accuracy}, "sizes": {}, "seconds": 1}
    found = {"error": "no"} if accuracy is None else reached
    return {"host": host, "style": style, "seed": seed, **found}


REACHED = {("DeiT", "own"): (0.5, 0.6, 0.7), ("DeiT", "separable"): (0.4, None, 0.5), ("PVTv2", "own"): (0.3,)}
ROWS = [_row(*key, seed, value) for key, values in REACHED.items() for seed, value in enumerate(values)]
COSTS = [
    cost_of("DeiT", "own", 192, 8.0), cost_of("DeiT", "own", 96, 2.0), cost_of("DeiT", "separable", 96, 1.0, 5.5),
    cost_of("DeiT", "separable", 192, 6.0), cost_of("PVTv2", "own", 96, 3.0),
    Cost("PVTv2", "own", 192, error="no operator"),
]  # fmt: skip


def test_figures_and_their_texts():
    hosts, styles = ("DeiT", "PVTv2"), ("own", "separable")
    table = comparison.summary_rows(hosts, styles, ROWS, COSTS)
    assert [(row["host"], row["style"]) for row in table] == [(h, s) for h in hosts for s in styles]
    first, second, third, fourth = table
    assert (first["scenes mean"], first["crops mean"]) == pytest.approx((60, 90))
    assert first["scenes se"] == pytest.approx(10 / 3**0.5)
    assert "fashion mean" not in first  # of which no row tells anything
    assert (first["parameters"], first["macs"]) == (96_000, 96 * 10**6)  # of the smallest side
    assert (second["scenes runs"], second["failed"]) == (2, 1)
    assert second["scenes se"] == pytest.approx(statistics.stdev((40, 50)) / 2**0.5)
    assert [second[f"ratio at {side}"] for side in (96, 192)] == [0.5, 0.75]
    assert second["peak MB at 96"] == 5.5
    assert (third["scenes se"], third["ms at 192"], third["ratio at 96"]) == (None, None, 1.0)
    assert set(fourth) == set(first)
    (header, cells), (cost_header, costs) = comparison.summary_tables(table)
    assert header == ["host", "attention", "crops %", "scenes %"]
    assert cells == [
        ["DeiT", "own", "90.0 ± 0.0", "60.0 ± 5.8"],
        ["DeiT", "separable", "90.0 ± 0.0, 1 failed", "45.0 ± 5.0, 1 failed"],
        ["PVTv2", "own", "90.0", "30.0"],
        ["PVTv2", "separable", "", ""],
    ]
    assert costs[0] == ["DeiT", "own", "96,000", "96.0", "2.00 (1.00)", "8.00 (1.00)", "10.0", "10.0"]
    assert [row[:2] for row in costs] == [["DeiT", "own"], ["DeiT", "separable"], ["PVTv2", "own"]]
    lines = comparison.markdown_table(cost_header, costs).splitlines()
    assert lines[1] == "|" + " --- |" * len(cost_header)
    assert len(lines) == 5


def test_sizes_and_competition_are_told():
    rows = [
        {
            "host": "DeiT", "style": "mobile d=2", "seed": seed, "seconds": 1, "accuracies": {"fashion": 0.8},
            "sizes": {"fashion": {str(side): side / 200 + seed / 100 for side in STAGES["fashion"].sides}},
            "competition": {"fashion": (0.8, 0.78 - seed / 100)},
        }
        for seed in (0, 2)
    ]  # fmt: skip
    (header, cells), _ = comparison.summary_tables(comparison.summary_rows(("DeiT",), ("mobile d=2",), rows, []))
    assert header == ["host", "attention", "fashion %", *(f"fashion at {side}" for side in (48, 64, 96, 128)),
                      "fashion by competition"]  # fmt: skip
    assert cells == [["DeiT", "mobile d=2", "80.0 ± 0.0", "25.0", "33.0", "49.0", "65.0", "3.0 ± 1.0"]]
