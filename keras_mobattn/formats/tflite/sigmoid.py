"""The smallest .tflite file: what a runtime is tried with. It needs no converter."""

from keras_mobattn.formats.tflite.flatbuffer import pack


def sigmoid_model(size):
    """Return a TFLite file of one operator, y = sigmoid(x) over float32 [size], as bytes."""
    from ai_edge_litert import schema_py_generated as schema

    def tensor(name):
        made = schema.TensorT()
        made.name, made.shape, made.type = name, [size], schema.TensorType.FLOAT32
        return made

    code, operator, graph, model = schema.OperatorCodeT(), schema.OperatorT(), schema.SubGraphT(), schema.ModelT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.LOGISTIC
    operator.inputs, operator.outputs = [0], [1]
    graph.tensors, graph.operators, graph.inputs, graph.outputs = [tensor("x"), tensor("y")], [operator], [0], [1]
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [schema.BufferT()]  # number 0 is "no constant"
    return pack(model)
