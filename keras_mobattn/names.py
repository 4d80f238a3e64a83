"""Exact rules on names: which layer is the head, an attention, a norm or a level, and what a variable is for.

Names are a contract. Files, pyramids, `weights_skip`, weight decay, clipping and random weights hang on them, so a
model function, one of the user's own too, names its layers by these rules. No rule looks for a part of a word:
`box_predictions` is no classifier, and `attention_map` no attention.
"""

import re

# Layers

HEADS = ("predictions", "predictions_dist")  # of the class, and of the teacher's class (timm's `head_dist`)
LEVELS = ("P1", "P2", "P3", "P4", "P5")  # a backbone's last maps at strides 2 .. 32
# The layer that mixes tokens, and what stands around it only for its sake: `conv_norm_act`s of EfficientFormerV2's.
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
ROLES = {  # last part of a variable's name -> what it is for; all others (tokens, statistics) have no rule here
    "kernel": KERNEL,
    "dwc_kernel": KERNEL,  # focused attention's, [5, 5, d, 1]: clipped and drawn as a full one ever since
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


def is_attention(layer):
    """Whether a layer of this name mixes tokens."""
    return ATTENTION_LAYER.fullmatch(layer) is not None


def is_norm(layer):
    """Whether a layer of this name normalises."""
    return NORM_LAYER.fullmatch(layer) is not None


def part_of(layer):
    """The part of the model that a layer of this name belongs to: HEAD, ATTENTION, or None for the rest."""
    if layer in HEADS:
        return HEAD
    return ATTENTION if is_attention(layer) or ATTENTION_PROJECTION.fullmatch(layer) else None


BLOCK = re.compile(r"(layer\d+_\d+|stage\d+_(block\d+|embed)|block\d+)_")


def block_of(layer):
    """The block that a layer of this name begins or belongs to: "layer3_1", "stage2_block0", "stage2_embed"; None for a
    layer that stands with those before it, as stems and norms between stages do."""
    found = BLOCK.match(layer)
    return found and found[1]


def variable_name(layer, variable):
    """A variable's name, beginning with that of its layer."""
    variable = variable.split(":")[0]
    return variable if variable.startswith(f"{layer}/") else f"{layer}/{variable}"


def layer_of(variable):
    """The layer that the variable of a model belongs to, by its `variable_name`."""
    return variable.split("/")[0]


def role_of(variable):
    """What a variable of this name is for, a value of ROLES; None where no rule hangs on it."""
    return ROLES.get(variable.split("/")[-1].split(":")[0])


def is_decayed(variable, rank):
    """Whether weight decay is for it: kernels. Not biases, norms and other 1-D weights, and not what stands for a
    place, which DeiT's and EfficientFormerV2's code leave out by name: positions, position biases."""
    return rank > 1 and role_of(variable) in DECAYED
