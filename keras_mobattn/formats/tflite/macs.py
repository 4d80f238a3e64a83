"""Multiply-accumulates of a .tflite file, counted from the shapes in it: whoever wrote the file, the same rule."""

import collections
import math

from keras_mobattn.formats.tflite.flatbuffer import read_tflite

# Operator -> MACs, from the shapes of its inputs and its output. The same operators as models.count_macs counts.
MACS = {
    "CONV_2D": lambda inputs, output, _: math.prod(output) * math.prod(inputs[1][1:]),  # filter [out, h, w, in]
    "DEPTHWISE_CONV_2D": lambda inputs, output, _: math.prod(output) * math.prod(inputs[1][1:3]),  # [1, h, w, out]
    "TRANSPOSE_CONV": lambda inputs, _output, _: math.prod(inputs[2]) * math.prod(inputs[1][:3]),  # [out, h, w, in]
    "FULLY_CONNECTED": lambda inputs, output, _: math.prod(output) * inputs[1][-1],
    "BATCH_MATMUL": lambda inputs, output, adjoint: math.prod(output) * inputs[0][-2 if adjoint else -1],
}


def count_file_macs(path):
    """Return {type that they are computed in: MACs of one run}, e.g. {"int8": 464_000_000, "float32": 1_000_000}.

    Convolutions, fully connected layers and matrix products count, by the type of their output: with int8 or float16
    weights alone they are float32. One MAC is two floating-point operations.

    Raises:
        InputError: not a TFLite file.
        OSError: it can't be read.
    """
    from ai_edge_litert import schema_py_generated as schema

    content = read_tflite(path)
    types = {value: name.lower() for name, value in vars(schema.TensorType).items() if name.isupper()}
    codes = {value: name for name, value in vars(schema.BuiltinOperator).items() if name.isupper()}
    model = schema.Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)

    def shape(index):
        tensor = graph.Tensors(index)
        return [] if tensor.ShapeIsNone() else tensor.ShapeAsNumpy().tolist()

    counts = collections.Counter()
    for operator in map(graph.Operators, range(graph.OperatorsLength())):
        code = model.OperatorCodes(operator.OpcodeIndex())
        name = codes[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]  # old writers fill the second alone
        if name in MACS:
            inputs = [shape(index) for index in operator.InputsAsNumpy().tolist() if index >= 0]  # -1: no bias
            adjoint = name == "BATCH_MATMUL" and _adjoint(operator, schema)
            macs = MACS[name](inputs, shape(operator.Outputs(0)), adjoint)
            counts[types[graph.Tensors(operator.Outputs(0)).Type()]] += macs
    return dict(counts)


def _adjoint(operator, schema):
    table, options = operator.BuiltinOptions(), schema.BatchMatMulOptions()
    options.Init(table.Bytes, table.Pos)
    return options.AdjX()
