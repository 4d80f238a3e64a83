"""The result of the comparison: accuracy and cost by host and style, as figures and as texts."""

import statistics

from keras_mobattn.benchmark.table import number_text
from keras_mobattn.studies.comparison.plan import STAGES, styles_of


def figures(hosts, styles, rows, costs):
    """One dict per host and style, all with the same keys and None where nothing is known.

    `rows` are those of runs, {"host", "style", "seed", "accuracies" and "sizes", or "error"}; `costs` are Costs.
    Accuracies are in percent, for each stage; "se" is the mean's standard error over the seeds. Ratios are to the
    host's first style.
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
            "failed": _failures(rows, host, style),
            **_size(by_key.get((host, style, sides[0])) if sides else None),
            **_speed([by_key.get((host, style, side)) for side in sides],
                     [by_key.get((host, styles_of(host, styles)[0], side)) for side in sides], sides),
        }
        for host in hosts
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


def texts(table):
    """Headings and one list of texts for each of `figures`."""
    sides = [name.removeprefix("ms at ") for name in (table[0] if table else ()) if name.startswith("ms at ")]
    stages = [stage for stage in STAGES if table and f"{stage} mean" in table[0]]
    header = ["host", "attention", "parameters", "MMACs", *(f"{stage} %" for stage in stages)]
    header += [f"ms at {side} (ratio)" for side in sides] + [f"peak MB at {side}" for side in sides]
    return header, [_texts(row, stages, sides) for row in table]


def _texts(row, stages, sides):
    cells = [row["host"], row["style"], _thousands(row["parameters"]), number_text(row["macs"] and row["macs"] / 1e6)]
    cells += [_reached(row, stage) for stage in stages]
    for side in sides:
        ms, ratio = row[f"ms at {side}"], row[f"ratio at {side}"]
        cells.append(number_text(ms) + ("" if ratio is None else f" ({ratio:.2f})"))
    return cells + [number_text(row[f"peak MB at {side}"]) for side in sides]


def _reached(row, stage):
    mean, spread = row[f"{stage} mean"], row[f"{stage} se"]
    text = "" if mean is None else f"{mean:.1f}" + ("" if spread is None else f" ± {spread:.1f}")
    return ", ".join(filter(None, (text, f"{row['failed']} failed" if row["failed"] else "")))


def _thousands(count):
    return "" if count is None else f"{count:,}"


def markdown(header, cells):
    """A markdown table."""
    return "".join(f"| {' | '.join(line)} |\n" for line in (header, ["---"] * len(header), *cells))
