"""The small packages' descriptions, each made once, and what speaks against them on the Neural Engine."""

import functools

from keras_mobattn import describe


@functools.cache
def described(path):
    return describe.describe_coreml(path)


OPEN = "dynamic shape"
AGAINST = {  # package -> {operator: rules}; nothing against the others
    "fp32": dict.fromkeys(["conv", "conv_transpose", "reduce_mean", "linear"], {"float32"}),
    "rank_5": {"reshape": {"rank above 4"}, "transpose": {"rank above 4"}},
    "gathered": {"gather": {"gather"}},
    "counted": {"non_zero": {"non_zero", OPEN}},
    "multiplied": {"reduce_prod": {"no hardware path"}},
    "long": {"tile": {"large dimension"}, "cast": {"large dimension"}},
    "ranged": dict.fromkeys(["cast", "conv", "relu"], {OPEN}),
}
