"""A file on LiteRT's GPU accelerator, in this process: `worker` has it in one of its own."""

import numpy as np


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
