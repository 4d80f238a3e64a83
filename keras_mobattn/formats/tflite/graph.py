"""The operators of a .tflite file as a graph that can be rewritten."""

import collections
import functools

import numpy as np

from keras_mobattn.formats.tflite.flatbuffer import pack, unpack

_DTYPES = {"FLOAT32": np.float32, "INT32": np.int32, "INT64": np.int64}


@functools.cache
def _names(enumeration):
    """{code: name} of one of the schema's enumerations."""
    from ai_edge_litert import schema_py_generated

    return {code: name for name, code in vars(getattr(schema_py_generated, enumeration)).items() if name.isupper()}


class Graph:
    """The main subgraph of a .tflite file, given as bytes. Tensors are known by their index, as in the file.

    `operators` is the list in which they run; rewrites change it and the operators in it, then `content()` is the file.
    """

    def __init__(self, content):
        self.model = unpack(content)
        self.subgraph = self.model.subgraphs[0]  # others are the bodies of loops and conditions
        self.tensors = self.subgraph.tensors
        self.operators = list(self.subgraph.operators)

    def kind(self, operator):
        """Its name in the schema, "CONV_2D" say."""
        return _names("BuiltinOperator")[self.model.operatorCodes[operator.opcodeIndex].builtinCode]

    def has_activation(self, operator):
        """Whether the operator ends in a fused RELU, say."""
        return _names("ActivationFunctionType")[operator.builtinOptions.fusedActivationFunction] != "NONE"

    def name(self, tensor):
        return self.tensors[tensor].name.decode()

    def shape(self, tensor):
        shape = self.tensors[tensor].shape
        return () if shape is None else tuple(int(side) for side in shape)

    def constant(self, tensor):
        """The values of a constant tensor of float32, int32 or int64; None for one that is computed, or absent (-1)."""
        data = self.model.buffers[self.tensors[tensor].buffer].data if tensor >= 0 else None
        dtype = _DTYPES.get(_names("TensorType")[self.tensors[tensor].type])
        if data is None or len(data) == 0 or dtype is None:
            return None
        return np.asarray(data, np.uint8).view(dtype).reshape(self.shape(tensor))

    def add_constant(self, like, values):
        """Add a constant of the type of the tensor `like`, under a name of its own; return its index."""
        from ai_edge_litert.schema_py_generated import BufferT, TensorT

        old, new, buffer = self.tensors[like], TensorT(), BufferT()
        dtype = _DTYPES[_names("TensorType")[old.type]]
        buffer.data = np.ascontiguousarray(values, dtype).reshape(-1).view(np.uint8)
        new.name = old.name + b"/%d" % len(self.tensors)  # the converter shares constants, quantizers want unique names
        new.type, new.shape, new.buffer = old.type, list(values.shape), len(self.model.buffers)
        self.model.buffers.append(buffer)
        self.tensors.append(new)
        return len(self.tensors) - 1

    def producers(self):
        """{tensor: the operator that computes it}."""
        return {int(tensor): operator for operator in self.operators for tensor in operator.outputs}

    def consumers(self):
        """{tensor: the operators that read it}, with None among them for an output of the model."""
        found = collections.defaultdict(list)
        for operator in self.operators:
            for tensor in operator.inputs:
                found[int(tensor)].append(operator)
        for tensor in self.subgraph.outputs:
            found[int(tensor)].append(None)
        return found

    def content(self):
        """The file's bytes, without the tensors and weights that nothing reads any more."""
        self.subgraph.operators = self.operators
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
        alive = {tensor.buffer for subgraph in self.model.subgraphs for tensor in subgraph.tensors}
        alive |= {entry.buffer for entry in self.model.metadata or ()}
        for index in set(range(len(self.model.buffers))) - alive:
            self.model.buffers[index].data = None
        return pack(self.model)
