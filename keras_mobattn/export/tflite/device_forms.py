"""Other forms of what phones' GPUs are on record for getting wrong (describe/tflite/record.py), with the same numbers.

They stand in the .tflite file alone: in Keras each has one definition, and Core ML's converter has its own ways. Where
there is a choice, the form is the one that moves the fewest values through memory.
"""

import functools
import math

import numpy as np

from keras_mobattn.export.tflite.fuse import per_channel

# Elements over several axes. More than 16,384 are on record for NaN; and a float16 sum of that many, one term after
# another, is off by 12 % in a mean of squares.
LARGE_REDUCTION = 1024
WIDE = (40, 44)  # the width of a product that came out wrong, and the next one that is right and a multiple of 4
TO_CHANNELS_FIRST, TO_CHANNELS_LAST, SWAPPED = (0, 3, 1, 2), (0, 2, 3, 1), (0, 1, 3, 2)


def rewrite_for_devices(graph):
    """Rewrite a Graph so that phones' GPUs have nothing against it that is firmly on record."""
    for rewrite in (
        scale_and_shift_in_one,
        reduce_axis_by_axis,
        constant_to_the_right,
        transpose_operands,
        pad_width,
        merge_to_heads,
        merge_from_heads,
        outputs_of_their_own,
    ):
        while rewrite(graph):
            pass
    graph.drop_unread()


def scale_and_shift_in_one(graph):
    """x * s, then an ADD -> a depthwise convolution of 1x1, with the ADD in its bias if that is constant too.

    For a scale for each channel of a map that no convolution took in (fuse.py): a batch norm at the model's end, say.
    """
    consumers = graph.consumers()
    for operator in graph.operators:
        x, scale = per_channel(graph, operator, "MUL")
        readers = consumers[int(operator.outputs[0])]
        adds = [reader for reader in readers if reader is not None and graph.kind(reader) == "ADD"]
        if scale is None or scale.size == 1 or len(graph.shape(x)) != 4 or not adds or graph.has_activation(operator):
            continue
        output, shift = int(operator.outputs[0]), np.zeros(scale.size)
        if len(readers) == 1 and not graph.has_activation(adds[0]):
            _, constant = per_channel(graph, adds[0], "ADD")
            if constant is not None:
                shift = np.broadcast_to(constant, scale.shape)
                output = int(adds[0].outputs[0])
                graph.operators.remove(adds[0])
        name = graph.name(output)
        weights = [graph.add_values(name, np.float32(values)) for values in (scale.reshape(1, 1, 1, -1), shift)]
        options = {"padding": 1, "strideW": 1, "strideH": 1, "depthMultiplier": 1}  # VALID
        place = graph.operators.index(operator)
        graph.operators.remove(operator)
        options = ("DepthwiseConv2DOptions", options)
        graph.add_operator(place, "DEPTHWISE_CONV_2D", [x, *weights], [output], options=options)
        return True
    return False


def reduce_axis_by_axis(graph):
    """A mean or sum of more than LARGE_REDUCTION elements over several axes -> one axis after another, which is exact.

    The last axis goes first: it lies together in memory, and leaves the least to the others.
    """
    for operator in graph.operators:
        if graph.kind(operator) not in ("MEAN", "SUM"):
            continue
        shape, axes = graph.shape(operator.inputs[0]), graph.constant(operator.inputs[1])
        axes = () if axes is None else sorted({int(axis) % len(shape) for axis in axes.reshape(-1)}, reverse=True)
        large = [axis for axis in axes if shape[axis] > 1]
        if len(large) < 2 or math.prod(shape[axis] for axis in large) <= LARGE_REDUCTION:
            continue
        kind, place, x = graph.kind(operator), graph.operators.index(operator), int(operator.inputs[0])
        graph.operators.remove(operator)
        for number, axis in enumerate(large):
            shape = (*shape[:axis], 1, *shape[axis + 1 :])
            last = number == len(large) - 1 and shape == graph.shape(operator.outputs[0])
            options = ("ReducerOptions", {"keepDims": True})
            to = int(operator.outputs[0]) if last else None
            x = _add(graph, place + number, kind, [x, _integers(graph, axis)], shape, to, options)
        if x != operator.outputs[0]:  # without keepdims
            _reshape(graph, place + len(large), x, graph.shape(operator.outputs[0]), int(operator.outputs[0]))
        return True
    return False


def constant_to_the_right(graph):
    """A x with a constant matrix A -> (x^T A^T)^T, a dense layer between two transpositions."""
    for operator in graph.operators:
        if graph.kind(operator) != "BATCH_MATMUL":
            continue
        matrix = graph.constant(operator.inputs[0])
        if matrix is None or matrix.size != math.prod(matrix.shape[-2:]):
            continue
        matrix = matrix.reshape(matrix.shape[-2:])
        matrix = matrix.T if operator.builtinOptions.adjX else matrix  # [outputs, inputs] of a dense layer
        place, x, output = graph.operators.index(operator), int(operator.inputs[1]), int(operator.outputs[0])
        graph.operators.remove(operator)
        if not operator.builtinOptions.adjY:
            x, place = _transpose(graph, place, x), place + 1
        turned = (*graph.shape(x)[:-1], len(matrix))
        weights = graph.add_values(graph.name(output), np.ascontiguousarray(matrix, np.float32))
        options = ("FullyConnectedOptions", {"keepNumDims": True})
        y = _add(graph, place, "FULLY_CONNECTED", [x, weights], turned, options=options)
        _transpose(graph, place + 1, y, output)
        return True
    return False


def transpose_operands(graph):
    """A matrix product with adj_x or adj_y -> the same with TRANSPOSE, or its transpose with the operands in turn."""
    consumers, producers = graph.consumers(), graph.producers()
    for operator in graph.operators:
        if graph.kind(operator) != "BATCH_MATMUL":
            continue
        left, right = (
            (int(tensor), bool(adj)) for tensor, adj in zip(operator.inputs, _adjoint(operator), strict=True)
        )
        if not left[1] and not right[1]:
            continue
        cost = functools.partial(_cost_of_transposing, graph, producers, consumers)
        output = int(operator.outputs[0])
        plain = sum(cost(tensor) for tensor, adjoint in (left, right) if adjoint)
        turned = sum(cost(tensor) for tensor, adjoint in (left, right) if not adjoint)
        turned += _cost_of_transposing_back(graph, consumers, output)
        place = graph.operators.index(operator)
        operator.builtinOptions.adjX = operator.builtinOptions.adjY = False
        if turned < plain:
            shape = graph.shape(output)
            between = _tensor(graph, output, (*shape[:-2], shape[-1], shape[-2]))
            operator.outputs = [between]
            _transpose(graph, place + 1, between, output)
            left, right = (right[0], not right[1]), (left[0], not left[1])
        operator.inputs = [_transpose(graph, place, tensor) if adjoint else tensor for tensor, adjoint in (left, right)]
        return True
    return False


def pad_width(graph):
    """A matrix product 40 wide -> one 44 wide, and a SLICE of it."""
    narrow, wide = WIDE
    for operator in graph.operators:
        if graph.kind(operator) != "BATCH_MATMUL" or any(_adjoint(operator)):
            continue
        output, right = int(operator.outputs[0]), int(operator.inputs[1])
        *batch, rows, width = graph.shape(output)
        if width != narrow or math.prod(batch) < 2 or not 1 <= rows % 64 <= 61:
            continue
        place = graph.operators.index(operator)
        paddings = np.zeros((len(batch) + 2, 2), np.int32)
        paddings[-1, 1] = wide - narrow
        paddings = graph.add_values(graph.name(right), paddings)
        shape = (*graph.shape(right)[:-1], wide)
        operator.inputs = [operator.inputs[0], _add(graph, place, "PAD", [right, paddings], shape)]
        padded = _tensor(graph, output, (*batch, rows, wide))
        operator.outputs = [padded]
        ends = _integers(graph, *(0 for _ in shape)), _integers(graph, *batch, rows, narrow)
        graph.add_operator(place + 2, "SLICE", [padded, *ends], [output])
        return True
    return False


def merge_to_heads(graph):
    """[1, H, W, C] to channels first, to heads [g, h, d, N], to [g, h, N, d] -> one TRANSPOSE behind a RESHAPE."""
    for first, reshape, last in _chains(graph, TO_CHANNELS_FIRST, SWAPPED):
        groups, heads, width, tokens = graph.shape(reshape.outputs[0])
        batch, height, columns, _ = graph.shape(first.inputs[0])
        if batch != 1 or height * columns != tokens:
            continue
        place = graph.operators.index(first)
        _remove(graph, first, reshape, last)
        shape, order = ((1, tokens, heads, width), (0, 2, 1, 3))
        if groups > 1:
            shape, order = (tokens, groups, heads, width), (1, 2, 0, 3)
        x = _reshape(graph, place, int(first.inputs[0]), shape)
        _transpose(graph, place + 1, x, int(last.outputs[0]), order)
        return True
    return False


def merge_from_heads(graph):
    """The way back: [g, h, N, d] to [g, h, d, N], to [1, C, H, W], to [1, H, W, C] -> a TRANSPOSE and a RESHAPE."""
    for first, reshape, last in _chains(graph, SWAPPED, TO_CHANNELS_LAST):
        groups, _, tokens, _ = graph.shape(first.inputs[0])
        batch, _, height, columns = graph.shape(reshape.outputs[0])
        if batch != 1 or height * columns != tokens:
            continue
        place = graph.operators.index(last)
        order = (2, 0, 1, 3) if groups > 1 else (0, 2, 1, 3)
        x = _transpose(graph, place, int(first.inputs[0]), None, order)
        _reshape(graph, place + 1, x, graph.shape(last.outputs[0]), int(last.outputs[0]))
        _remove(graph, first, reshape, last)
        return True
    return False


def outputs_of_their_own(graph):
    """An output that another operator reads as well -> an output times 1, which nothing else reads.

    Not a RESHAPE to the same shape, which delegates take out.
    """
    consumers = graph.consumers()
    for output in map(int, graph.subgraph.outputs):
        shape = graph.shape(output)
        read = any(reader is not None for reader in consumers[output])  # not by a second output of the same tensor
        if not read or graph.dtype(output) != "float32" or len(shape) < 3:
            continue
        one = graph.add_values(graph.name(output), np.ones([1] * len(shape), np.float32))
        own = _add(graph, len(graph.operators), "MUL", [output, one], shape, options=("MulOptions", {}))
        graph.replace_end("outputs", output, own)
        return True
    return False


def _adjoint(operator):
    return operator.builtinOptions.adjX, operator.builtinOptions.adjY


def _chains(graph, first_order, last_order):
    """Each (TRANSPOSE, RESHAPE, TRANSPOSE) of these permutations whose results nobody else reads."""
    consumers = graph.consumers()
    for first in graph.operators:
        reshape = _only_reader(graph, consumers, first, "RESHAPE") if _permutes(graph, first, first_order) else None
        last = _only_reader(graph, consumers, reshape, "TRANSPOSE") if reshape is not None else None
        if last is not None and _permutes(graph, last, last_order) and len(graph.shape(reshape.outputs[0])) == 4:
            yield first, reshape, last


def _permutes(graph, operator, order):
    return graph.kind(operator) == "TRANSPOSE" and tuple(graph.constant(operator.inputs[1])) == order


def _only_reader(graph, consumers, operator, kind):
    readers = consumers[int(operator.outputs[0])]
    return readers[0] if len(readers) == 1 and readers[0] is not None and graph.kind(readers[0]) == kind else None


def _cost_of_transposing(graph, producers, consumers, tensor):
    """Values that a TRANSPOSE would move, or 0 where `merge_to_heads` makes one of it and of the one before."""
    reshape = producers.get(tensor)
    if reshape is not None and graph.kind(reshape) == "RESHAPE" and len(consumers[tensor]) == 1:
        first = producers.get(int(reshape.inputs[0]))
        if first is not None and _permutes(graph, first, TO_CHANNELS_FIRST) and graph.shape(first.inputs[0])[0] == 1:
            return 0 if _only_reader(graph, consumers, first, "RESHAPE") is reshape else math.prod(graph.shape(tensor))
    return math.prod(graph.shape(tensor))


def _cost_of_transposing_back(graph, consumers, tensor):
    """The same of a result, with `merge_from_heads`."""
    readers = consumers[tensor]
    reshape = readers[0] if len(readers) == 1 else None
    if reshape is not None and graph.kind(reshape) == "RESHAPE":
        last = _only_reader(graph, consumers, reshape, "TRANSPOSE")
        if last is not None and _permutes(graph, last, TO_CHANNELS_LAST) and graph.shape(reshape.outputs[0])[0] == 1:
            return 0
    return math.prod(graph.shape(tensor))


def _remove(graph, *operators):
    for operator in operators:
        graph.operators.remove(operator)


def _integers(graph, *values):
    return graph.add_values("integers", np.int32(values))


def _tensor(graph, like, shape):
    """A tensor of another shape, under a name of its own."""
    return graph.add_tensor(f"{graph.name(like)}/{len(graph.tensors)}", shape, graph.dtype(like))


def _add(graph, place, kind, inputs, shape, to=None, options=None):
    """Add an operator and return its output: `to`, or a new tensor."""
    to = _tensor(graph, inputs[0], shape) if to is None else to
    graph.add_operator(place, kind, inputs, [to], options=options)
    return to


def _transpose(graph, place, x, to=None, order=None):
    """Add a TRANSPOSE, of the last two axes if no order is given."""
    rank = len(graph.shape(x))
    order = (*range(rank - 2), rank - 1, rank - 2) if order is None else order
    shape = tuple(graph.shape(x)[axis] for axis in order)
    return _add(graph, place, "TRANSPOSE", [x, _integers(graph, *order)], shape, to)


def _reshape(graph, place, x, shape, to=None):
    return _add(graph, place, "RESHAPE", [x, _integers(graph, *shape)], shape, to)
