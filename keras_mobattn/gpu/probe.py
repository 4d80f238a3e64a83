"""Whether the GPU accelerator runs here: found out by running one operator on it."""

import functools
import importlib.metadata
import importlib.util
import tempfile
from pathlib import Path

import numpy as np

from keras_mobattn.formats.tflite.sigmoid import sigmoid_model
from keras_mobattn.gpu.jobs import GpuError, GpuJob, run_jobs_on_gpu


def gpu_problem():
    """Return why the GPU accelerator can't run here, with what to do, or None when it can. Takes a second, once."""
    return probe()[0]


def gpu_adapter():
    """Return the name of the GPU that computes, or of what stands in for it; "" if none does."""
    return probe()[1]


@functools.cache
def probe():
    """Run one operator on the accelerator; return what is wrong, or None, and the name of what computed it."""
    if not list(Path(importlib.util.find_spec("ai_edge_litert").origin).parent.glob("*WebGpuAccelerator*")):
        version = importlib.metadata.version("ai-edge-litert")
        return (
            f"ai-edge-litert {version} has no GPU accelerator for this platform. Linux x86-64 and macOS have one.",
            "",
        )
    values = np.linspace(-2, 2, 4, dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sigmoid.tflite"
        path.write_bytes(sigmoid_model(len(values)))
        (run,) = run_jobs_on_gpu([GpuJob(path, [{"x": values}])])
    if isinstance(run, GpuError):
        return f"The GPU accelerator can't run here: {'; '.join(run.reasons)}.", ""
    error = np.abs(run.outputs[0]["y"] - 1 / (1 + np.exp(-values))).max()
    wrong = f"The GPU accelerator computes wrong numbers here: sigmoid is off by {error:.1e} on {run.adapter}."
    return None if error < 1e-3 else wrong, run.adapter
