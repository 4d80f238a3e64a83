"""Rows of a benchmark that nobody measured, for what is made of rows."""

from keras_mobattn import benchmark
from keras_mobattn.benchmark import Measurement, Statistics


def fake_row(name, samples=(), **fields):
    """A Measurement of these samples in ms; other fields and details as given."""
    device = benchmark.Device("chip", "Linux", 2)
    given = dict(statistics=Statistics.of(samples), load_ms=samples[0], first_ms=samples[-1]) if samples else {}
    given |= dict(samples_ms=tuple(samples), peak_memory_bytes=int(samples[0])) if samples else {}
    return Measurement(name, f"{name}.tflite", device, "rt 1", "xnnpack").filled(**{**given, **fields})


def example_rows():
    """One that failed, two with samples, one with statistics alone."""
    measured = fake_row(
        "mobile", (2.0, 4.0), num_threads=1, inputs=("float32[1,8,8,3]",), undelegated={"CAST": 2, "POW": 1}
    )
    slower = fake_row("soft[b]max", (6.0, 6.0), num_threads=2)
    # An old benchmark_model prints no median.
    summary = fake_row("phone", statistics=Statistics(50, min_ms=1.0, mean_ms=1.5))
    return [fake_row("lost", error="No such file."), measured, slower, summary]
