"""Run .tflite files on LiteRT's GPU accelerator, also on a machine without a GPU. Imports no models."""

from typing import TYPE_CHECKING

from keras_mobattn._lazy import importer

HOMES = {  # public name -> its module, imported when asked for: the process that runs files needs none
    "environment": "keras_mobattn.gpu.driver",
    **dict.fromkeys(("gpu_adapter", "gpu_problem"), "keras_mobattn.gpu.probe"),
    **dict.fromkeys(
        ("GpuError", "GpuJob", "GpuRun", "adapter", "run_jobs_on_gpu", "run_on_gpu", "why"), "keras_mobattn.gpu.jobs"
    ),
}

if TYPE_CHECKING:  # the same table for type checkers and editors; tests/test_types.py compares the two
    from keras_mobattn.gpu.driver import environment as environment
    from keras_mobattn.gpu.jobs import (
        GpuError as GpuError,
        GpuJob as GpuJob,
        GpuRun as GpuRun,
        adapter as adapter,
        run_jobs_on_gpu as run_jobs_on_gpu,
        run_on_gpu as run_on_gpu,
        why as why,
    )
    from keras_mobattn.gpu.probe import gpu_adapter as gpu_adapter, gpu_problem as gpu_problem

__all__ = [*HOMES]
__getattr__, __dir__ = importer(__name__, HOMES)
