"""The cost of a host with a style at a size: parameters, multiply-accumulates, and the times of its TFLite file."""

import dataclasses
from pathlib import Path

import numpy as np

from keras_mobattn import benchmark
from keras_mobattn.benchmark import Measurement
from keras_mobattn.errors import InputError
from keras_mobattn.export import to_tflite
from keras_mobattn.files import read_json, write_json
from keras_mobattn.formats.identity import identify_tflite
from keras_mobattn.models import count_macs, randomize_weights
from keras_mobattn.studies.comparison.study_plan import STYLES, host_fields
from keras_mobattn.studies.resolution import up_to_date
from keras_mobattn.training import TrainSettings
from keras_mobattn.training.build import build_model

CLASSES = range(10)  # digits


@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost of a host with a style at `side` x `side` pixels. `error` says why fields are None."""

    host: str
    style: str
    side: int
    parameters: int | None = None
    macs: int | None = None
    measurement: Measurement | None = None
    error: str | None = None

    @property
    def key(self):
        return self.host, self.style, self.side

    @property
    def latency_ms(self):
        """The median time of one inference."""
        return self.measurement.statistics.median_ms if self.measurement else None

    @property
    def peak_memory_mb(self):
        """The memory that loading and running the file added to the process."""
        return self.measurement.details.peak_memory_bytes / 1e6 if self.measurement else None

    @classmethod
    def from_dict(cls, record):
        measurement = record["measurement"] and Measurement.from_dict(record["measurement"])
        return cls(**{**record, "measurement": measurement})


def convert(host, style, side, variant, folder):
    """Make the fp32 file of random weights, checked against Keras; return (Cost without a measurement, its path).

    A file that is in `folder` already is used again, unless the package has changed since. A failure is a Cost too, and
    its path None.
    """
    path = Path(folder) / f"{host}_{variant}_{style}_{side}.tflite".replace(" ", "_").replace("=", "").replace(",", "")
    figures = path.with_suffix(".json")
    try:
        if not up_to_date(path):
            fields = {**host_fields(host, variant), "image_size": side, **STYLES[style]}
            model = randomize_weights(build_model(TrainSettings(**fields), CLASSES))
            write_json(figures, {"parameters": model.count_params(), "macs": count_macs(model)})
            images = np.random.default_rng(0).uniform(0, 255, (2, side, side, 3)).astype("float32")
            to_tflite(model, path, check_images=images)
    except InputError as error:
        return Cost(host, style, side, error=str(error)), None
    return Cost(host, style, side, **read_json(figures, {})), path


def measure(costs_and_paths, known, **protocol):
    """Time the files of one host and size in one interleaved run, so that ratios among them hold; return the Costs.

    `known` are the Costs of earlier calls: if they have all of these files, by the same protocol, nothing is timed.
    `protocol` has arguments of `benchmark.benchmark_files`.
    """
    old = {cost.key: cost for cost in known}
    kept = [old.get(cost.key) for cost, path in costs_and_paths if path]
    paths = [path for _, path in costs_and_paths if path]
    if not all(cost and _same(cost.measurement, path, protocol) for cost, path in zip(kept, paths, strict=True)):
        rows = benchmark.benchmark_files(paths, **protocol)
        kept = [
            dataclasses.replace(cost, measurement=None if row.error else row, error=row.error)
            for (cost, _), row in zip((pair for pair in costs_and_paths if pair[1]), rows, strict=True)
        ]
    return [cost for cost, path in costs_and_paths if not path] + kept


def _same(row, path, protocol):
    """Whether a Measurement is of this file, by this protocol, on this device."""
    asked = {**protocol, "num_threads": protocol["num_threads"][0]}
    return (
        row is not None
        and row.sha256 == identify_tflite(path)[1].hexdigest()[:16]
        and row.device == benchmark.describe_host()
        and all(getattr(row, name) == value for name, value in asked.items())
    )


def save_costs(path, costs):
    """Write every field of every Cost as JSON."""
    write_json(path, [dataclasses.asdict(cost) for cost in costs])


def load_costs(path):
    """Read back what `save_costs` wrote, or [] where there is none."""
    return [Cost.from_dict(record) for record in read_json(path, [])]
