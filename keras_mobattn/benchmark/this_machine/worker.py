"""Time one .tflite file in this process, started by `benchmark` with a job as JSON: prints one line of JSON.

A process of its own, fresh for every row, in which nothing is loaded but numpy and ai_edge_litert: what else took
memory would hide the file's.
"""

import json
import sys
import time

import numpy as np

from keras_mobattn.benchmark.this_machine.memory import peak_memory
from keras_mobattn.formats.random_inputs import random_inputs
from keras_mobattn.formats.tflite.interpreter import delegation


def main(path, backend, num_threads, warmup_runs, num_runs, min_secs, max_secs, seed):
    """Return the fields of a Measurement that only the process that runs the model can know."""
    memory_before = peak_memory(reset=True)
    start = time.perf_counter()
    model = LOADERS[backend](path, backend, num_threads)
    load_ms = 1e3 * (time.perf_counter() - start)

    inputs = random_inputs(model.inputs, np.random.default_rng(seed))
    model.write(inputs)
    warmup = timed_runs(model.run, warmup_runs, 0, max_secs)
    samples = timed_runs(model.run, num_runs, min_secs, max_secs)
    return {
        "load_ms": round(load_ms, 4),
        "first_ms": (warmup + samples)[0],
        "samples_ms": samples,
        "inputs": [f"{array.dtype}[{','.join(map(str, array.shape))}]" for array in inputs.values()],
        "peak_memory_bytes": peak_memory() - memory_before,
        **model.facts(),
    }


class CpuModel:
    """A file in the interpreter, with XNNPACK or with the runtime's own kernels. `inputs`: {index: details}."""

    def __init__(self, path, backend, num_threads):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self.with_xnnpack = backend == "xnnpack"
        resolver = OpResolverType.AUTO if self.with_xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        self.interpreter = Interpreter(path, num_threads=num_threads, experimental_op_resolver_type=resolver)
        self.interpreter.allocate_tensors()
        self.inputs = {detail["index"]: detail for detail in self.interpreter.get_input_details()}
        self.run = self.interpreter.invoke

    def write(self, inputs):
        for index, array in inputs.items():
            self.interpreter.set_tensor(index, array)

    def facts(self):
        facts = delegation(self.interpreter)
        return facts if self.with_xnnpack else {"operators": facts["operators"]}


def gpu_model(path, backend, num_threads):
    """A file on the GPU accelerator alone; its `run` ends when the outputs are read."""
    from keras_mobattn.gpu.model import GpuModel

    model = GpuModel(path, float16=backend == "gpu-fp16")
    model.facts = lambda: {"undelegated": {}}  # or it would have been refused
    return model


LOADERS = {"xnnpack": CpuModel, "builtin": CpuModel, "gpu": gpu_model, "gpu-fp16": gpu_model}


def timed_runs(run, num_runs, min_secs, max_secs, clock=time.perf_counter):
    """Call `run` as benchmark_model does: at least `num_runs` times and `min_secs`, at most `max_secs`. Gives ms."""
    samples, start = [], clock()
    elapsed = 0.0
    while (len(samples) < num_runs or elapsed < min_secs) and elapsed < max_secs:
        before = clock()
        run()
        after = clock()
        samples.append(round(1e3 * (after - before), 4))
        elapsed = after - start
    return samples


if __name__ == "__main__":
    try:
        result = main(**json.loads(sys.argv[1]))
    except Exception as error:  # whatever the runtime has to say is the reason in the row
        result = {"error": " ".join(str(error).split()) or type(error).__name__}
    print("\n" + json.dumps(result))  # a line of its own, whatever native code wrote before
