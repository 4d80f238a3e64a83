"""Read what TensorFlow Lite's benchmark_model prints, of every build since 2019. Text in, plain values out.

Times are printed in microseconds, memory in units of 2^20 bytes. Lines may begin with a severity ("INFO: ", since 2021)
or with logcat's columns; stdout and stderr may be mixed.
"""

import dataclasses
import re

from keras_mobattn.benchmark.measurement import Statistics

NUMBER = r"(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)"  # an average above a second is printed as 1.23457e+06
PREFIX = re.compile(
    r"(?:\d\d-\d\d [\d:.]+ +\d+ +\d+ (?P<logcat>[VDIWEF]) tflite *: )?"
    r"(?:(?P<severity>VERBOSE|DEBUG|INFO|WARN|WARNING|ERROR|FATAL): )?"
)

# Field, its unit in the tool's, and the lines that tell it; of several the last pattern that matches counts.
FIGURES = (
    ("load_ms", 1, rf"^Initialized session in {NUMBER}ms"),
    ("load_ms", 1e-3, rf"nference timings in us:.*\bInit: {NUMBER}"),
    ("first_ms", 1e-3, rf"nference timings in us:.*\bFirst inference: {NUMBER}"),
    ("warmup_ms", 1e-3, rf"nference timings in us:.*\bWarmup(?: \(avg\))?: {NUMBER}"),
    ("load_memory_bytes", 2**20, rf"emory footprint[^:]*: init={NUMBER}"),
    ("peak_memory_bytes", 2**20, rf"emory footprint[^:]*: init=\S+ overall={NUMBER}"),
)
# Of a count line: the tool's key, our field. When all runs took the same time, only count and curr are printed.
COUNT_LINE = {
    "min": "min_ms", "median": "median_ms", "avg": "mean_ms", "std": "std_ms", "p95": "p95_ms", "max": "max_ms",
}  # fmt: skip
# What the lines on delegates tell: named groups, and fields that go without saying.
DELEGATION: tuple[tuple[str, dict[str, bool | int]], ...] = (
    (r"applied (?P<name>\w+) delegate, and the model graph will be completely executed", {"complete": True}),
    (r"applied (?P<name>\w+) delegate, and the model graph will be partially executed", {"complete": False}),
    (r"applied (?P<name>\w+) delegate, .* partially executed .* (?P<partitions>\d+) delegate kernels", {}),
    (r"Though (?P<name>\w+) delegate is .*applied, the model graph will not be executed", {"delegated": 0}),
    (r"Created (?P<partitions>\d+) (?P<name>GPU) delegate kernels", {}),
    (
        r"Replacing (?P<delegated>\d+)(?: out of (?P<operators>\d+))? node\(s\) with delegate \((?P<name>\w+)\) node, "
        r"yielding (?P<pieces>\d+) partitions",
        {},
    ),
    (r"(?P<delegated>\d+) operations will run on the (?P<name>GPU), and the remaining (?P<left>\d+)", {}),
    (r"No operations will run on the (?P<name>GPU), and all (?P<operators>\d+)", {"delegated": 0}),
)
REFUSALS = re.compile(
    r"^Following operations are not supported by GPU delegate:\n(.*?)^(?:\d+|No) operations", re.M | re.S
)
# Lines that say nothing of the cause.
HOLLOW = re.compile(
    r"^(Benchmarking failed|Following operations are not|Falling back to|Restored )|will run on the CPU"
)
PHASES = {"STARTING!": "loading", "Initialized session": "warming up", "count=": "running"}


@dataclasses.dataclass(frozen=True)
class Delegation:
    """What a delegate took of the graph; None where the build does not tell."""

    delegated: int | None = None
    operators: int | None = None
    partitions: int | None = None
    complete: bool | None = None


@dataclasses.dataclass(frozen=True)
class Output:
    """All that one run printed. `figures` are fields of a Measurement; `delegations` are by "gpu", "xnnpack", ..."""

    figures: dict
    statistics: Statistics | None  # None when it did not come to the end
    delegations: dict[str, Delegation]
    refusals: tuple[str, ...]
    errors: tuple[str, ...]  # in order; the first is mostly the cause
    op_profile: tuple[dict, ...]


def parse(text):
    """Return the Output of one run's text. Whatever is missing in it is None or empty."""
    lines = [_without_prefix(line) for line in text.splitlines()]
    bare = [line for _, line in lines]
    figures = _figures(bare)
    warmup, steady = _runs(bare)
    if warmup and warmup["count"] and "first_ms" not in figures:  # builds of 2019
        figures["first_ms"] = warmup["first"] / 1e3
    elif steady and warmup and not warmup["count"]:  # no warm-up: the first of all is the first of the steady runs
        figures |= {"first_ms": steady["first"] / 1e3, "warmup_ms": None}
    refused = REFUSALS.search("\n".join(bare))
    refusals = tuple(line.strip() for line in refused[1].splitlines()) if refused else ()
    errors = [line for severity, line in lines if severity in ("E", "F") and not HOLLOW.search(line)]
    return Output(
        figures=figures,
        statistics=_statistics(steady) if steady else None,
        delegations=_delegations(bare),
        refusals=refusals,
        errors=tuple(line for line in errors if line.strip() not in refusals),
        op_profile=tuple(_op_profile(bare)),
    )


def phase_of(line):
    """What the tool is doing once it has printed `line`, in a word or two, or None when the line does not tell."""
    line = _without_prefix(line)[1]
    return next((phase for beginning, phase in PHASES.items() if line.startswith(beginning)), None)


def _without_prefix(line):
    """(first letter of the severity or None, the rest of the line)."""
    prefix = PREFIX.match(line)
    severity = prefix["severity"] or prefix["logcat"]
    return severity and severity[0], line[prefix.end() :].rstrip("\r")


def _figures(lines):
    found = {}
    for field, unit, pattern in FIGURES:
        for match in filter(None, (re.search(pattern, line) for line in lines)):
            value = float(match[1]) * unit
            found[field] = round(value) if field.endswith("_bytes") else round(value, 6)
    return found


def _runs(lines):
    """The warm-up's and the steady runs' count lines as {key: microseconds}; None for what was not reached."""
    counts = [dict(re.findall(rf"(\w+)={NUMBER}", line)) for line in lines if line.startswith("count=")]
    runs = [{key: float(value) for key, value in count.items()} for count in counts]
    runs = [{"first": run.get("curr"), **run} for run in runs if "curr" in run or run.get("count") == 0]
    return (*runs, None, None)[:2]


def _statistics(run):
    count = int(run["count"])
    if not count:
        return None
    if "min" not in run:  # one run, or all of the same time
        run = dict.fromkeys(COUNT_LINE, run["curr"]) | {"std": 0.0}
    return Statistics(count, **{field: round(run[key] / 1e3, 6) for key, field in COUNT_LINE.items() if key in run})


def _delegations(lines):
    told = {}
    for line in lines:
        for pattern, fields in DELEGATION:
            match = re.search(pattern, line, re.IGNORECASE)
            if match:
                groups = {key: int(value) for key, value in match.groupdict().items() if value and key != "name"}
                told.setdefault(_backend(match["name"]), {}).update(fields | groups)
    return {backend: _delegation(**fields) for backend, fields in told.items()}


def _backend(name):
    """XNNPACK, TfLiteXNNPackDelegate -> xnnpack; GPU, TfLiteGpuDelegateV2 -> gpu; others -> themselves in small."""
    return next((backend for backend in ("xnnpack", "gpu") if backend in name.lower()), name.lower())


def _delegation(delegated=None, operators=None, partitions=None, complete=None, pieces=None, left=None):
    if operators is None and left is not None:
        operators = delegated + left
    if complete is None and None not in (delegated, operators):
        complete = delegated == operators
    if complete or delegated == 0:
        partitions = int(bool(complete))
    elif partitions is None and pieces is not None and pieces % 2 == 0:
        partitions = pieces // 2  # pieces are the delegate's and the CPU's in turn: an odd number does not tell
    return Delegation(delegated, operators, partitions, bool(complete) if delegated == 0 else complete)


def _op_profile(lines):
    """The operators in the order in which they ran: those of the graph, then those inside a delegate's pieces."""
    columns, separator, in_order, inside, of_runs = None, "\t", False, False, True
    for line in lines:
        if "Profiling Info for" in line:
            of_runs, inside = "Initialization" not in line, False
        elif line.startswith("Delegate internal"):
            inside = True
        elif line.startswith("====="):
            columns, in_order = None, " Run Order " in line
        elif in_order and of_runs:
            if columns is None:
                separator = "\t" if "\t" in line else ", "  # a table, or --op_profiling_output_mode=csv
            cells = [cell.strip() for cell in line.strip().split(separator)]
            if columns is None:
                columns = [cell.strip("[]").lower().replace("_", " ") for cell in cells]
            elif len(cells) == len(columns):
                yield _operator(dict(zip(columns, cells, strict=True)), inside)


def _operator(cells, inside):
    return {
        "op": cells["node type"],
        "name": cells["name"],
        "ms": float(cells["avg ms"]),
        "percent": float(cells["%"].rstrip("%")),
        "calls": int(cells["times called"]),
        "inside": inside,
    }
