"""apple/ml-cvnets' tensors, made of timm's, and a piece of its models: it can't be installed beside the package."""

import dataclasses

import keras_mobattn
from keras_mobattn.families import FAMILIES
from keras_mobattn.weights.port import variables_of


def encoder_tensors(tensors):
    """cvnets' tensors of a MobileViTv2 of width 0.5 as a task's encoder, of those of timm's with features_only."""
    (timm,) = (layout for layout in FAMILIES["MobileViTv2"].sources if layout.name == "timm")
    keys = _keys(variables_of(keras_mobattn.MobileViTv2(0.5, include_top=False)))
    renamed = {key.replace("stages_", "stages."): tensor for key, tensor in tensors.items()}
    found = {key: timm.find(key)[0] for key in renamed}
    return {f"encoder.{keys[ours]}": renamed[key] for key, ours in found.items() if ours}


def _keys(names):
    """{our names: cvnets' key} of all tensors of a backbone."""
    (layout,) = (layout for layout in FAMILIES["MobileViTv2"].sources if layout.name == "cvnets")
    counted = tuple(row for row in layout.rows if "{units}" not in row[0])
    keys = {ours: key for key, ours, _ in dataclasses.replace(layout, rows=counted).name_all(names)}
    for late, depth in ((3, 2), (4, 4), (5, 3)):  # cvnets counts the last norm with the units
        for theirs, ours in (("weight", "gamma"), ("bias", "beta")):
            keys[f"layer{late}_1_norm/{ours}",] = f"layer_{late}.1.global_rep.{depth}.{theirs}"
    return keys


def conv_block(torch, inputs, outputs, size=1, stride=1, groups=1, dilation=1, norm=True, act=True, bias=False):
    """cvnets' ConvLayer: a convolution, batch norm and ReLU in `block`."""
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            padding = size // 2 * dilation
            conv = nn.Conv2d(inputs, outputs, size, stride, padding, dilation, groups, bias)
            self.block = nn.ModuleDict({"conv": conv} | ({"norm": nn.BatchNorm2d(outputs)} if norm else {}))

        def forward(self, x):
            for layer in self.block.values():
                x = layer(x)
            return torch.relu(x) if act else x

    return Block()
