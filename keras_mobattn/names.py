"""Exact rules on names: which layer is the head, an attention, a norm or a level, and what a variable is for.

Names are a contract: files, pyramids, `weights_skip`, weight decay, clipping and random weights depend on them. Every
model function, also one of the user's own, names its layers by these rules. No rule looks for a part of a word:
`box_predictions` is no classifier, and `attention_map` no attention.
"""

import re
from collections.abc import Iterable

from keras_mobattn.errors import InputError

# Layers

HEADS = ("predictions", "predictions_dist")  # the second one learns from a teacher (timm's `head_dist`)
# What a detector has behind its backbone: levels and what predicts on them; and levels that a backbone lacks
DETECTOR_LAYER = re.compile(r"(head\d+|extra\d*)_?\w*|P\d_(depthwise|project|enlarge)\w*")
# What a segmenter has behind its backbone
SEGMENTER_LAYER = re.compile(r"(aspp|psp|lraspp|auxiliary|pixel)_\w+")
LEVELS = ("P1", "P2", "P3", "P4", "P5")  # a backbone's last maps at strides 2 .. 32
# The layer that mixes tokens; and layers that are there only for it: EfficientFormerV2's `conv_norm_act`s.
ATTENTION_LAYER = re.compile(r"\w+_attention")
ATTENTION_PROJECTION = re.compile(r"\w+_attention_(query|key|value|local|expand|project)_(conv|bn)")
NORM_LAYER = re.compile(r"(\w+_)?(norm\d*|bn)")

HEAD, ATTENTION = "head", "attention"  # parts that loading can leave out

# Variables, which are called layer/weight or layer/sublayer/weight

HEAD_BIAS = f"{HEADS[0]}/bias"  # [classes]
KERNEL, DEPTHWISE, SCALE, SHIFT, POSITION, DISTANCE = (
    "kernel",
    "depthwise kernel",
    "scale",
    "shift",
    "position",
    "distance",
)
ROLES = {  # last part of a variable's name -> its role; others (tokens, statistics) have none
    "kernel": KERNEL,
    "dwc_kernel": KERNEL,  # focused attention's, [5, 5, d, 1]: always clipped and drawn as a full one
    "pointwise_kernel": KERNEL,  # Keras's separable convolutions', for the user's layers
    "recurrent_kernel": KERNEL,
    "depthwise_kernel": DEPTHWISE,  # [H, W, C, 1]: one filter a channel
    "gamma": SCALE,
    "temperature": SCALE,
    "beta": SHIFT,
    "bias": SHIFT,
    "position": POSITION,  # [h, w, C]: one for each place of a map
    "attention_biases": DISTANCE,  # [h, w, heads]: one for each distance of two places
}
DECAYED = (KERNEL, DEPTHWISE)  # of rank > 1
GRIDS = (POSITION, DISTANCE)  # made for a map's size


def is_attention(layer: str) -> bool:
    """Whether a layer of this name mixes tokens."""
    return ATTENTION_LAYER.fullmatch(layer) is not None


def is_norm(layer: str) -> bool:
    """Whether a layer of this name normalises."""
    return NORM_LAYER.fullmatch(layer) is not None


def part_of(layer: str) -> str | None:
    """The part of the model with a layer of this name: HEAD, ATTENTION, or None for the rest."""
    if layer in HEADS or DETECTOR_LAYER.fullmatch(layer) or SEGMENTER_LAYER.fullmatch(layer):
        return HEAD
    return ATTENTION if is_attention(layer) or ATTENTION_PROJECTION.fullmatch(layer) else None


BLOCK = re.compile(r"(layer\d+_\d+|stage\d+_(block\d+|embed)|block\d+)_")


def block_of(layer: str) -> str | None:
    """The block of a layer of this name: "layer3_1", "stage2_block0", "stage2_embed"; None for stems and norms between
    stages, which go with the block before them."""
    found = BLOCK.match(layer)
    return found and found[1]


def variable_name(layer: str, variable: str) -> str:
    """A variable's name without ":0", beginning with its layer's name."""
    variable = variable.split(":")[0]
    return variable if variable.startswith(f"{layer}/") else f"{layer}/{variable}"


def layer_of(variable: str) -> str:
    """The name of the layer of a variable, by the variable's `variable_name`."""
    return variable.split("/")[0]


def role_of(variable: str) -> str | None:
    """The role of a variable of this name, a value of ROLES; None where it has none."""
    return ROLES.get(variable.split("/")[-1].split(":")[0])


def is_decayed(variable: str, rank: int) -> bool:
    """Whether a variable has weight decay: kernels have it; biases, norms and other 1-D weights don't.

    Nor do positions and position biases, which DeiT's and EfficientFormerV2's code leaves out by name.
    """
    return rank > 1 and role_of(variable) in DECAYED


def as_identifiers(names: Iterable[str]) -> tuple[str, ...]:
    """Names of ASCII letters, digits and underscores that don't begin with a digit: "box-1" becomes "box_1".

    Raises:
        InputError: two become the same.
    """
    names = tuple(names)
    plain = tuple(re.sub(r"^(?=\d)|[^A-Za-z0-9_]", "_", name) for name in names)
    if len(set(plain)) < len(plain):
        raise InputError(
            f"Expected names of outputs that differ in letters and digits. Received: {', '.join(map(repr, names))}. "
            "Rename one."
        )
    return plain
