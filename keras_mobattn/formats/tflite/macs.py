"""Multiply-accumulates of a .tflite file, counted from the shapes in it: whoever wrote the file, the same rule."""

import collections
import math
import os

from keras_mobattn.formats.tflite.graph import open_graph

# Operator -> MACs, from the shapes of its inputs and its output, and its options. The same operators as
# models.count_macs counts.
MACS = {
    "CONV_2D": lambda inputs, output, _: math.prod(output) * math.prod(inputs[1][1:]),  # filter [out, h, w, in]
    "DEPTHWISE_CONV_2D": lambda inputs, output, _: math.prod(output) * math.prod(inputs[1][1:3]),  # [1, h, w, out]
    "TRANSPOSE_CONV": lambda inputs, _output, _: math.prod(inputs[2]) * math.prod(inputs[1][:3]),  # [out, h, w, in]
    "FULLY_CONNECTED": lambda inputs, output, _: math.prod(output) * inputs[1][-1],
    "BATCH_MATMUL": lambda inputs, output, options: math.prod(output) * inputs[0][-2 if options.adjX else -1],
}


def count_file_macs(path: str | os.PathLike[str]) -> dict[str, int]:
    """Return {type that they are computed in: MACs of one run}, e.g. {"int8": 464_000_000, "float32": 1_000_000}.

    Convolutions, fully connected layers and matrix products count, by the type of their output: with int8 or float16
    weights alone they are float32. One MAC is two floating-point operations.

    Raises:
        InputError: not a TFLite file, or a corrupt one.
        OSError: it can't be read.
    """
    counts: collections.Counter[str] = collections.Counter()
    with open_graph(path) as graph:
        for operator in graph.operators:
            if (kind := graph.kind(operator)) in MACS:
                inputs = [graph.shape(tensor) for tensor in operator.inputs if tensor >= 0]  # -1: no bias
                output = operator.outputs[0]
                counts[graph.dtype(output)] += MACS[kind](inputs, graph.shape(output), operator.builtinOptions)
    return dict(counts)
