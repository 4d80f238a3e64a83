"""Deploy-time fusion: fewer operators, the same numbers. Rewrites the graph and weights of a float32 .tflite file.

The converter folds batch norms. What it leaves, and what each rewrite takes away from MobileViTv2 1.0 at 256 pixels, is
said beside it. A layer stays as it was trained in the Keras model; only the file differs, and every conversion is
checked against Keras afterwards.
"""

import numpy as np

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
STILL = ("RESHAPE", "TRANSPOSE", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE")  # move values, and don't change them


def fuse(graph):
    """Rewrite a Graph so that it computes the same with fewer operators."""
    for rewrite in (fold_shifts, shift_pixels_first, fold_scales, fold_scales_back, merge_linear_convolutions):
        while rewrite(graph):
            pass
    graph.drop_unread()


def fold_shifts(graph):
    """conv(x + b) -> conv(x) with W b more in its bias, for convolutions without padding. A norm's beta: 21 ADD of
    1.2 M values; that of a last batch norm, through the mean over the map."""
    return _fold(graph, "ADD", _shift_into, through=("MEAN",))


def shift_pixels_first(graph):
    """pixels * s + b -> (pixels + b / s) * s, whose scale the first convolution takes in through its zero padding.

    Of pixels alone, with a scale for each channel: they are 0..255, and b / s is minus their mean, so that nothing is
    lost in the sum.
    """
    consumers = graph.consumers()
    for scaling in graph.operators:
        x, scale = per_channel(graph, scaling, "MUL")
        readers = consumers[int(scaling.outputs[0])]
        if x is None or x not in graph.subgraph.inputs or len(readers) != 1 or scale.size == 1 or not scale.all():
            continue
        _, shift = per_channel(graph, readers[0], "ADD")
        if shift is None or graph.has_activation(scaling) or graph.has_activation(readers[0]):
            continue
        shifting = readers[0]
        like = next(tensor for tensor in shifting.inputs if graph.constant(tensor) is not None)
        between, end = int(scaling.outputs[0]), int(shifting.outputs[0])
        shifting.inputs, shifting.outputs = [x, graph.add_constant(like, shift / scale)], [between]
        scaling.inputs, scaling.outputs = [between if tensor == x else tensor for tensor in scaling.inputs], [end]
        places = sorted(map(graph.operators.index, (scaling, shifting)))
        graph.operators[places[0]], graph.operators[places[1]] = shifting, scaling
        return True
    return False


def fold_scales(graph):
    """conv(x * s) -> conv(x) with s in its weights; zero padding between them stays what it is. A norm's gamma, and the
    division of the image by 255: 22 MUL of 1.4 M values."""
    return _fold(graph, "MUL", _scale_into, through=("PAD", "MEAN"))


def fold_scales_back(graph):
    """conv(x) * s -> conv(x) with s in its weights and bias: a layer scale before a residual sum. Through a sum of two,
    the mean of two heads; a single factor through what moves values, the 1 / sqrt(d) of softmax attention."""
    consumers, producers = graph.consumers(), graph.producers()
    for operator in graph.operators:
        x, scale = per_channel(graph, operator, "MUL")
        makers = None if scale is None else _makers(graph, producers, consumers, x, scale)
        if makers is None or graph.has_activation(operator):
            continue
        for maker in makers:
            last = graph.kind(maker) == "DEPTHWISE_CONV_2D"  # [1, h, w, O]; the others [O, ...]
            weights = graph.constant(maker.inputs[1])
            along = scale if last or scale.size == 1 else scale.reshape(-1, *[1] * (weights.ndim - 1))
            for position, factor in ((1, along), (2, scale)):
                if len(maker.inputs) > position and maker.inputs[position] >= 0:
                    values = graph.constant(maker.inputs[position]) * factor
                    maker.inputs[position] = graph.add_constant(maker.inputs[position], values)
        producers[x].outputs = operator.outputs
        graph.operators.remove(operator)
        return True
    return False


def _makers(graph, producers, consumers, tensor, scale):
    """The convolutions whose sum a tensor is, if nothing else reads it and each can take the scale in; or None."""
    maker = producers.get(tensor)
    if maker is None or len(consumers[tensor]) != 1 or graph.kind(maker) not in (*CONVOLUTIONS, *STILL, "ADD"):
        return None
    if graph.kind(maker) in STILL:
        return _makers(graph, producers, consumers, int(maker.inputs[0]), scale) if scale.size == 1 else None
    if graph.has_activation(maker):
        return None
    if graph.kind(maker) == "ADD":
        parts = [_makers(graph, producers, consumers, int(part), scale) for part in maker.inputs]
        return None if None in parts else [one for part in parts for one in part]
    constants = [graph.constant(each) for each in maker.inputs[1:] if each >= 0]
    fits = scale.size in (1, graph.shape(tensor)[-1]) and all(values is not None for values in constants)
    return [maker] if fits else None


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
        x, values = per_channel(graph, operator, kind)
        if values is None or graph.has_activation(operator) or operator.outputs[0] in graph.subgraph.outputs:
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


def per_channel(graph, operator, kind):
    """(tensor, [C] or scalar array) of an operator of that kind, MUL or ADD, with a constant for each channel.

    (None, None) of any other.
    """
    if operator is None or graph.kind(operator) != kind:
        return None, None
    for x, other in (operator.inputs, operator.inputs[::-1]):
        values, shape = graph.constant(other), graph.shape(x)
        fits = values is not None and (values.size == 1 or values.shape[-1:] == (values.size,) == shape[-1:])
        if fits and graph.shape(operator.outputs[0]) == shape:
            return int(x), values.reshape(-1).astype(np.float64)
    return None, None


def _readers(graph, consumers, tensor, through):
    """The operators that read a tensor, and those behind operators of the kinds `through`; None for an output."""
    found = []
    for reader in consumers[tensor]:
        if reader is not None and graph.kind(reader) in through and _keeps_channels(graph, reader):
            found += _readers(graph, consumers, int(reader.outputs[0]), through)
        else:
            found.append(reader)
    return found


def _keeps_channels(graph, operator):
    """Not a mean over the last axis, which mixes what is in the channels."""
    if graph.kind(operator) != "MEAN":
        return True
    rank, axes = len(graph.shape(operator.inputs[0])), graph.constant(operator.inputs[1])
    return axes is not None and rank - 1 not in axes.reshape(-1) % rank


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
    """The same for x + shift: W shift more in the bias. Not in a 3x3 with a padding of zeros, which is not shifted."""
    weights = _weights(graph, reader)
    bias = graph.constant(reader.inputs[2]) if weights is not None and len(reader.inputs) == 3 else None
    if bias is None or graph.kind(reader) == "DEPTHWISE_CONV_2D":
        return None
    if weights.shape[1:-1] not in ((), (1, 1)) and graph.options(reader).padding != "VALID":
        return None
    matrix = weights.reshape(len(weights), -1, weights.shape[-1]).sum(1, dtype=np.float64)  # [outputs, inputs]
    fits = shift.size in (1, matrix.shape[1]) and _ungrouped(graph, reader, weights)
    return {2: bias + matrix @ np.broadcast_to(shift, matrix.shape[1:])} if fits else None


def _ungrouped(graph, reader, weights):
    return graph.shape(reader.inputs[0])[-1] == weights.shape[-1]
