"""What only an Android phone tells of a measurement."""

import dataclasses

from keras_mobattn.benchmark.details import Details


@dataclasses.dataclass(frozen=True)
class Conditions:
    """How warm a phone was and how fast it ran, as far as it may be read. Maps from the phone's own names."""

    temperatures_c: dict[str, float] = dataclasses.field(default_factory=dict)  # by thermal zone
    clocks_mhz: dict[str, float] = dataclasses.field(default_factory=dict)  # by core
    battery_percent: int | None = None
    throttling: int | None = None  # Android's thermal status: 0 none, 1 light, 2 moderate, 3 severe and above

    @property
    def hottest_c(self) -> float | None:
        return max(self.temperatures_c.values(), default=None)

    @property
    def fastest_mhz(self) -> float | None:
        return max(self.clocks_mhz.values(), default=None)


@dataclasses.dataclass(frozen=True)
class AndroidDetails(Details):
    """Of a row that benchmark_model timed on a phone. What that build does not print is None."""

    target: str = dataclasses.field(default="android", init=False)
    warmup_min_secs: float | None = None
    warmup_ms: float | None = None  # the mean over the warm-up
    load_memory_bytes: int | None = None  # growth from before loading until loaded
    peak_memory_bytes: int | None = None  # growth from before loading
    operators: int | None = None  # in the file
    delegated: int | None = None  # how many of them the delegate took
    partitions: int | None = None  # pieces that the delegate took: 1 is best, 0 means nothing
    refusals: tuple[str, ...] = ()  # why it left the others, in its own words: "UNPACK: not supported."
    op_profile: tuple[dict, ...] = ()  # {"op", "name", "ms", "percent", "calls"} of each, in order, from other runs
    before: Conditions | None = None  # right before the runs, and right after
    after: Conditions | None = None

    @classmethod
    def from_dict(cls, record):
        """As of every target's details."""
        conditions = {name: Conditions(**record[name]) for name in ("before", "after") if record.get(name)}
        return super().from_dict({**record, **conditions})
