"""The record that every benchmark fills in, whatever the target."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from keras_mobattn.benchmark.android.details import AndroidDetails
from keras_mobattn.benchmark.apple.details import AppleDetails
from keras_mobattn.benchmark.browser.details import BrowserDetails
from keras_mobattn.benchmark.details import Details
from keras_mobattn.benchmark.this_machine.details import ThisMachineDetails

# Target -> the class of its rows' details.
DETAILS = {kind.target: kind for kind in (ThisMachineDetails, AndroidDetails, AppleDetails, BrowserDetails)}


@dataclasses.dataclass(frozen=True)
class Device:
    """Where a file was timed. `name` is the processor's or the phone's own name, `cores` those that we may use."""

    name: str
    os: str
    cores: int | None = None
    soc: str | None = None  # a phone's chip, e.g. "Google Tensor G3"
    abi: str | None = None  # a phone's instruction set in Android's words, e.g. "arm64-v8a"


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
    def of(cls, samples_ms: ArrayLike) -> Self:
        """Summarise raw samples. Percentiles interpolate linearly; `std_ms` is the population's, as benchmark_model's.

        (benchmark_model's own p95 takes the sample above: with 50 runs, the third slowest.)
        """
        values = np.asarray(samples_ms, float)
        p90, p95 = np.percentile(values, (90, 95))
        figures = np.min(values), np.median(values), p90, np.mean(values), np.std(values), p95, np.max(values)
        return cls(len(values), *(round(float(figure), 6) for figure in figures))

    @property
    def typical_ms(self) -> float | None:
        """The median, or the mean where the tool printed no median."""
        return self.mean_ms if self.median_ms is None else self.median_ms


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One file, timed in one configuration on one device. A failure is a Measurement too: `error` says why.

    Times are in ms, sizes in bytes; what a target's tool does not tell is None. The record holds only plain values.
    """

    name: str  # what the tables call it: the file's stem unless the caller knows better (an attention style, say)
    file: str
    device: Device
    runtime: str  # name and version, e.g. "ai-edge-litert 2.3.0"
    backend: str  # what computes: "xnnpack", "builtin" (the runtime's own CPU kernels), "gpu fp16", "coreml all", ...
    num_threads: int | None = None  # of the CPU; None where the runtime chooses
    inputs: tuple[str, ...] = ()  # e.g. "float32[1,256,256,3]"
    warmup_runs: int | None = None  # what was asked for, as benchmark_model means it; Statistics.count is what was run
    num_runs: int | None = None
    min_secs: float | None = None
    max_secs: float | None = None
    rounds: int = 1  # whose samples are pooled, each loaded afresh
    seed: int | None = None  # of the random inputs
    load_ms: float | None = None  # read, delegate, pack weights, allocate; the median over rounds or loads
    first_ms: float | None = None  # the very first inference; the median over rounds
    statistics: Statistics | None = None  # of the steady inferences, after the warm-up
    samples_ms: tuple[float, ...] = ()  # steady inferences in the order in which they ran
    size_bytes: int | None = None
    sha256: str | None = None  # the first 16 hexadecimal digits
    macs: int | None = None  # of one run, counted from the file by `with_roofline`
    roofline_gflops: float | None = None  # what 1x1 convolutions alone reached beside it: type, backend, threads alike
    details: Details = ThisMachineDetails()  # what only its target tells
    date: str | None = None  # ISO 8601, local time with its offset
    command: str | None = None
    error: str | None = None

    @property
    def target(self) -> str:
        """What the file was timed on, a name in DETAILS: "this machine", "android", "apple", "browser"."""
        return self.details.target

    def detail(self, name: str) -> Any:
        """One of the details, e.g. "partitions"; None where the row's target has none of that name."""
        return getattr(self.details, name, None)

    def filled(self, **values: Any) -> Self:
        """The row with these values: of fields of its own, or else of its details."""
        details = {name: value for name, value in values.items() if name not in FIELDS}
        own = {name: value for name, value in values.items() if name in FIELDS}
        return dataclasses.replace(self, **own, details=dataclasses.replace(self.details, **details))

    @property
    def gflops(self) -> float | None:
        """What was computed in the typical run, in 10^9 floating-point operations a second: two to a MAC."""
        typical_ms = self.statistics and self.statistics.typical_ms
        return 2e-6 * self.macs / typical_ms if self.macs and typical_ms else None

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Rebuild what `dataclasses.asdict` took apart, now or in an earlier version, whose files have fewer fields.

        Raises TypeError or KeyError when fields don't fit.
        """
        record = dict(record if "details" in record else _with_details(record))
        kind = DETAILS[record["details"]["target"]]
        details = {name: value for name, value in record["details"].items() if name != "target"}
        record |= {"device": Device(**record["device"]), "details": kind.from_dict(details)}
        record |= {name: tuple(record[name]) for name in ("inputs", "samples_ms") if name in record}
        statistics = record["statistics"] and Statistics(**record["statistics"])
        if statistics and statistics.p95_ms is None and record["samples_ms"]:
            statistics = Statistics.of(record["samples_ms"])
        return cls(**{**record, "statistics": statistics})


FIELDS = frozenset(field.name for field in dataclasses.fields(Measurement))
# What a runtime's name begins with -> its target, for files that don't say.
RUNTIMES = {"benchmark_model": "android", "Core ML": "apple", "": "this machine"}


def _with_details(record):
    """A record of the versions whose rows had the fields of all targets, with those of its own as `details`."""
    target = next(target for beginning, target in RUNTIMES.items() if record["runtime"].startswith(beginning))
    names = {name: {field.name for field in dataclasses.fields(kind)} for name, kind in DETAILS.items()}
    details = {name: value for name, value in record.items() if name in names[target]}
    rest = {name: value for name, value in record.items() if name not in set().union(*names.values())}
    return {**rest, "details": {**details, "target": target}}
