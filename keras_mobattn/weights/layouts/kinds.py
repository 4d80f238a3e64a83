"""Kinds of modules: which tensors each has, there and here, and how one becomes the other."""

from typing import NamedTuple

from keras_mobattn.weights.transforms import (
    ANCHORED,
    ANCHORED_CONV,
    BGR_CONV,
    BIAS_TABLE,
    CONV,
    DENSE,
    DEPTHWISE,
    LINEAR,
    POSITIONS,
    SAME,
    TALKING_HEADS,
    TOKEN,
    Transform,
)


class Part(NamedTuple):
    """One tensor of their module, and the variables of our layer that it becomes.

    With several, their tensor is fused, and ours are its rows in this order. Without any, it is a buffer that inference
    doesn't need.
    """

    theirs: str  # what follows the module's name, if anything; {conv} and {norm} are the source's own words
    ours: tuple[str, ...]  # what follows the layer's name
    transform: Transform = SAME


def _batch_norm(theirs, ours):
    return (
        Part(f"{theirs}weight", (f"{ours}/gamma",)),
        Part(f"{theirs}bias", (f"{ours}/beta",)),
        Part(f"{theirs}running_mean", (f"{ours}/moving_mean",)),
        Part(f"{theirs}running_var", (f"{ours}/moving_variance",)),
        Part(f"{theirs}num_batches_tracked", ()),  # torch's count of training steps
    )


def _conv_norm(kernel, transform, bias=False):
    return (
        Part("{conv}.weight", (f"_conv/{kernel}",), transform),
        *((Part("{conv}.bias", ("_conv/bias",)),) if bias else ()),
        *_batch_norm("{norm}.", "_bn"),
    )


def _with_bias(transform, *parts, kernel="kernel"):
    return (
        Part("weight", tuple(f"{part}/{kernel}" for part in parts), transform),
        Part("bias", tuple(f"{part}/bias" for part in parts)),
    )


KINDS = {
    "conv, batch norm": _conv_norm("kernel", CONV),
    "BGR conv, batch norm": _conv_norm("kernel", BGR_CONV),
    "depthwise conv, batch norm": _conv_norm("depthwise_kernel", DEPTHWISE),
    "conv with bias, batch norm": _conv_norm("kernel", CONV, bias=True),
    "depthwise conv with bias, batch norm": _conv_norm("depthwise_kernel", DEPTHWISE, bias=True),
    "conv": (Part("weight", ("_conv/kernel",), CONV),),
    "conv with bias": _with_bias(CONV, ""),
    "depthwise conv with bias": _with_bias(DEPTHWISE, "", kernel="depthwise_kernel"),
    "conv by anchor": (
        Part("weight", ("_boxes/kernel", "_scores/kernel"), ANCHORED_CONV),
        Part("bias", ("_boxes/bias", "_scores/bias"), ANCHORED),
    ),
    "linear": _with_bias(LINEAR, ""),
    "fused conv": _with_bias(CONV, "/query", "/key", "/value"),
    "fused linear": _with_bias(LINEAR, "/query", "/key", "/value"),
    "fused key and value": _with_bias(LINEAR, "/key", "/value"),
    "class token": (Part("", ("/class_token",), TOKEN),),
    "distillation token": (Part("", ("/dist_token",), TOKEN),),
    "positions": (Part("", ("/prefix_position", "/position"), POSITIONS),),
    "norm": (Part("weight", ("/gamma",)), Part("bias", ("/beta",))),
    "batch norm": _batch_norm("", ""),
    "layer scale": (Part("gamma", ("/gamma",)),),
    "talking heads": _with_bias(TALKING_HEADS, ""),
    "attention biases": (Part("attention_biases", ("/attention_biases",), BIAS_TABLE),),
    "classifier": _with_bias(DENSE, ""),
}
