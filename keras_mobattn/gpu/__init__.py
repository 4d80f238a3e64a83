"""Run .tflite files on LiteRT's GPU accelerator, also on a machine without a GPU. Imports no models."""

from keras_mobattn.gpu.driver import environment
from keras_mobattn.gpu.jobs import GpuError, GpuJob, GpuRun, adapter, run_jobs_on_gpu, run_on_gpu, why
from keras_mobattn.gpu.probe import gpu_adapter, gpu_problem

__all__ = [
    "GpuError",
    "GpuJob",
    "GpuRun",
    "adapter",
    "environment",
    "gpu_adapter",
    "gpu_problem",
    "run_jobs_on_gpu",
    "run_on_gpu",
    "why",
]
