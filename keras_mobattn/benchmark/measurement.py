"""The record that every benchmark fills in, whatever the runtime and the device, and its JSON and CSV files."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np

from keras_mobattn.errors import InputError
from keras_mobattn.files import replacing, write_json


@dataclasses.dataclass(frozen=True)
class Device:
    """Where a file was timed. `name` is the processor's or the phone's own name, `cores` those that we may use."""

    name: str
    os: str
    cores: int | None = None
    soc: str | None = None  # a phone's chip, e.g. "Google Tensor G3"
    abi: str | None = None  # a phone's instruction set in Android's words, e.g. "arm64-v8a"


@dataclasses.dataclass(frozen=True)
class Conditions:
    """How warm a phone was and how fast it ran, as far as it may be read. Maps from the phone's own names."""

    temperatures_c: dict[str, float] = dataclasses.field(default_factory=dict)  # by thermal zone
    clocks_mhz: dict[str, float] = dataclasses.field(default_factory=dict)  # by core
    battery_percent: int | None = None
    throttling: int | None = None  # Android's thermal status: 0 none, 1 light, 2 moderate, 3 severe and above

    @property
    def hottest_c(self):
        return max(self.temperatures_c.values(), default=None)

    @property
    def fastest_mhz(self):
        return max(self.clocks_mhz.values(), default=None)


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Summary of the steady runs, in ms. What a tool does not print (older benchmark_model: the median) is None."""

    count: int
    min_ms: float | None = None
    median_ms: float | None = None
    p90_ms: float | None = None
    mean_ms: float | None = None
    std_ms: float | None = None
    p95_ms: float | None = None
    max_ms: float | None = None

    @classmethod
    def of(cls, samples_ms):
        """Summarise raw samples. Percentiles interpolate linearly; `std_ms` is the population's, as benchmark_model's.

        (benchmark_model's own p95 takes the sample above: with 50 runs, the third slowest.)
        """
        values = np.asarray(samples_ms, float)
        p90, p95 = np.percentile(values, (90, 95))
        figures = np.min(values), np.median(values), p90, np.mean(values), np.std(values), p95, np.max(values)
        return cls(len(values), *(round(float(figure), 6) for figure in figures))

    @property
    def typical_ms(self):
        """The median, or the mean where the tool printed no median."""
        return self.mean_ms if self.median_ms is None else self.median_ms


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One file, timed in one configuration on one device. A failure is a Measurement too: `error` says why.

    Times are in ms, sizes in bytes; what is unknown or does not apply is None. The record holds only plain values.
    """

    name: str  # what the tables call it: the file's stem unless the caller knows better (an attention style, say)
    file: str
    device: Device
    runtime: str  # name and version, e.g. "ai-edge-litert 2.3.0"
    backend: str  # what computes: "xnnpack", "builtin" (the runtime's own CPU kernels), "gpu fp16", "gpu fp32", ...
    num_threads: int | None = None
    inputs: tuple[str, ...] = ()  # e.g. "float32[1,256,256,3]"
    warmup_runs: int | None = None  # what was asked for, as benchmark_model means it; Statistics.count is what was run
    num_runs: int | None = None
    warmup_min_secs: float | None = None
    min_secs: float | None = None
    max_secs: float | None = None
    rounds: int = 1  # fresh processes whose samples are pooled
    seed: int | None = None  # of the random inputs
    load_ms: float | None = None  # read, delegate, pack weights, allocate; the median over rounds or loads
    first_ms: float | None = None  # the very first inference; the median over rounds
    warmup_ms: float | None = None  # the mean over the warm-up, where a tool prints no more of it
    statistics: Statistics | None = None  # of the steady inferences, after the warm-up
    samples_ms: tuple[float, ...] = ()  # steady inferences in the order in which they ran
    load_samples_ms: tuple[float, ...] = ()  # where a round loads several times: every load, in order
    load_memory_bytes: int | None = None  # growth from before loading until loaded
    peak_memory_bytes: int | None = None  # growth from before loading; some 10 MB of it are the runtime's
    size_bytes: int | None = None
    sha256: str | None = None  # the first 16 hexadecimal digits
    macs: int | None = None  # of one run, counted from the file by `with_roofline`
    roofline_gflops: float | None = None  # what 1x1 convolutions alone reached beside it: type, backend, threads alike
    operators: int | None = None  # in the file
    delegated: int | None = None  # how many of them the backend's delegate took
    partitions: int | None = None  # pieces that the backend's delegate took: 1 is best, 0 means nothing
    undelegated: dict[str, int] | None = None  # what it left to the built-in CPU kernels: {operator: how many}
    refusals: tuple[str, ...] = ()  # why it left them, in its own words, where it says: "UNPACK: not supported."
    op_profile: tuple[dict, ...] = ()  # {"op", "name", "ms", "percent", "calls"} of each, in order, from other runs
    before: Conditions | None = None  # the phone, right before and right after
    after: Conditions | None = None
    python: str | None = None
    date: str | None = None  # ISO 8601, local time with its offset
    command: str | None = None
    error: str | None = None

    @property
    def gflops(self):
        """What was computed in the typical run, in 10^9 floating-point operations a second: two to a MAC."""
        return 2e-6 * self.macs / self.statistics.typical_ms if self.macs and self.statistics else None

    @classmethod
    def from_dict(cls, record):
        """Rebuild what `dataclasses.asdict` took apart, now or in an earlier version, whose files have fewer fields.

        Raises TypeError or KeyError when fields don't fit.
        """
        record = {**record, "device": Device(**record["device"])}
        record |= {name: tuple(record[name]) for name in TUPLES if name in record}
        record |= {name: Conditions(**record[name]) for name in ("before", "after") if record.get(name)}
        statistics = record["statistics"] and Statistics(**record["statistics"])
        if statistics and statistics.p95_ms is None and record["samples_ms"]:
            statistics = Statistics.of(record["samples_ms"])
        return cls(**{**record, "statistics": statistics})


TUPLES = ("inputs", "samples_ms", "load_samples_ms", "refusals", "op_profile")


def save_json(path, measurements):
    """Write every field of every measurement, raw samples included."""
    write_json(path, [dataclasses.asdict(measurement) for measurement in measurements])


def load_measurements(path):
    """Read back what `save_json` wrote, as a list of Measurement.

    Raises:
        InputError: the file is not a benchmark's JSON.
        OSError: it can't be read.
    """
    try:
        return [Measurement.from_dict(record) for record in json.loads(Path(path).read_text(encoding="utf-8"))]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"Expected the JSON file of a benchmark. Received: {str(path)!r} ({error}). Run the benchmark again."
        ) from error


def save_csv(path, measurements):
    """Write one line per measurement, flat: everything but raw samples and op profile, the statistics as columns."""
    rows = [_flat(measurement) for measurement in measurements]
    columns = dict.fromkeys(column for row in rows for column in row)
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def _flat(measurement):
    row = dataclasses.asdict(measurement)
    device = {f"device_{name}": value for name, value in row.pop("device").items()}
    blank = {field.name: None for field in dataclasses.fields(Statistics)}  # so that a failure has every column
    statistics = row.pop("statistics") or blank
    for name in ("samples_ms", "load_samples_ms", "op_profile"):
        del row[name]
    conditions = {}
    for when in ("before", "after"):
        del row[when]
        known = getattr(measurement, when) or Conditions()
        conditions |= {f"hottest_c_{when}": known.hottest_c, f"fastest_mhz_{when}": known.fastest_mhz}
    row["inputs"] = " ".join(row["inputs"])
    row["undelegated"] = operators_text(row["undelegated"])
    row["refusals"] = " ".join(row["refusals"])
    return {**row, **conditions, **device, **statistics}


def operators_text(counts):
    """{"CAST": 2, "POW": 1} as "CAST x2, POW"; "" for none."""
    return ", ".join(name if count == 1 else f"{name} x{count}" for name, count in (counts or {}).items())
