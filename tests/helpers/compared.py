"""A small plan of an attention comparison, and a cost that nobody measured."""

from keras_mobattn import benchmark
from keras_mobattn.benchmark import Statistics
from keras_mobattn.studies.comparison import Cost, StudyPlan

PLAN = StudyPlan("test", ("crops", "scenes"), (2, 3))
DEVICE = benchmark.Device("chip", "Linux")


def cost_of(host, style, side, ms, megabytes=10.0):
    row = benchmark.Measurement("x", "", DEVICE, "rt", "xnnpack", statistics=Statistics.of([ms]), samples_ms=(ms,))
    row = row.filled(peak_memory_bytes=round(1e6 * megabytes))
    return Cost(host, style, side, parameters=1000 * side, macs=10**6 * side, measurement=row)
