"""Run a .tflite file in numpy as a device with half precision would, beside a run in float32."""

import collections
import dataclasses
import types

import numpy as np

from keras_mobattn.errors import InputError
from keras_mobattn.formats.tflite.contents import contents_of
from keras_mobattn.formats.tflite.graph import open_graph
from keras_mobattn.half.arithmetic import MODES, Float32, round_to_half
from keras_mobattn.half.operators import ACTIVATIONS, OPERATORS
from keras_mobattn.half.report import HalfReport, Reports

FLOATS = ("float32", "float16")
INTEGERS = ("int8", "uint8", "int16", "int32", "int64", "bool")
QUANTIZED = ("int8", "uint8", "int16", "int32")  # where a scale stands beside them


@dataclasses.dataclass(frozen=True)
class _Step:
    kind: str
    name: str  # of its first output
    options: types.SimpleNamespace
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class _Program:
    """The first subgraph, read for running: tensors by their index."""

    steps: tuple[_Step, ...]
    constants: dict[int, np.ndarray]
    quantization: dict[int, tuple]  # (scales, zero points), shaped so that they broadcast
    dtypes: tuple[str, ...]
    names: tuple[str, ...]
    inputs: dict[str, object]  # {name: formats' Tensor}
    outputs: dict[str, object]


def evaluate_tflite(path, inputs, modes):
    """Run a .tflite file once in float32 and once in each of `modes`; return {mode: HalfReport}. See evaluate_half."""
    program = _read(path)
    given = _given(program, inputs)
    with np.errstate(all="ignore"):  # an overflow is what we look for
        reference = _Run(program, Float32(), given)
        runs = {mode: reference if mode == "float32" else _Run(program, MODES[mode](), given) for mode in modes}
        reports = {mode: Reports() for mode in runs}
        every = {id(run): run for run in (reference, *runs.values())}.values()

        def report(step, indices):
            for mode, run in runs.items():
                _report(reports[mode], program, (reference, run), step, indices)

        report(None, (*program.constants, *_ends(program.inputs)))
        last = {index: step for step in program.steps for index in step.inputs}
        ends, done = set(_ends(program.outputs)), collections.defaultdict(list)
        for index, step in last.items():
            if index not in ends:
                done[id(step)].append(index)
        for step in program.steps:
            for run in every:
                run.do(step)
            report(step, step.outputs)
            for index in done[id(step)]:
                for run in every:
                    del run.values[index]
    expected = _outputs(program, reference)
    return {
        mode: HalfReport(str(path), mode, expected, _outputs(program, run), reports[mode].finished())
        for mode, run in runs.items()
    }


def _outputs(program, run):
    return {name: run.values[tensor.index] for name, tensor in program.outputs.items()}


class _Run:
    """The values of one run: floats as float32, the rest as the file has it."""

    def __init__(self, program, arithmetic, inputs):
        self.program, self.arithmetic, self.values = program, arithmetic, {}
        for index, value in (program.constants | inputs).items():
            self._store(index, value)

    def do(self, step):
        """Compute an operator's outputs."""
        self.arithmetic.running_sum = None
        quantized = any(index in self.program.quantization for index in step.outputs)
        arithmetic = Float32() if quantized else self.arithmetic
        try:
            operands = [self._operand(index, np.float64 if quantized else np.float32) for index in step.inputs]
            results = OPERATORS[step.kind](arithmetic, step.options, *operands)
            results = results if isinstance(results, list) else [results]
            activation = ACTIVATIONS[getattr(step.options, "fusedActivationFunction", "NONE")]
            for index, result in zip(step.outputs, results, strict=True):
                self._store(index, self._quantized(index, activation(result)))
        except Exception as error:  # whatever numpy made of operands that don't fit
            raise InputError(
                f"Expected operands that fit. Received: operator {step.kind} of {step.name!r}. "
                f"{type(error).__name__}: {error}"
            ) from error

    def _store(self, index, value):
        dtype = self.program.dtypes[index]
        if dtype in FLOATS and index not in self.program.quantization:
            value = self.arithmetic.stored(np.asarray(value, np.float32))
            self.values[index] = round_to_half(value) if dtype == "float16" else value
        else:
            self.values[index] = np.asarray(value).astype(dtype)

    def _operand(self, index, dtype):
        value = self.values[index]
        if index in self.program.quantization:
            scale, zero_point = self.program.quantization[index]
            return ((value.astype(np.float64) - zero_point) * scale).astype(dtype)
        return value.astype(dtype, copy=False) if self.program.dtypes[index] in FLOATS else value

    def _quantized(self, index, value):
        if index not in self.program.quantization:
            return value
        scale, zero_point = self.program.quantization[index]
        limits = np.iinfo(self.program.dtypes[index])
        return np.clip(np.rint(value.astype(np.float64) / scale) + zero_point, limits.min, limits.max)


def _report(reports, program, runs, step, indices):
    """Report the float tensors that `step` has just made in both `runs`; None: inputs and constants."""
    sums = [run.arithmetic.running_sum for run in runs if step]
    running = next((total for total in sums if total is not None), None)  # the reference's where it has one
    made = {"operator": step.kind, "taken": step.inputs, "running_sum": running} if step else {}
    for index in indices:
        if program.dtypes[index] in FLOATS:  # the values of others are exact
            reports.add(index, program.names[index], *(run.values[index] for run in runs), **made)


def _ends(tensors):
    return [tensor.index for tensor in tensors.values()]


def _given(program, inputs):
    """{index: array} of what the caller passed."""
    if not isinstance(inputs, dict) and len(program.inputs) == 1:
        inputs = dict.fromkeys(program.inputs, inputs)
    given = {}
    for name, tensor in program.inputs.items():
        wanted = tensor.shape
        shape = np.shape(inputs[name]) if isinstance(inputs, dict) and name in inputs else None
        fits = shape is not None and len(shape) == len(wanted)
        if not fits or any(side not in (-1, size) for side, size in zip(wanted, shape, strict=True)):
            raise InputError(
                f"Expected the input {name!r} of shape {wanted} and type {tensor.dtype}. Received: "
                f"{'none' if shape is None else f'shape {shape}'}. Pass that."
            )
        given[tensor.index] = np.asarray(inputs[name]).astype(tensor.dtype)
    return given


def _read(path):
    with open_graph(path) as graph:
        contents = contents_of(graph)
        steps = tuple(
            _Step(
                graph.kind(operator),
                graph.name(operator.outputs[0]),
                graph.options(operator),
                tuple(int(tensor) for tensor in operator.inputs if tensor >= 0),
                tuple(int(tensor) for tensor in operator.outputs),
            )
            for operator in graph.operators
        )
        dtypes = tuple(map(graph.dtype, range(len(graph.tensors))))
        used = {index for step in steps for index in step.inputs}
        known = [index for index in sorted(used) if dtypes[index] in (*FLOATS, *INTEGERS)]
        constants = {index: value for index in known if (value := graph.values(index)) is not None}
        scales = ((index, graph.quantization(index)) for index, dtype in enumerate(dtypes) if dtype in QUANTIZED)
        quantization = {index: scale for index, scale in scales if scale is not None}
        names = tuple(map(graph.name, range(len(graph.tensors))))
    program = _Program(steps, constants, quantization, dtypes, names, contents.inputs, contents.outputs)
    _expect_known(path, program)
    return program


def _expect_known(path, program):
    """Refuse what can't be computed, all of it in one sentence."""
    lacking = collections.Counter(step.kind for step in program.steps if step.kind not in OPERATORS)
    if lacking:
        raise InputError(
            f"Expected operators among {', '.join(sorted(OPERATORS))}. Received: {str(path)!r} with "
            f"{', '.join(lacking)}. Write the model without them, or add them to half.operators.OPERATORS."
        )
    touched = {index for step in program.steps for index in (*step.inputs, *step.outputs)}
    if foreign := sorted({program.dtypes[index] for index in touched} - {*FLOATS, *INTEGERS}):
        raise InputError(
            f"Expected tensors of {', '.join((*FLOATS, *INTEGERS))}. Received: {str(path)!r} with "
            f"{', '.join(foreign)}. Convert it to another precision."
        )
    for step in program.steps:
        to_float = program.dtypes[step.outputs[0]] in FLOATS and step.kind != "DEQUANTIZE"
        if to_float and any(index in program.quantization for index in step.inputs):
            raise InputError(
                f"Expected float weights under float activations. Received: {str(path)!r} with a {step.kind} of int8 "
                "weights (dynamic range), which a runtime computes in int8 as it goes. Convert it in fp32, fp16 or "
                "int8."
            )
