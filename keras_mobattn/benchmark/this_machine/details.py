"""What only this machine tells of a measurement."""

import dataclasses

from keras_mobattn.benchmark.details import Details


@dataclasses.dataclass(frozen=True)
class ThisMachineDetails(Details):
    """Of a row that was timed on this machine. What is unknown or does not apply is None."""

    target: str = dataclasses.field(default="this machine", init=False)
    python: str | None = None
    peak_memory_bytes: int | None = None  # growth from before loading; some 10 MB of it are the runtime's
    operators: int | None = None  # in the file
    partitions: int | None = None  # pieces that the backend's delegate took: 1 is best, 0 means nothing
    undelegated: dict[str, int] | None = None  # what it left to the built-in CPU kernels: {operator: how many}
