"""What only Core ML tells of a measurement."""

import dataclasses

from keras_mobattn.benchmark.details import Details


@dataclasses.dataclass(frozen=True)
class AppleDetails(Details):
    """Of a row that was timed by Core ML, on a Mac or an iPhone."""

    target: str = dataclasses.field(default="apple", init=False)
    python: str | None = None
    load_samples_ms: tuple[float, ...] = ()  # every load of every round, in order: the first is a device's very first
