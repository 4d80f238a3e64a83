"""The operators and tensors of a .tflite file as plain records, read from the flatbuffer."""

import dataclasses
import functools

from keras_mobattn.errors import InputError
from keras_mobattn.formats.tflite.flatbuffer import read_tflite


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
    """An operator by its name in the schema, "CONV_2D" say, or that of a custom one."""

    index: int
    kind: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclasses.dataclass(frozen=True)
class Graph:
    """The first subgraph. `inputs` and `outputs` are {name: Tensor}, by the signature's names where there is one."""

    size_bytes: int
    signature: str | None
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    operators: tuple[Operator, ...]
    tensors: tuple[Tensor, ...]

    def consumers(self, operator):
        """The operators that take an output of `operator`."""
        return [
            other for other in self.operators if {t.index for t in other.inputs} & {t.index for t in operator.outputs}
        ]


def read_graph(path):
    """Read the first subgraph of a .tflite file.

    Raises:
        InputError: not a TFLite file, or a corrupt one.
        OSError: it can't be read.
    """
    from ai_edge_litert import schema_py_generated as schema

    content = read_tflite(path)
    try:
        return _graph(schema, schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0)), len(content))
    except Exception as error:  # offsets that lead anywhere: struct.error, IndexError, TypeError, MemoryError, ...
        raise InputError(
            f"Expected a whole TFLite file. Received: {str(path)!r}, which is cut off or corrupt. "
            "Convert or copy it again."
        ) from error


@functools.cache
def _names(enumeration):
    return {value: name for name, value in vars(enumeration).items() if name.isupper()}


def _graph(schema, model, size_bytes):
    subgraph = model.subgraphs[0]
    tensors = tuple(_tensor(schema, model, *item) for item in enumerate(subgraph.tensors))
    operators = tuple(_operator(schema, model, tensors, *item) for item in enumerate(subgraph.operators))
    signature = next((s for s in model.signatureDefs or () if s.subgraphIndex == 0), None)
    ends = {}
    for side in ("inputs", "outputs"):
        if signature:
            ends[side] = {_text(entry.name): tensors[entry.tensorIndex] for entry in getattr(signature, side)}
        else:
            ends[side] = {tensors[index].name: tensors[index] for index in getattr(subgraph, side)}
    key = _text(signature.signatureKey) if signature else None
    return Graph(size_bytes, key, operators=operators, tensors=tensors, **ends)


def _tensor(schema, model, index, tensor):
    has_shape, signature = tensor.shape is not None, tensor.shapeSignature
    shape = signature if signature is not None and len(signature) else tensor.shape if has_shape else ()
    data = model.buffers[tensor.buffer].data
    quantized = tensor.quantization and tensor.quantization.scale is not None and len(tensor.quantization.scale) == 1
    return Tensor(
        index,
        _text(tensor.name),
        tuple(int(side) for side in shape),
        _names(schema.TensorType)[tensor.type].lower(),
        0 if data is None else len(data),
        float(tensor.quantization.scale[0]) if quantized else None,
        int(tensor.quantization.zeroPoint[0]) if quantized else None,
    )


def _operator(schema, model, tensors, index, operator):
    code = model.operatorCodes[operator.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)  # old writers fill the second alone
    kind = _text(code.customCode) if code.customCode else _names(schema.BuiltinOperator)[number]
    inputs, outputs = (tuple(tensors[i] for i in ends if i >= 0) for ends in (operator.inputs, operator.outputs))
    return Operator(index, kind, inputs, outputs)  # an input of -1 is absent, a bias say


def _text(value):
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""
