"""The operators of a .tflite file as a graph that can be rewritten."""

import collections

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_mobattn.export.flatbuffer import pack, unpack

KINDS = {code: name for name, code in vars(schema.BuiltinOperator).items() if name.isupper()}
_DTYPES = {schema.TensorType.FLOAT32: np.float32, schema.TensorType.INT32: np.int32, schema.TensorType.INT64: np.int64}


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
        return KINDS[self.model.operatorCodes[operator.opcodeIndex].builtinCode]

    def name(self, tensor):
        return self.tensors[tensor].name.decode()

    def shape(self, tensor):
        shape = self.tensors[tensor].shape
        return () if shape is None else tuple(int(side) for side in shape)

    def constant(self, tensor):
        """The values of a constant tensor of float32, int32 or int64; None for one that is computed, or absent (-1)."""
        data = self.model.buffers[self.tensors[tensor].buffer].data if tensor >= 0 else None
        dtype = _DTYPES.get(self.tensors[tensor].type)
        if data is None or len(data) == 0 or dtype is None:
            return None
        return np.asarray(data, np.uint8).view(dtype).reshape(self.shape(tensor))

    def add_constant(self, like, values):
        """Add a constant of the type of the tensor `like`, under a name of its own; return its index."""
        old, new, buffer = self.tensors[like], schema.TensorT(), schema.BufferT()
        buffer.data = np.ascontiguousarray(values, _DTYPES[old.type]).reshape(-1).view(np.uint8)
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
