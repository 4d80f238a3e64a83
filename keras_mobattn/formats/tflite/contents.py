"""The operators and tensors of a .tflite file as plain records."""

import collections
import dataclasses
import functools

from keras_mobattn.formats.tflite.graph import open_graph, text

_MOST = 16  # integers of a constant: what shapes and axes need, and not the biases of an int8 file


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor. `shape` has -1 where the size is not fixed; `constant_bytes` is 0 for what is computed.

    `scale` and `zero_point` are those of a tensor quantized as a whole, real value = scale * (stored - zero_point);
    None for floats, and for weights with a scale for each channel.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    constant_bytes: int = 0
    scale: float | None = None
    zero_point: int | None = None


@dataclasses.dataclass(frozen=True)
class Operator:
    """An operator by its name in the schema, "CONV_2D" say, or that of a custom one.

    `options` are its plain ones under the schema's names, padding and activation in its words: {"padding": "SAME",
    "strideH": 2} say. `integers` are the values of its constant int32 inputs one after another: axes, a permutation, a
    new shape.
    """

    index: int
    kind: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    options: dict = dataclasses.field(default_factory=dict)
    integers: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Contents:
    """The first subgraph. `inputs` and `outputs` are {name: Tensor}, by the signature's names where there is one."""

    size_bytes: int
    signature: str | None
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    operators: tuple[Operator, ...]
    tensors: tuple[Tensor, ...]

    def consumers(self, operator):
        """The operators that take an output of `operator`."""
        found = {other.index: other for tensor in operator.outputs for other in self.readers(tensor)}
        return [found[index] for index in sorted(found)]

    def readers(self, tensor):
        """The operators that take a Tensor."""
        return self._readers[tensor.index]

    def producer(self, tensor):
        """The operator that makes a Tensor; None for a constant and for an input of the model."""
        return self._producers.get(tensor.index)

    @functools.cached_property
    def _readers(self):
        readers = collections.defaultdict(list)
        for operator in self.operators:
            for index in {tensor.index for tensor in operator.inputs}:
                readers[index].append(operator)
        return readers

    @functools.cached_property
    def _producers(self):
        return {tensor.index: operator for operator in self.operators for tensor in operator.outputs}


def read_contents(path):
    """Return the Contents of a .tflite file.

    Raises:
        InputError: not a TFLite file, or a corrupt one.
        OSError: it can't be read.
    """
    with open_graph(path) as graph:
        return contents_of(graph)


def contents_of(graph):
    """The Contents of a Graph that is open."""
    tensors = tuple(_tensor(graph, index) for index in range(len(graph.tensors)))
    operators = tuple(_operator(graph, tensors, *item) for item in enumerate(graph.operators))
    signature = next((s for s in graph.model.signatureDefs or () if s.subgraphIndex == 0), None)
    ends = {}
    for side in ("inputs", "outputs"):
        if signature:
            ends[side] = {text(entry.name): tensors[entry.tensorIndex] for entry in getattr(signature, side)}
        else:
            ends[side] = {tensors[index].name: tensors[index] for index in getattr(graph.subgraph, side)}
    key = text(signature.signatureKey) if signature else None
    return Contents(graph.size_bytes, key, operators=operators, tensors=tensors, **ends)


def _tensor(graph, index):
    tensor, data = graph.tensors[index], graph.data(index)
    quantization, shape = tensor.quantization, tensor.shapeSignature
    quantized = quantization and quantization.scale is not None and len(quantization.scale) == 1
    return Tensor(
        index,
        graph.name(index),
        tuple(map(int, shape)) if shape is not None and len(shape) else graph.shape(index),
        graph.dtype(index),
        0 if data is None else len(data),
        float(quantization.scale[0]) if quantized else None,
        int(quantization.zeroPoint[0]) if quantized else None,
    )


def _operator(graph, tensors, index, operator):
    numbers = [i for i in operator.inputs if i >= 0]  # an input of -1 is absent, a bias say
    constants = [graph.constant(i) for i in numbers if graph.dtype(i) == "int32"]
    integers = tuple(int(value) for values in constants if values is not None for value in values.reshape(-1)[:_MOST])
    return Operator(
        index,
        graph.kind(operator),
        tuple(tensors[i] for i in numbers),
        tuple(tensors[i] for i in operator.outputs if i >= 0),
        _options(graph, operator),
        integers,
    )


def _options(graph, operator):
    fields = vars(graph.options(operator))
    further = getattr(operator, "builtinOptions2", None)
    fields |= vars(further) if further is not None else {}
    fields = {name: text(value) if isinstance(value, bytes) else value for name, value in fields.items()}
    return {name: value for name, value in fields.items() if isinstance(value, bool | int | float | str)}
