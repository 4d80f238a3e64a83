"""The result of the comparison: accuracy and cost by host and style, as numbers and as tables."""

import statistics

from keras_mobattn.benchmark.texts import number_text
from keras_mobattn.studies.comparison.study_plan import STAGES, styles_of, timed_styles_of


def summary_rows(hosts, styles, rows, costs):
    """A dict of numbers for each host and style, all with the same keys and None where nothing is known.

    `rows` are the runs', {"host", "style", "seed", "accuracies", "sizes" and "competition", or "error"}; `costs` are
    Costs. Accuracies are in percent, for each stage; "se" is the mean's standard error over the seeds. "competition" is
    the loss of trained models without it, in points. Ratios are to the host's first style that is timed.
    """
    sides = sorted({cost.side for cost in costs})
    by_key = {cost.key: cost for cost in costs}
    stages = [stage for stage in STAGES if any(stage in row.get("accuracies", {}) for row in rows)]
    return [
        {
            "host": host,
            "style": style,
            **{k: v for stage in stages for k, v in _accuracy(stage, accuracies(rows, host, style, stage)).items()},
            **_by_side(rows, host, style, stages),
            **{k: v for stage in stages for k, v in _competition(stage, rows, host, style).items()},
            "failed": _failures(rows, host, style),
            **_size(by_key.get((host, style, sides[0])) if sides else None),
            **_speed([by_key.get((host, style, side)) for side in sides],
                     [by_key.get((host, timed[0], side)) if timed else None for side in sides], sides),
        }
        for host in hosts
        for timed in [timed_styles_of(host, styles)]
        for style in styles_of(host, styles)
    ]  # fmt: skip


def accuracies(rows, host, style, stage):
    """Test accuracies in percent of the runs of one host and style, after the last epoch of a stage."""
    mine = [row for row in rows if (row["host"], row["style"]) == (host, style)]
    return [100 * row["accuracies"][stage] for row in mine if stage in row.get("accuracies", {})]


def accuracies_by_side(rows, host, style, stage):
    """{side: test accuracies in percent, one for each seed} of a stage whose models are evaluated at other sizes."""
    mine = [row for row in rows if (row["host"], row["style"]) == (host, style) and stage in row.get("sizes", {})]
    return {side: [100 * row["sizes"][stage][str(side)] for row in mine] for side in STAGES[stage].sides}


def _by_side(rows, host, style, stages):
    return {
        f"{stage} at {side} mean": statistics.mean(found) if (found := reached.get(side)) else None
        for stage in stages
        for reached in [accuracies_by_side(rows, host, style, stage)]
        for side in STAGES[stage].sides
    }


def _competition(stage, rows, host, style):
    mine = [row for row in rows if (row["host"], row["style"]) == (host, style)]
    pairs = [row["competition"][stage] for row in mine if stage in row.get("competition", {})]
    worth = _accuracy("competition", [100 * (usual - without) for usual, without in pairs])
    return {f"{stage} {name}": worth[name] for name in ("competition mean", "competition se")}


def _failures(rows, host, style):
    return sum((row["host"], row["style"]) == (host, style) and bool(row.get("error")) for row in rows)


def _accuracy(stage, values):
    return {
        f"{stage} mean": statistics.mean(values) if values else None,
        f"{stage} se": statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None,
        f"{stage} runs": len(values),
    }


def _size(cost):
    return {"parameters": cost and cost.parameters, "macs": cost and cost.macs}


def _speed(costs, references, sides):
    found = {}
    for cost, reference, side in zip(costs, references, sides, strict=True):
        ms, own_ms = (one and one.latency_ms for one in (cost, reference))
        found[f"ms at {side}"] = ms
        found[f"ratio at {side}"] = ms / own_ms if ms and own_ms else None
        found[f"peak MB at {side}"] = cost and cost.peak_memory_mb
    return found


def summary_tables(table):
    """Two tables of `summary_rows`, of accuracies and of costs: each (headings, a list of texts for each row)."""
    return _accuracy_texts(table), _cost_texts(table)


def _accuracy_texts(table):
    stages = [stage for stage in STAGES if f"{stage} mean" in table[0]]
    sides = [f"{stage} at {side}" for stage in stages for side in STAGES[stage].sides]
    compete = [stage for stage in stages if any(row[f"{stage} competition mean"] is not None for row in table)]
    header = ["host", "attention", *(f"{stage} %" for stage in stages), *sides]
    header += [f"{stage} by competition" for stage in compete]
    return header, [
        [
            row["host"],
            row["style"],
            *(", ".join(filter(None, (_with_error(row, stage), _failed(row)))) for stage in stages),
            *("" if row[f"{side} mean"] is None else f"{row[f'{side} mean']:.1f}" for side in sides),
            *(_with_error(row, f"{stage} competition") for stage in compete),
        ]
        for row in table
    ]


def _cost_texts(table):
    sides = [name.removeprefix("ms at ") for name in table[0] if name.startswith("ms at ")]
    header = ["host", "attention", "parameters", "MMACs"]
    header += [f"ms at {side} (ratio)" for side in sides] + [f"peak MB at {side}" for side in sides]
    return header, [
        [
            row["host"],
            row["style"],
            _thousands(row["parameters"]),
            number_text(row["macs"] and row["macs"] / 1e6),
            *(_with_ratio(row[f"ms at {side}"], row[f"ratio at {side}"]) for side in sides),
            *(number_text(row[f"peak MB at {side}"]) for side in sides),
        ]
        for row in table
        if row["parameters"]
    ]


def _with_error(row, name):
    mean, error = row[f"{name} mean"], row[f"{name} se"]
    return "" if mean is None else f"{mean:.1f}" + ("" if error is None else f" ± {error:.1f}")


def _failed(row):
    return f"{row['failed']} failed" if row["failed"] else ""


def _with_ratio(ms, ratio):
    return number_text(ms) + ("" if ratio is None else f" ({ratio:.2f})")


def _thousands(count):
    return "" if count is None else f"{count:,}"


def markdown_table(header, cells):
    """A markdown table."""
    return "".join(f"| {' | '.join(line)} |\n" for line in (header, ["---"] * len(header), *cells))
