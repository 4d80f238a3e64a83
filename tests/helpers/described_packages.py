"""The small packages' descriptions, each made once, and what is on record of them on the Neural Engine."""

import functools

from keras_mobattn import describe
from keras_mobattn.describe.coreml.rules import AGAINST, NEURAL_ENGINE_RULES, RECORD


@functools.cache
def described(path):
    return describe.describe_coreml(path)


OUTPUT_SHAPE, RANGE, SIDE = "transposed output shape", "range", "large side"
FOUND = {  # package -> {operator: rules}, beside what is said of the ends of each; nothing of the others
    "good": {"conv_transpose": {OUTPUT_SHAPE}},
    "fp32": {
        **dict.fromkeys(["conv", "reduce_mean", "linear"], {"float32"}),
        "conv_transpose": {"float32", OUTPUT_SHAPE},
    },
    "attention": {"scaled_dot_product_attention": {"fused attention"}},
    "rank_5": {"cast": {"float32 output"}},
    "rank_5_product": {"matmul": {"rank 5 product"}},
    "gathered": {"gather": {"gather"}},
    "counted": {"non_zero": {"open size"}},
    "multiplied": {"reduce_prod": {"no path"}},
    "long": {"tile": {SIDE}, "cast": {SIDE}},
    "classifier": dict.fromkeys(["mul", "add"], {"image scaling"}),
    "enumerated": {"input": {"enumerated"}},
    "ranged": dict.fromkeys(["cast", "conv", "relu"], {RANGE}),
    "int8": {"constexpr_affine_dequantize": {"signed int8 weights"}},
    "blocks": {"constexpr_blockwise_shift_scale": {"blocks of weights"}},
    "palettized_18": {"constexpr_lut_to_dense": {"palette of iOS 18"}},
    "convolutions": {
        "conv": {"wide kernel", "concatenation, depthwise", "odd stride"},
        "conv_transpose": {"transposed stride", OUTPUT_SHAPE},
        "cast": {"float32 output"},
    },
    "moved": {
        "pad": {"reflected padding", "padding"},
        "slice_by_index": {"slice"},
        "resize_bilinear": {"resize", "aligned corners"},
        "reduce_argmax": {"long argmax"},
    },
    "sorted": {"sin": {"by chip"}, "topk": {"sorting"}},
    "norms": {
        "layer_norm": {"small epsilon", "norm over channels"},
        "add": {"small addend"},
        "rsqrt": {"small epsilon"},
        "softmax": {"softmax over pixels"},
        "softplus": {"softplus"},
        "reduce_mean": {"channels of many maps"},
        "reduce_sum": {"long mean"},
    },
    "head": {"linear": {"hardswish of rank 2"}},
    "activated": {"matmul": {"activation of rank 2"}, "reduce_log_sum_exp": {"logsumexp"}},
    "shuffled": {"space_to_depth": {"pixel shuffle"}, "add": {"infinite mask"}},
    "many": dict.fromkeys(["tile", "cast"], {"many channels"}),
    "enumerated_norm": {"input": {"enumerated"}, "layer_norm": {"small epsilon", "enumerated norm"}},
    "in_bytes": {"quantize": {"int8 activations"}},
}
ENDS = {"narrow end"}  # 8 pixels wide
WITHOUT_A_PACKAGE = {"rank above 5", "suppression"}  # coremltools makes none
RULES = {rule.construct: name for name, rule in NEURAL_ENGINE_RULES.items()}


def is_against(name):
    """Whether something of what is found in a package speaks against the Neural Engine."""
    found = set().union(*FOUND.get(name, {}).values())
    rules = [NEURAL_ENGINE_RULES[rule] for rule in found]
    return any(rule.effect in AGAINST and rule.standing == RECORD for rule in rules)
