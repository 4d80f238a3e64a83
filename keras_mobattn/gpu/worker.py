"""Run .tflite files on the GPU accelerator alone: `python worker.py JOBS.json FIRST` prints one line of JSON a job.

A program of its own, started by its path: Vulkan reads its environment at the first import, native code may crash, and
an import of the package would bring TensorFlow. Only numpy and ai_edge_litert are imported here. The jobs share one
environment, whose cache of compiled kernels makes the 44 files of tests/gpu/ a matter of 5 s instead of 90.
"""

import faulthandler
import json
import sys

import numpy as np

# On stderr, so that what the native code says stands after the job it is about.
MARK = "--- job {}"


class GpuModel:
    """A .tflite file compiled for the GPU accelerator, with nothing left to the CPU; the first of its signatures.

    `inputs` and `outputs` are {name: {"dtype": "float32", "shape": [1, 256, 256, 3], ...}}.

    Raises:
        RuntimeError: the file is corrupt, some operator is refused, or there is no driver; stderr has the reasons.
    """

    def __init__(self, path, float16=False, environment=None):
        from ai_edge_litert.compiled_model import CompiledModel
        from ai_edge_litert.hardware_accelerator import HardwareAccelerator
        from ai_edge_litert.options import GpuOptions, Options

        # GPU alone: with GPU | CPU the rest would run on the CPU, and is_fully_accelerated() be True all the same.
        gpu = GpuOptions(enforce_f32=not float16)
        options = Options(hardware_accelerators=HardwareAccelerator.GPU, gpu_options=gpu)
        self.model = CompiledModel.from_file(str(path), environment=environment, options=options)
        if not self.model.is_fully_accelerated():
            raise RuntimeError("Some operators are not accelerated.")
        key = self.model.get_signature_by_index(0)["key"]
        self.inputs = self._details(self.model.get_input_tensor_details(key), "inputs")
        self.outputs = self._details(self.model.get_output_tensor_details(key), "outputs")
        self._input_buffers = self.model.create_input_buffers(0)
        self._output_buffers = self.model.create_output_buffers(0)

    def _details(self, details, kind):
        return {name: details[name] for name in self.model.get_signature_by_index(0)[kind]}

    def write(self, inputs):
        """Set the inputs, {name: array}."""
        given, expected = ({n: list(np.shape(v)) for n, v in inputs.items()}, _shapes(self.inputs))
        if given != expected:
            raise ValueError(f"expected inputs of shapes {expected}, received {given}")
        for buffer, (name, detail) in zip(self._input_buffers, self.inputs.items(), strict=True):
            buffer.write(np.asarray(inputs[name], detail["dtype"]))

    def run(self):
        """Compute, and return the outputs, {name: array}. Reading them is part of it: the start alone is no end."""
        self.model.run_by_index(0, self._input_buffers, self._output_buffers)
        return {
            name: buffer.read(int(np.prod(detail["shape"])), np.dtype(detail["dtype"])).reshape(detail["shape"])
            for buffer, (name, detail) in zip(self._output_buffers, self.outputs.items(), strict=True)
        }


def _shapes(details):
    return {name: list(detail["shape"]) for name, detail in details.items()}


def main(jobs, first):
    from ai_edge_litert import compiled_model

    environment = compiled_model._create_default_environment()
    for index, job in list(enumerate(jobs))[first:]:
        print(MARK.format(index), file=sys.stderr, flush=True)
        faulthandler.dump_traceback_later(job["max_secs"], exit=True)  # a thread of its own: ends native code too
        try:
            model = GpuModel(job["path"], job["float16"], environment)
            arrays = {}
            for number in range(job["count"]):
                with np.load(job["inputs"].format(number)) as inputs:
                    model.write(dict(inputs))
                arrays |= {f"{number}/{name}": value for name, value in model.run().items()}
            np.savez(job["outputs"], **arrays)
            result = {"error": None}
        except Exception as error:  # whatever the runtime has to say is the reason
            result = {"error": " ".join(str(error).split()) or type(error).__name__}
        faulthandler.cancel_dump_traceback_later()
        print("\n" + json.dumps({"job": index, **result}), flush=True)  # on a line of its own, whatever came before


if __name__ == "__main__":
    sys.path.pop(0)  # our own folder: its module names must not hide those of packages
    with open(sys.argv[1], encoding="utf-8") as file:
        main(json.load(file), int(sys.argv[2]))
