"""The smallest .tflite files, of one operator: what a runtime is tried with. They need no converter."""

from keras_mobattn.formats.tflite.flatbuffer import pack


def sigmoid_model(size):
    """Return a TFLite file of one operator, y = sigmoid(x) over float32 [size], as bytes."""
    return _model("LOGISTIC", size)


def square_model(size):
    """Return a TFLite file of one operator, y = x * x over float32 [size], as bytes."""
    return _model("SQUARE", size)


def _model(kind, size):
    from ai_edge_litert import schema_py_generated as schema

    def tensor(name):
        made = schema.TensorT()
        made.name, made.shape, made.type = name, [size], schema.TensorType.FLOAT32
        return made

    code, operator, graph, model = schema.OperatorCodeT(), schema.OperatorT(), schema.SubGraphT(), schema.ModelT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, kind)
    operator.inputs, operator.outputs = [0], [1]
    graph.tensors, graph.operators, graph.inputs, graph.outputs = [tensor("x"), tensor("y")], [operator], [0], [1]
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [schema.BufferT()]  # number 0 is "no constant"
    return pack(model)
