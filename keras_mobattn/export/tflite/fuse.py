"""Deploy-time fusion: fewer operators, the same numbers. Rewrites the graph and weights of a float32 .tflite file.

The converter folds batch norms. What it leaves, and what each rewrite takes away from MobileViTv2 1.0 at 256 pixels, is
said beside it. A layer stays as it was trained in the Keras model; only the file differs, and every conversion is
checked against Keras afterwards.
"""

import numpy as np

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def fuse(graph):
    """Rewrite a Graph so that it computes the same with fewer operators."""
    for rewrite in (fold_shifts, fold_scales, merge_linear_convolutions):
        while rewrite(graph):
            pass
    graph.drop_unread()


def fold_shifts(graph):
    """conv(x + b) -> conv(x) with W b more in its bias, for 1x1 convolutions. A norm's beta: 21 ADD of 1.2 M values."""
    return _fold(graph, "ADD", _shift_into, through=())


def fold_scales(graph):
    """conv(x * s) -> conv(x) with s in its weights; zero padding between them stays what it is. A norm's gamma, and the
    division of the image by 255: 22 MUL of 1.4 M values."""
    return _fold(graph, "MUL", _scale_into, through=("PAD",))


def merge_linear_convolutions(graph):
    """W2 (W1 x + b1) + b2 -> (W2 W1) x + (W2 b1 + b2), where nothing lies between two 1x1 convolutions.

    A block of MobileViTv2 ends in a projection without activation and the next one begins with an expansion: 12 % of
    all MACs. Only where it saves MACs and nobody else reads what lies between, a pyramid's level for example.
    """
    consumers = graph.consumers()
    for first in graph.operators:
        readers = consumers[int(first.outputs[0])]
        if not (_is_pointwise(graph, first) and len(readers) == 1 and _is_pointwise(graph, readers[0])):
            continue
        second = readers[0]
        w1, w2 = (graph.constant(operator.inputs[1]) for operator in (first, second))
        b1, b2 = (graph.constant(operator.inputs[2]) for operator in (first, second))
        if graph.has_activation(first) or w2.shape[0] * w1.shape[3] > w1.size + w2.size:
            continue
        wide1, wide2 = w1[:, 0, 0].astype(np.float64), w2[:, 0, 0].astype(np.float64)
        merged = (wide2 @ wide1)[:, None, None]
        second.inputs[0] = first.inputs[0]
        second.inputs[1] = graph.add_constant(second.inputs[1], merged)
        second.inputs[2] = graph.add_constant(second.inputs[2], wide2 @ b1 + b2)
        graph.operators.remove(first)
        return True
    return False


def _is_pointwise(graph, operator):
    """A 1x1 convolution of stride 1 with constant weights and a bias."""
    if operator is None or graph.kind(operator) != "CONV_2D":
        return False
    options = operator.builtinOptions
    weights = graph.constant(operator.inputs[1])
    if weights is None or len(operator.inputs) < 3 or graph.constant(operator.inputs[2]) is None:
        return False
    ungrouped = weights.shape[3] == graph.shape(operator.inputs[0])[3]
    return ungrouped and weights.shape[1:3] == (1, 1) and (options.strideH, options.strideW) == (1, 1)


def _fold(graph, kind, fold_into, through):
    """Take out one operator of `kind` with a constant per channel, if every reader's weights can take it in."""
    consumers = graph.consumers()
    for operator in graph.operators:
        if graph.kind(operator) != kind or graph.has_activation(operator):
            continue
        x, values = _value_and_constant(graph, operator)
        if values is None or operator.outputs[0] in graph.subgraph.outputs:
            continue
        readers = _readers(graph, consumers, int(operator.outputs[0]), through)
        updates = [fold_into(graph, reader, values) for reader in readers]
        if not readers or None in updates:
            continue
        for reader, update in zip(readers, updates, strict=True):
            for position, weights in update.items():
                reader.inputs[position] = graph.add_constant(reader.inputs[position], weights)
        for reader in consumers[int(operator.outputs[0])]:
            reader.inputs = [x if tensor == operator.outputs[0] else tensor for tensor in reader.inputs]
        graph.operators.remove(operator)
        return True
    return False


def _value_and_constant(graph, operator):
    """(tensor, [C] or scalar array) of an elementwise operator with a constant per channel, or (tensor, None)."""
    for x, other in (operator.inputs, operator.inputs[::-1]):
        values, shape = graph.constant(other), graph.shape(x)
        per_channel = values is not None and (values.size == 1 or values.shape[-1:] == (values.size,) == shape[-1:])
        if per_channel and graph.shape(operator.outputs[0]) == shape:
            return int(x), values.reshape(-1).astype(np.float64)
    return None, None


def _readers(graph, consumers, tensor, through):
    """The operators that read a tensor, and those behind operators of the kinds `through`; None for an output."""
    found = []
    for reader in consumers[tensor]:
        if reader is not None and graph.kind(reader) in through:
            found += _readers(graph, consumers, int(reader.outputs[0]), through)
        else:
            found.append(reader)
    return found


def _weights(graph, reader):
    """The constant weights of a convolution, or None for anything else."""
    return None if reader is None or graph.kind(reader) not in CONVOLUTIONS else graph.constant(reader.inputs[1])


def _scale_into(graph, reader, scale):
    """New weights {input's position: array} of `reader` on x for those that it had on x * scale, or None."""
    weights = _weights(graph, reader)
    # Input channels are the last axis of all three layouts: [O, h, w, I], [1, h, w, I * multiplier], [O, I].
    fits = weights is not None and scale.size in (1, weights.shape[-1])
    return {1: weights * scale} if fits else None


def _shift_into(graph, reader, shift):
    """The same for x + shift: W shift more in the bias. Not in a 3x3, whose padding of zeros is not shifted."""
    weights = _weights(graph, reader)
    bias = graph.constant(reader.inputs[2]) if weights is not None and len(reader.inputs) == 3 else None
    if bias is None or weights.shape[1:-1] not in ((), (1, 1)) or graph.kind(reader) == "DEPTHWISE_CONV_2D":
        return None
    matrix = weights.reshape(len(weights), -1).astype(np.float64)
    fits = shift.size in (1, matrix.shape[1])  # not in a grouped convolution
    return {2: bias + matrix @ np.broadcast_to(shift, matrix.shape[1:])} if fits else None
