"""The operators of a .tflite file as a graph that can be read and rewritten: the one reader of the flatbuffer."""

import collections
import contextlib
import functools
import types

import numpy as np

from keras_mobattn.errors import InputError
from keras_mobattn.formats.tflite.flatbuffer import pack, read_tflite, unpack

_DTYPES = {"float32": np.float32, "int32": np.int32, "int64": np.int64}


@functools.cache
def _names(enumeration):
    """{code: name} of one of the schema's enumerations."""
    from ai_edge_litert import schema_py_generated

    return {code: name for name, code in vars(getattr(schema_py_generated, enumeration)).items() if name.isupper()}


@functools.cache
def _codes(enumeration):
    return {name: code for code, name in _names(enumeration).items()}


@contextlib.contextmanager
def open_graph(path):
    """Yield the Graph of a .tflite file. What goes wrong while the body reads it is a fault of the file.

    Raises:
        InputError: not a TFLite file, or a corrupt one.
        OSError: it can't be read.
    """
    content = read_tflite(path)
    try:
        yield Graph(content)
    except InputError:  # of a package that is missing, or of whoever reads
        raise
    except Exception as error:  # offsets that lead anywhere: struct.error, IndexError, TypeError, MemoryError, ...
        raise InputError(
            f"Expected a whole TFLite file. Received: {str(path)!r}, which is cut off or corrupt. "
            "Convert or copy it again."
        ) from error


class Graph:
    """The main subgraph of a .tflite file, given as bytes. Tensors are known by their index, as in the file.

    `operators` is the list in which they run; rewrites change it and the operators in it, then `content()` is the file.
    """

    def __init__(self, content):
        self.size_bytes = len(content)  # with what is appended to the flatbuffer
        self.model = unpack(content)
        self.subgraph = self.model.subgraphs[0]  # others are the bodies of loops and conditions
        self.tensors = self.subgraph.tensors
        self.operators = self.subgraph.operators

    def kind(self, operator):
        """Its name in the schema, "CONV_2D" say, or that of a custom one."""
        code = self.model.operatorCodes[operator.opcodeIndex]
        if code.customCode:
            return text(code.customCode)
        number = max(code.builtinCode, code.deprecatedBuiltinCode)  # old writers fill the second alone
        return _names("BuiltinOperator")[number]

    def has_activation(self, operator):
        """Whether the operator ends in a fused RELU, say."""
        return _names("ActivationFunctionType")[operator.builtinOptions.fusedActivationFunction] != "NONE"

    def options(self, operator):
        """The operator's options by the schema's names, its padding and fused activation in the schema's words."""
        options = types.SimpleNamespace(**vars(operator.builtinOptions) if operator.builtinOptions else {})
        for name, enumeration in (("padding", "Padding"), ("fusedActivationFunction", "ActivationFunctionType")):
            if hasattr(options, name):
                setattr(options, name, _names(enumeration)[getattr(options, name)])
        return options

    def name(self, tensor):
        return text(self.tensors[tensor].name)

    def dtype(self, tensor):
        """Its type in the schema's words, "float32" say."""
        return _names("TensorType")[self.tensors[tensor].type].lower()

    def shape(self, tensor):
        """The sizes that it is run with; 1 where one is open."""
        shape = self.tensors[tensor].shape
        return () if shape is None else tuple(int(side) for side in shape)

    def data(self, tensor):
        """The bytes of a constant tensor; None for one that is computed, or absent (-1)."""
        data = self.model.buffers[self.tensors[tensor].buffer].data if tensor >= 0 else None
        return None if data is None or len(data) == 0 else np.asarray(data, np.uint8)

    def constant(self, tensor):
        """The values of a constant tensor of float32, int32 or int64; None for another."""
        data = self.data(tensor)
        if data is None or self.dtype(tensor) not in _DTYPES:
            return None
        return data.view(_DTYPES[self.dtype(tensor)]).reshape(self.shape(tensor))

    def values(self, tensor):
        """What a constant tensor stores, of any type that numpy has; None for one that is computed."""
        data = self.data(tensor)
        if data is None:  # without elements, a scalar's shape for instance, it has no bytes
            return np.zeros(self.shape(tensor), self.dtype(tensor)) if 0 in self.shape(tensor) else None
        return data.view(self.dtype(tensor)).reshape(self.shape(tensor))

    def quantization(self, tensor):
        """(scales, zero points) of a quantized tensor as float64 arrays that broadcast over it; None for another."""
        quantization, shape = self.tensors[tensor].quantization, self.shape(tensor)
        if quantization is None or quantization.scale is None or len(quantization.scale) == 0:
            return None
        scales = np.asarray(quantization.scale, np.float64)
        points = np.broadcast_to(np.asarray(quantization.zeroPoint, np.float64), scales.shape)
        along = [1] * len(shape)
        if scales.size > 1:  # one for each channel
            along[quantization.quantizedDimension] = scales.size
        return (scales.reshape(along), points.reshape(along)) if along else (scales[0], points[0])

    def consumers(self):
        """{tensor: the operators that read it}, with None among them for an output of the model."""
        found = collections.defaultdict(list)
        for operator in self.operators:
            for tensor in operator.inputs:
                found[int(tensor)].append(operator)
        for tensor in self.subgraph.outputs:
            found[int(tensor)].append(None)
        return found

    def producers(self):
        """{tensor: the operator that makes it}; of inputs and constants there is none."""
        return {int(tensor): operator for operator in self.operators for tensor in operator.outputs}

    def add_constant(self, like, values):
        """Add a constant of the type of the tensor `like`, under a name of its own; return its index."""
        return self.add_values(self.name(like), np.asarray(values, _DTYPES[self.dtype(like)]))

    def add_values(self, name, values):
        """Add a constant tensor with the values of an array; return its index."""
        values = np.asarray(values, order="C")
        data = values.reshape(-1).view(np.uint8)
        # The converter shares constants, quantizers want unique names.
        return self.add_tensor(
            f"{name}/{len(self.tensors)}", values.shape, values.dtype.name, buffer=self._add_buffer(data)
        )

    def add_tensor(self, name, shape, dtype, scale=None, zero_point=0, buffer=0):
        """Add a tensor and return its index. With a `scale` it is quantized: value = scale * (stored - zero_point)."""
        from ai_edge_litert.schema_py_generated import QuantizationParametersT, TensorT

        tensor = TensorT()
        tensor.name, tensor.shape, tensor.type = name, list(shape), _codes("TensorType")[dtype.upper()]
        tensor.buffer = buffer  # number 0 is "no constant"
        if scale is not None:
            tensor.quantization = QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = np.float32([scale]), np.int64([zero_point])
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def add_operator(self, place, kind, inputs, outputs, version=1, options=None):
        """Add an operator before the operator number `place`. `options` are a name and fields of the schema,
        ("BatchMatMulOptions", {"adjY": True}) say."""
        from ai_edge_litert.schema_py_generated import OperatorCodeT, OperatorT

        code, operator = OperatorCodeT(), OperatorT()
        code.builtinCode = _codes("BuiltinOperator")[kind]
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)  # a byte; 127 says to look at the other
        code.version = version
        operator.opcodeIndex = len(self.model.operatorCodes)
        operator.inputs, operator.outputs = inputs, outputs
        self.model.operatorCodes.append(code)
        self.operators.insert(place, operator)
        if options is not None:
            _set_options(operator, *options)

    def add_custom_operator(self, kind, inputs, outputs, options):
        """Add a custom operator behind all others; `options` is {name: whole number, float or truth value}."""
        from ai_edge_litert.schema_py_generated import OperatorCodeT, OperatorT
        from flatbuffers import flexbuffers

        code, operator = OperatorCodeT(), OperatorT()
        code.builtinCode = code.deprecatedBuiltinCode = _codes("BuiltinOperator")["CUSTOM"]
        code.customCode, code.version = kind, 1
        operator.opcodeIndex = len(self.model.operatorCodes)
        operator.inputs, operator.outputs = inputs, outputs
        operator.customOptions = np.frombuffer(flexbuffers.Dumps(options), np.uint8)
        self.model.operatorCodes.append(code)
        self.operators.append(operator)

    def set_outputs(self, named):
        """Make tensors, {name: index}, the outputs of the model and of its signature, in this order."""
        from ai_edge_litert.schema_py_generated import TensorMapT

        self.subgraph.outputs = list(named.values())
        for signature in self.model.signatureDefs or ():
            signature.outputs = [TensorMapT(name, tensor) for name, tensor in named.items()]

    def replace_end(self, side, old, new):
        """Make the tensor `new` an input or output ("inputs", "outputs") in the place of `old`, under its name."""
        setattr(self.subgraph, side, [new if tensor == old else tensor for tensor in getattr(self.subgraph, side)])
        for signature in self.model.signatureDefs or ():
            for entry in getattr(signature, side):
                entry.tensorIndex = new if entry.tensorIndex == old else entry.tensorIndex

    def output_names(self):
        """The signature's names in the order of the graph's outputs, which may be another than the signature's."""
        names = {entry.tensorIndex: text(entry.name) for entry in self.model.signatureDefs[0].outputs}
        return [names[tensor] for tensor in self.subgraph.outputs]

    def add_metadata(self, name, data):
        """Add bytes that whoever reads the file finds by `name`."""
        from ai_edge_litert.schema_py_generated import MetadataT

        entry = MetadataT()
        entry.name, entry.buffer = name, self._add_buffer(np.frombuffer(data, np.uint8))
        self.model.metadata = [*(self.model.metadata or []), entry]

    def _add_buffer(self, data):
        from ai_edge_litert.schema_py_generated import BufferT

        buffer = BufferT()
        buffer.data = data
        self.model.buffers.append(buffer)
        return len(self.model.buffers) - 1

    def drop_unread(self):
        """Take out the tensors and weights that nothing reads any more."""
        holders = (self.subgraph, *self.operators)
        used = {int(tensor) for holder in holders for tensor in (*holder.inputs, *holder.outputs)} - {-1}
        number = {-1: -1, **{old: new for new, old in enumerate(sorted(used))}}
        for holder in holders:
            holder.inputs = [number[int(tensor)] for tensor in holder.inputs]
            holder.outputs = [number[int(tensor)] for tensor in holder.outputs]
        for signature in self.model.signatureDefs or ():
            for entry in (*signature.inputs, *signature.outputs):
                entry.tensorIndex = number[int(entry.tensorIndex)]
        self.subgraph.tensors = self.tensors = [self.tensors[old] for old in sorted(used)]
        holders = [*(tensor for subgraph in self.model.subgraphs for tensor in subgraph.tensors)]
        holders += self.model.metadata or ()
        buffers = [0, *sorted({int(holder.buffer) for holder in holders} - {0})]  # number 0 is "no constant"
        number = {old: new for new, old in enumerate(buffers)}
        self.model.buffers = [self.model.buffers[old] for old in buffers]
        for holder in holders:
            holder.buffer = number[int(holder.buffer)]

    def content(self):
        """The file's bytes."""
        return pack(self.model)


def text(value):
    """A name of the schema's objects as str; "" for none."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""


def _set_options(operator, name, fields):
    from ai_edge_litert import schema_py_generated as schema

    second = "2" if hasattr(schema.BuiltinOptions2, name) else ""  # of later operators
    options = getattr(schema, f"{name}T")()
    for field, value in fields.items():
        setattr(options, field, value)
    setattr(operator, f"builtinOptions{second}Type", getattr(getattr(schema, f"BuiltinOptions{second}"), name))
    setattr(operator, f"builtinOptions{second}", options)
