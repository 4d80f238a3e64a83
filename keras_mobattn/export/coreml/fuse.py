"""Deploy-time fusion for Core ML: fewer operations, the same numbers. passes.py runs it.

coremltools folds batch norms, biases and most transposes. What it leaves, and what each rewrite takes away from one
block of MobileViTv2 (one attention unit, fp32: 56 operations without them), is said beside it. They run in float32,
before coremltools casts to float16, and every conversion is checked against Keras afterwards. The same thoughts on
TFLite's graphs are in `export.tflite.fuse`.

coremltools is imported at the top, since a rewrite is made of its parts: import this module where it is needed.
"""

import numpy as np
from coremltools.converters.mil.mil import Builder as mb  # noqa: N813  coremltools' own name for it

from keras_mobattn.export.coreml.rewriting import again, kind_of, readers_of, value_and_constant

LEAST = 2**-24  # float16's smallest positive number
SMALLEST_SCALE = 1 / 16
UNARY = ("silu", "relu", "relu6", "gelu", "sigmoid", "tanh")
STILL = ("space_to_depth", "depth_to_space", "reshape", "transpose")  # move values, and don't change them


def centre_norms(op):
    """x * s + (beta - mean * s) with s = r * gamma -> (x - mean) * r * gamma + beta: the variance has x - mean already.

    What tf_keras's LayerNormalization computes. Three operations on whole maps less, and in float16 no difference of
    two large numbers.
    """
    if op.op_type != "add":
        return None
    for product, rest in ((op.x, op.y), (op.y, op.x)):
        if kind_of(product) != "mul" or kind_of(rest) != "sub" or kind_of(rest.op.y) != "mul":
            continue
        for mean, scale in ((rest.op.y.op.x, rest.op.y.op.y), (rest.op.y.op.y, rest.op.y.op.x)):
            x = _other_operand(product.op, scale)
            centred = x is not None and next((r for r in readers_of(x) if r.op_type == "sub" and r.y is mean), None)
            if centred and kind_of(scale) == "mul" and (split := value_and_constant(scale.op)):
                normal = mb.mul(x=centred.outputs[0], y=split[0], before_op=op)
                normal = mb.mul(x=normal, y=split[1], before_op=op)
                return [(op.outputs[0], mb.add(x=normal, y=rest.op.x, before_op=op, name=op.name))]
    return None


def fold_epsilons(op):
    """rsqrt(x + epsilon) -> rsqrt(x, epsilon): one operation less in each norm.

    Not an epsilon that float16 takes for 0, such as 1e-12. coremltools raises it to LEAST where it casts the addition,
    but not here, and rsqrt of a sum of squares that vanished would be infinite; unless a minimum follows, as in ours.
    """
    if op.op_type != "rsqrt" or kind_of(op.x) != "add" or not (split := value_and_constant(op.x.op)):
        return None
    value, epsilon = split
    limited = all(reader.op_type == "minimum" and value_and_constant(reader) for reader in readers_of(op.outputs[0]))
    if epsilon.size != 1 or (epsilon.item() < LEAST and not limited):
        return None
    return [(op.outputs[0], again(op, x=value, epsilon=np.float32(epsilon.item())))]


def fold_padding(op):
    """conv(pad(x)) -> conv(x) with that padding: the five convolutions of stride 2, whose padding is torch's."""
    if op.op_type != "conv" or kind_of(op.x) != "pad" or op.pad_type.val != "valid":
        return None
    pad = op.x.op
    amounts = pad.pad.val
    zeros = pad.mode.val == "constant" and not pad.constant_val.val
    if not zeros or len(op.x.shape) != 4 or any(amounts[:-4]):
        return None
    return [(op.outputs[0], again(op, x=pad.x, pad_type="custom", pad=np.int32(amounts[-4:])))]


def open_batch_norms(op):
    """batch_norm(x) -> x * s + b, if 1x1 convolutions alone read it, which then take in both: what coremltools makes of
    a norm's gamma and beta where channels come first, as among tokens."""
    if op.op_type != "batch_norm" or len(op.x.shape) != 4:
        return None
    if not _feeds_only(op, readers_of(op.outputs[0]), lambda conv: _is_pointwise(conv) and conv.groups.val == 1):
        return None
    gamma = 1.0 if op.gamma is None else op.gamma.val.astype(np.float64)
    scale = gamma / np.sqrt(op.variance.val.astype(np.float64) + op.epsilon.val)
    shift = (0.0 if op.beta is None else op.beta.val) - op.mean.val * scale
    scale, shift = (np.float32(values).reshape(-1, 1, 1) for values in (scale, shift))
    return [(op.outputs[0], mb.add(x=mb.mul(x=op.x, y=scale, before_op=op), y=shift, before_op=op))]


def fold_shifts(op):
    """conv(x + b) -> conv(x) with W b more in its bias, for 1x1 convolutions: a norm's beta."""
    if op.op_type != "add" or not (split := _channels(op)):
        return None
    value, shift = split
    convs = readers_of(op.outputs[0])
    if not _feeds_only(op, convs, lambda conv: _is_pointwise(conv) and conv.groups.val == 1):
        return None
    biases = [_bias(conv) + _matrix(conv) @ np.broadcast_to(shift, value.shape[1]) for conv in convs]
    return [(conv.outputs[0], again(conv, x=value, bias=np.float32(b))) for conv, b in zip(convs, biases, strict=True)]


def fold_scales(op):
    """conv(x * s) -> conv(x) with s in its weights: a norm's gamma.

    Not a scale so small that weights in float16 would fall below its normal numbers (6e-5), which the Neural Engine may
    take for 0: the division of pixels by 255 stays an operation.
    """
    if op.op_type != "mul" or not (split := _channels(op)):
        return None
    value, scale = split
    convs = readers_of(op.outputs[0])
    small = np.abs(scale).max() < SMALLEST_SCALE
    if small or not _feeds_only(op, convs, lambda conv: _scaled_inputs(conv, scale) is not None):
        return None
    weights = [np.float32(_scaled_inputs(conv, scale)) for conv in convs]
    return [(conv.outputs[0], again(conv, x=value, weight=w)) for conv, w in zip(convs, weights, strict=True)]


def postpone_gamma(op):
    """c * (r * gamma) -> (c * r) * gamma, so that `fold_scales` finds gamma, where it can take it."""
    if op.op_type != "mul":
        return None
    for value, product in ((op.x, op.y), (op.y, op.x)):
        split = kind_of(product) == "mul" and value_and_constant(product.op)
        if split and value.op is not None and value.val is None and value.shape == op.outputs[0].shape:
            convs = readers_of(op.outputs[0])
            scale = _per_channel(op.outputs[0], split[1])
            if scale is not None and _feeds_only(op, convs, lambda conv, s=scale: _scaled_inputs(conv, s) is not None):
                normal = mb.mul(x=value, y=split[0], before_op=op)
                return [(op.outputs[0], mb.mul(x=normal, y=split[1], before_op=op))]
    return None


def fold_scalars(op):
    """s * still(conv(x)) -> still(conv(x)) with s in weights and bias, where only values are moved in between: the
    1 / sqrt(d) of softmax attention."""
    if op.op_type != "mul" or not (split := value_and_constant(op)) or split[1].size != 1:
        return None
    value, scale = split
    if abs(scale.item()) < SMALLEST_SCALE:
        return None
    source = value
    while kind_of(source) in STILL and len(readers_of(source)) == 1:
        source = source.op.x
    conv = source.op
    alone = (
        all(len(readers_of(var)) == 1 for var in (source, value)) and op.outputs[0] not in op.enclosing_block.outputs
    )
    if kind_of(source) != "conv" or conv.weight.val is None or not alone:
        return None
    scaled = again(conv, weight=conv.weight.val * np.float32(scale), bias=_bias(conv) * np.float32(scale.item()))
    return [(op.outputs[0], value), (source, scaled)]


def merge_linear_convolutions(op):
    """W2 (W1 x + b1) + b2 -> (W2 W1) x + (W2 b1 + b2), where nothing lies between two 1x1 convolutions.

    A block of MobileViTv2 ends in a projection without activation and the next one begins with an expansion: 12 % of
    the MACs. Only where it saves MACs and nobody else reads what lies between, a pyramid's level for example.
    """
    if op.op_type != "conv" or not _is_pointwise(op) or op.groups.val != 1 or kind_of(op.x) != "conv":
        return None
    first = op.x.op
    if not _is_pointwise(first) or first.groups.val != 1 or not _feeds_only(first, [op], lambda conv: True):
        return None
    w1, w2 = _matrix(first), _matrix(op)
    if w2.shape[0] * w1.shape[1] > w1.size + w2.size:
        return None
    weight, bias = (w2 @ w1)[:, :, None, None], w2 @ _bias(first) + _bias(op)
    return [(op.outputs[0], again(op, x=first.x, weight=np.float32(weight), bias=np.float32(bias)))]


def fuse_swish(op):
    """x * sigmoid(x) -> silu(x), as coremltools does after all passes, so that `sink_transposes` sees one operation."""
    if op.op_type != "mul":
        return None
    for x, sigmoid in ((op.x, op.y), (op.y, op.x)):
        if kind_of(sigmoid) == "sigmoid" and sigmoid.op.x is x and len(readers_of(sigmoid)) == 1:
            return [(op.outputs[0], mb.silu(x=x, before_op=op, name=op.name))]
    return None


def sink_transposes(op):
    """act(transpose(x)) -> transpose(act(x)), which brings it next to the pooling."""
    if op.op_type not in UNARY or kind_of(op.x) != "transpose" or len(readers_of(op.x)) > 1:
        return None
    inner = again(op, x=op.x.op.x, name=f"{op.name}_nchw")
    return [(op.outputs[0], mb.transpose(x=inner, perm=op.x.op.perm, before_op=op, name=op.name))]


def pool_without_transpose(op):
    """reduce(transpose(x), axes) -> reduce(x, the axes before the transpose), where what is left keeps its order: the
    pooling before the classifier."""
    if op.op_type not in ("reduce_mean", "reduce_max") or kind_of(op.x) != "transpose" or op.keep_dims.val:
        return None
    axes = _axes_before(op.x.op, op.axes.val)
    return axes and [(op.outputs[0], again(op, x=op.x.op.x, axes=np.int32(axes)))]


def pick_without_transpose(op):
    """argmax(transpose(x), axis) -> argmax(x, the axis before the transpose), likewise: classes that a segmenter picks
    along the channels."""
    if op.op_type != "reduce_argmax" or kind_of(op.x) != "transpose" or op.keep_dims.val:
        return None
    axes = _axes_before(op.x.op, [op.axis.val])
    return axes and [(op.outputs[0], again(op, x=op.x.op.x, axis=np.int32(axes[0])))]


def sink_last_softmax(op):
    """softmax(transpose(x), axis) -> transpose(softmax(x, the axis before the transpose)) at a program's end: over a
    segmenter's channels, where the Neural Engine is quick (Apple's coreai-models, neural_engine_rules.md)."""
    if op.op_type != "softmax" or kind_of(op.x) != "transpose" or op.outputs[0] not in op.enclosing_block.outputs:
        return None
    before = op.x.op
    axis = np.int32(before.perm.val[op.axis.val] % len(op.x.shape))
    inner = again(op, x=before.x, axis=axis, name=f"{op.name}_nchw")
    return [(op.outputs[0], mb.transpose(x=inner, perm=before.perm, before_op=op, name=op.name))]


REWRITES = (  # in this order: a norm's beta has to go before its gamma can
    fuse_swish,
    sink_transposes,
    pool_without_transpose,
    pick_without_transpose,
    sink_last_softmax,
    fold_padding,
    centre_norms,
    fold_epsilons,
    open_batch_norms,
    fold_shifts,
    postpone_gamma,
    fold_scales,
    fold_scalars,
    merge_linear_convolutions,
)


def _axes_before(transpose, axes):
    """The axes, in order, that a transpose brings to `axes`; None where the other ones change their order."""
    perm = [axis % len(transpose.perm.val) for axis in transpose.perm.val]
    axes = sorted(perm[axis] for axis in axes)
    left = [axis for axis in perm if axis not in axes]
    return axes if left == sorted(left) else None


def _feeds_only(op, readers, fits):
    """Whether every reader of `op` is a convolution that fits, on its input, and the value itself is no output."""
    out = op.outputs[0]
    return (
        bool(readers)
        and set(readers_of(out)) == set(readers)
        and out not in op.enclosing_block.outputs
        and all(reader.op_type == "conv" and reader.x is out and fits(reader) for reader in readers)
    )


def _other_operand(op, operand):
    return op.y if op.x is operand else op.x if op.y is operand else None


def _channels(op):
    """(map, [C] or [1] float64) of an operation on a map [n, C, H, W] and a constant for each channel, or None."""
    split = value_and_constant(op)
    if not split or split[0].shape != op.outputs[0].shape:
        return None
    values = _per_channel(split[0], split[1])
    return None if values is None else (split[0], values)


def _per_channel(var, constant):
    if len(var.shape) != 4 or constant.ndim > 4:
        return None
    shape = (1,) * (4 - constant.ndim) + constant.shape
    fits = shape in ((1, 1, 1, 1), (1, var.shape[1], 1, 1))
    return constant.reshape(-1).astype(np.float64) if fits else None


def _is_pointwise(conv):
    """A 1x1 convolution of stride 1 without padding, with constant weights."""
    return (
        conv.op_type == "conv"
        and conv.weight.val is not None
        and conv.weight.shape[2:] == (1, 1)
        and all(stride == 1 for stride in conv.strides.val)
        and (conv.pad_type.val != "custom" or not any(conv.pad.val))
    )


def _scaled_inputs(conv, scale):
    """The weights [O, C / groups, kH, kW] of a convolution on x for those that it had on x * scale, or None."""
    weight, groups = conv.weight.val, int(conv.groups.val)
    if weight is None:
        return None
    wide = np.broadcast_to(scale, conv.x.shape[1])
    if groups == 1:
        return weight * wide[None, :, None, None]
    if weight.shape[1] == 1:  # depthwise: output o reads channel o // (O / C)
        return weight * np.repeat(wide, len(weight) // groups)[:, None, None, None]
    return None


def _matrix(conv):
    """The weights [O, C] of a 1x1 convolution, in float64."""
    return conv.weight.val[:, :, 0, 0].astype(np.float64)


def _bias(conv):
    return np.zeros(len(conv.weight.val), np.float32) if conv.bias is None else conv.bias.val
