"""Whether the GPU accelerator runs here: found out by running one operator on it."""

import functools
import importlib.metadata
import importlib.util
import tempfile
from pathlib import Path

import numpy as np

from keras_mobattn.errors import expect_kind
from keras_mobattn.formats.float16 import HALF_MAX
from keras_mobattn.formats.tflite.one_operator import sigmoid_model, square_model
from keras_mobattn.gpu.jobs import GpuError, GpuJob, run_jobs_on_gpu

# What float16 makes of x * x: of 1 + 2^-12, which it can't hold, of 1 + 2^-10, and of 300, where it overflows
HALF_INPUTS = np.array([1 + 2**-12, 1 + 2**-10, 300], np.float32)
HALF_SQUARES = np.array([1, 1 + 2**-9, np.inf], np.float32)


def gpu_problem(real_float16: bool = False) -> str | None:
    """Return why the GPU accelerator can't run here, with what to do, or None when it can. Takes a second, once.

    With `real_float16`, why it can't compute half precision in float16; SwiftShader's is float32.
    """
    return probe(expect_kind("real_float16", real_float16, bool, "True or False"))[0]


def gpu_adapter(real_float16: bool = False) -> str:
    """Return the name of the GPU that computes, or of what stands in for it; "" if none does."""
    return probe(expect_kind("real_float16", real_float16, bool, "True or False"))[1]


@functools.cache
def probe(real_float16=False):
    """Run one operator on the accelerator; return what is wrong, or None, and the name of what computed it."""
    if not list(Path(importlib.util.find_spec("ai_edge_litert").origin).parent.glob("*WebGpuAccelerator*")):
        version = importlib.metadata.version("ai-edge-litert")
        return (
            f"ai-edge-litert {version} has no GPU accelerator for this platform. Linux x86-64 and macOS have one.",
            "",
        )
    model, values = (square_model, HALF_INPUTS) if real_float16 else (sigmoid_model, np.linspace(-2, 2, 4))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.tflite"
        path.write_bytes(model(len(values)))
        (run,) = run_jobs_on_gpu([GpuJob(path, [{"x": np.float32(values)}], float16=real_float16)], real_float16)
    if isinstance(run, GpuError):
        return f"The GPU accelerator can't run here: {'; '.join(run.reasons)}.", ""
    return (_not_half if real_float16 else _not_sigmoid)(values, run.outputs[0]["y"], run.adapter), run.adapter


def _not_sigmoid(values, received, adapter):
    error = np.abs(received - 1 / (1 + np.exp(-values))).max()
    wrong = f"The GPU accelerator computes wrong numbers here: sigmoid is off by {error:.1e} on {adapter}."
    return None if error < 1e-3 else wrong


def _not_half(_values, received, adapter):
    if np.array_equal(np.where(received == HALF_MAX, np.inf, received), HALF_SQUARES):
        return None
    return (
        f"No real float16: {adapter} computes half precision otherwise. `python -m keras_mobattn.gpu --half` gets a "
        "driver that has it."
    )
