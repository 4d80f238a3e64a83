"""Constructs that the record of devices has something against: each tells whether an operator of a graph is one.

They are asked of the Contents and an Operator of the kinds that a rule names (record.py). A shape that is open counts
as 1.
"""

import math

from keras_mobattn.half.products import same_padding

LARGE_REDUCTION = 16_384  # elements; NaN is on record for 65,536
LARGE_SUM = 12_544  # elements, 112 x 112: the sum that is on record
LARGE_CONSTANT = 32_768  # values; 677 x 384 are on record, and DeiT's positions are 197 x 192
LARGE_SCORES = 112 << 20  # bytes, the largest buffer on record for Metal on an iPhone
LARGE_CONCATENATION = 1 << 20  # bytes
_BYTES = {"float32": 4, "float16": 2, "int8": 1, "uint8": 1, "int16": 2, "int64": 8, "bool": 1}


def anywhere(_contents, _operator):
    """The operator itself."""
    return True


def is_constant(contents, tensor):
    """Whether a Tensor stands in the file, in its own type or to be dequantized."""
    producer = contents.producer(tensor)
    dequantized = producer is not None and producer.kind == "DEQUANTIZE" and bool(producer.inputs[0].constant_bytes)
    return bool(tensor.constant_bytes) or dequantized


def _split(contents, operator):
    """(computed, constant) inputs."""
    sides = ([], [])
    for tensor in operator.inputs:
        sides[is_constant(contents, tensor)].append(tensor)
    return sides


def _size(tensor):
    return math.prod(abs(side) for side in tensor.shape)


def _bytes(tensor):
    return _size(tensor) * _BYTES.get(tensor.dtype, 4)


def _reduced(operator):
    """How many elements go into each result."""
    return _size(operator.inputs[0]) // max(_size(operator.outputs[0]), 1)


# Reductions


def large_over_several_axes(_contents, operator):
    shape = operator.inputs[0].shape
    axes = [axis for axis in operator.integers if -len(shape) <= axis < len(shape) and shape[axis] > 1]
    return len(axes) > 1 and _reduced(operator) > LARGE_REDUCTION


def large_sum(_contents, operator):
    return _reduced(operator) >= LARGE_SUM


def squares_for_a_variance(contents, operator):
    """(x - m)^2 on its way to a mean, as SQUARED_DIFFERENCE or as a product with itself."""
    itself = operator.kind == "SQUARED_DIFFERENCE" or len({tensor.index for tensor in operator.inputs}) == 1
    return itself and any(reader.kind in ("MEAN", "SUM") for reader in contents.consumers(operator))


# Matrix products


def transposed_operand(_contents, operator):
    return bool(operator.options.get("adjX") or operator.options.get("adjY"))


def constant_on_the_left(contents, operator):
    return is_constant(contents, operator.inputs[0])


def width_40(_contents, operator):
    *batch, rows, width = (1, 1, *operator.outputs[0].shape)[-max(len(operator.outputs[0].shape), 2) :]
    return width == 40 and math.prod(map(abs, batch)) >= 2 and 1 <= rows % 64 <= 61


def rank_3_operands(contents, operator):
    computed, _ = _split(contents, operator)
    return len(computed) == 2 and max(len(tensor.shape) for tensor in computed) <= 3


def int8_weights(_contents, operator):
    """Float activations and int8 weights, which the runtime has to bring together (dynamic range)."""
    weights = operator.inputs[1]
    return operator.outputs[0].dtype == "float32" and weights.dtype == "int8" and bool(weights.constant_bytes)


def int8_weights_made_float(contents, operator):
    producer = contents.producer(operator.inputs[1])
    return producer is not None and producer.kind == "DEQUANTIZE" and producer.inputs[0].dtype == "int8"


def int8_weights_on_rows(contents, operator):
    shape = operator.inputs[0].shape
    return int8_weights(contents, operator) and len(shape) == 2 and shape[0] > 1


def int8_weights_on_rank_3_before_add(contents, operator):
    then = {reader.kind for reader in contents.consumers(operator)}
    return int8_weights(contents, operator) and len(operator.inputs[0].shape) == 3 and "ADD" in then


def int8_head_on_record(contents, operator):
    return int8_weights(contents, operator) and operator.outputs[0].shape[-1] in (161, 128_802)


def int8_throughout(_contents, operator):
    return {operator.inputs[0].dtype, operator.outputs[0].dtype} == {"int8"}


# Convolutions


def groups_off_4(_contents, operator):
    """Groups of several inputs or outputs of which some number isn't a multiple of 4; one each is depthwise."""
    outputs, *_, group_inputs = operator.inputs[1].shape
    groups = operator.inputs[0].shape[-1] // group_inputs
    sizes = {group_inputs, outputs // groups}
    return groups > 1 and sizes != {1} and any(size % 4 for size in sizes)


def transposed_by_another_padding(_contents, operator):
    """A transposed convolution whose padding in front isn't that of a convolution of its input, as the kernel has it.

    That of a convolution of its output is the right one. They differ at a stride of 2, a kernel of 3 and 7 pixels that
    become 14, and are equal where the input's side is a multiple of the stride and the output's that times the stride.
    """
    if operator.options.get("padding") != "SAME":
        return False
    (_, *kernel, _), (_, *taken, _) = (tensor.shape for tensor in operator.inputs[1:3])
    strides, (_, *made, _) = (operator.options["strideH"], operator.options["strideW"]), operator.outputs[0].shape
    sides = zip(taken, made, kernel, strides, strict=True)
    return any(same_padding(before, *each)[0] != same_padding(after, *each)[0] for before, after, *each in sides)


# Elementwise operators


def constant_on_rank_2(contents, operator):
    computed, constants = _split(contents, operator)
    return bool(constants) and any(len(tensor.shape) in (1, 2) for tensor in computed)


def scale_before_add(contents, operator):
    """A constant for each channel times what is computed, and then an ADD."""
    computed, constants = _split(contents, operator)
    per_channel = any(_size(tensor) == tensor.shape[-1] > 1 for tensor in constants if tensor.shape)
    return bool(computed) and per_channel and any(reader.kind == "ADD" for reader in contents.consumers(operator))


def large_constant(contents, operator):
    computed, constants = _split(contents, operator)
    return bool(computed) and any(_size(tensor) >= LARGE_CONSTANT for tensor in constants)


def rank_0_operand(contents, operator):
    computed, _ = _split(contents, operator)
    return any(not tensor.shape for tensor in computed)


def broadcast_over_axis_1(contents, operator):
    """Of a computed tensor that is more than one number; axis 0 is the batch."""
    computed, _ = _split(contents, operator)
    shapes = [tensor.shape for tensor in computed if len(tensor.shape) > 2 and _size(tensor) > 1]
    return len(shapes) == 2 and len({shape[1] for shape in shapes}) == 2 and 1 in {shape[1] for shape in shapes}


def channels_first_scale(contents, operator):
    """[1, C, 1, 1] * [1, C, H, W], the tail of a group norm."""
    computed, _ = _split(contents, operator)
    shapes = sorted((tensor.shape for tensor in computed), key=math.prod)
    if [len(shape) for shape in shapes] != [4, 4]:
        return False
    small, large = shapes
    return small[1] == large[1] > 1 and small[2:] == (1, 1) != large[2:]


def constant_operand(contents, operator):
    return bool(_split(contents, operator)[1])


def all_constant(contents, operator):
    return not _split(contents, operator)[0]


def read_by_add_of_a_constant(contents, operator):
    return any(reader.kind == "ADD" and constant_operand(contents, reader) for reader in contents.consumers(operator))


def softmax_by_hand(contents, operator):
    over, under = (contents.producer(tensor) for tensor in operator.inputs[:2])
    return over is not None and over.kind == "EXP" and under is not None and under.kind == "SUM"


def int16_sum_of_a_large_concatenation(contents, operator):
    producers = [contents.producer(tensor) for tensor in operator.inputs if tensor.dtype == "int16"]
    joined = [each for each in producers if each is not None and each.kind == "CONCATENATION"]
    return any(_bytes(each.outputs[0]) > LARGE_CONCATENATION for each in joined)


# Shapes and types


def rank_above_4(_contents, operator):
    return any(len(tensor.shape) > 4 for tensor in (*operator.inputs, *operator.outputs))


def rank_3_padded_before_the_last_axis(_contents, operator):
    return len(operator.inputs[0].shape) == 3 and any(operator.integers[:-2])


def rank_2(_contents, operator):
    return len(operator.inputs[0].shape) == 2


def int64_output(_contents, operator):
    return any(tensor.dtype == "int64" for tensor in operator.outputs)


def int64_or_bool_output(_contents, operator):
    return any(tensor.dtype in ("int64", "bool") for tensor in operator.outputs)


def computed_float16(contents, operator):
    return operator.inputs[0].dtype == "float16" and not is_constant(contents, operator.inputs[0])


def int8_output(_contents, operator):
    return operator.outputs[0].dtype == "int8"


def int8_rank_4(_contents, operator):
    return operator.outputs[0].dtype == "int8" and len(operator.outputs[0].shape) == 4


def size_of_its_own(_contents, operator):
    return not operator.integers


def softmax_composite(_contents, operator):
    return operator.options.get("name") == "odml.softmax"


def large_scores(_contents, operator):
    return _bytes(operator.outputs[0]) > LARGE_SCORES


def scores_off_128(_contents, operator):
    shape = operator.outputs[0].shape
    return len(shape) > 2 and shape[-1] % 128 != 0


# Places in the graph


def output_that_is_read(contents, operator):
    """An output of the model that another operator reads as well."""
    ends = {tensor.index for tensor in contents.outputs.values()}
    return any(tensor.index in ends and contents.readers(tensor) for tensor in operator.outputs)


def rank_3_read_twice(contents, operator):
    return any(len(tensor.shape) == 3 and len(contents.readers(tensor)) > 1 for tensor in operator.outputs)
