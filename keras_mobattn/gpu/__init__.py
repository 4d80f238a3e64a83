"""Run .tflite files on LiteRT's GPU accelerator, also on a machine without a GPU. Imports no models."""

from keras_mobattn._lazy import importer

HOMES = {  # public name -> its module, imported when asked for: the process that runs files needs none
    "environment": "keras_mobattn.gpu.driver",
    **dict.fromkeys(("gpu_adapter", "gpu_problem"), "keras_mobattn.gpu.probe"),
    **dict.fromkeys(
        ("GpuError", "GpuJob", "GpuRun", "adapter", "run_jobs_on_gpu", "run_on_gpu", "why"), "keras_mobattn.gpu.jobs"
    ),
}

__all__ = [*HOMES]
__getattr__, __dir__ = importer(__name__, HOMES)
