"""Whether the GPU accelerator runs here: found out by running one operator on it."""

import functools
import importlib.metadata
import importlib.util
import tempfile
from pathlib import Path

import numpy as np

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


def sigmoid_model(size):
    """A TFLite file of one operator, y = sigmoid(x) over float32 [size], as bytes. It needs no converter."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    def tensor(name):
        made = schema.TensorT()
        made.name, made.shape, made.type = name, [size], schema.TensorType.FLOAT32
        return made

    code, operator, graph, model = schema.OperatorCodeT(), schema.OperatorT(), schema.SubGraphT(), schema.ModelT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.LOGISTIC
    operator.inputs, operator.outputs = [0], [1]
    graph.tensors, graph.operators, graph.inputs, graph.outputs = [tensor("x"), tensor("y")], [operator], [0], [1]
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [schema.BufferT()]  # number 0 is "no constant"
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
