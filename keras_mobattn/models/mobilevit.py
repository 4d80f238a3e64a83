"""MobileViT (Mehta and Rastegari, "MobileViT: Light-weight, General-purpose, and Mobile-friendly Vision Transformer",
arXiv:2110.02178).

Reference code: apple/ml-cvnets (`mobilevit.py`, `mobilevit_block.py`) and timm (`mobilevit_*`). Layer names are a
contract: weights and pyramids hang on them.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Unpack

import tf_keras as keras

from keras_mobattn.attention import SoftmaxAttention, attention_layer
from keras_mobattn.errors import choose
from keras_mobattn.families.mobilevit import FAMILY
from keras_mobattn.layers import (
    LayerNormalization,
    Resize,
    ResizeLike,
    conv_norm_act,
    drop_path,
    drop_path_rates,
    inverted_residual,
    linear_initializer,
)
from keras_mobattn.models.application import Options, application, application_model
from keras_mobattn.models.output_stride import level_of
from keras_mobattn.models.pyramid import mark_level
from keras_mobattn.models.top import Top

PATCH_SIZE = FAMILY.attention_patch


@dataclasses.dataclass(frozen=True)
class Variant:
    """Table 4 of the paper (appendix); `head` is the 1x1 convolution before pooling."""

    channels: tuple[int, ...]  # out of layers 1 to 5
    dims: tuple[int, ...]  # transformer width d in layers 3 to 5
    expansion: int  # of the inverted residuals
    head: int
    blocks: int = 3  # inverted residuals in layer 2
    depths: tuple[int, ...] = (2, 4, 3)  # attention units in layers 3 to 5


VARIANTS = {
    "xxs": Variant((16, 24, 48, 64, 80), (64, 80, 96), expansion=2, head=320),
    "xs": Variant((32, 48, 64, 80, 96), (96, 120, 144), expansion=4, head=384),
    "s": Variant((32, 64, 96, 128, 160), (144, 192, 240), expansion=4, head=640),
    "test": Variant((8, 8, 16, 16, 24), (16, 16, 16), expansion=2, head=32, blocks=1, depths=(1, 1, 1)),
}


@application_model
def MobileViT(  # noqa: N802  the paper's spelling
    variant: str = "s",
    attention: str | Callable[..., keras.layers.Layer] = "softmax",
    drop_path_rate: float = 0.0,
    head_dim: int | None = None,
    output_stride: int = 32,
    **options: Unpack[Options],
) -> keras.Model:
    """Build MobileViT "xxs", "xs" or "s" ("test": a tiny one for tests) with any attention.

    `attention` is a name of `keras_mobattn.attention.ATTENTIONS`, a class, or a callable `dim -> layer`; "softmax" (4
    heads) is the paper's. `head_dim` is the width of a head, for styles with heads. `drop_path_rate` is the last
    transformer unit's in training and falls linearly to 0 at the first, see `keras_mobattn.layers.DropPath`. With
    `output_stride` 16 or 8 the last one or two halvings are left out, and convolutions dilated in their place, for
    segmentation. The other arguments are those of keras.applications, see `application`.

    Input: RGB, 0..255 with include_preprocessing, else 0..1 (no mean or std). Apple's own weights were trained on BGR;
    weights for this model hold a stem in RGB order. Any size from 32x32; an odd map is resized up to an even one for
    its transformer and back, as in the reference.

    Raises:
        InputError: an unknown variant, attention or output stride, or a bad keras.applications argument.
    """
    v = choose(VARIANTS, variant, "MobileViT variant")
    rates = drop_path_rates(drop_path_rate, v.depths)
    attend = functools.partial(
        attention_layer, attention, own=SoftmaxAttention, patch_size=PATCH_SIZE, head_dim=head_dim
    )

    def body(x):
        x = conv_norm_act(x, 16, 3, strides=2, name="stem")
        x = inverted_residual(x, v.channels[0], expansion=v.expansion, name="layer1_0")
        x = mark_level(x, 1)
        for block in range(v.blocks):
            strides = 2 if block == 0 else 1
            x = inverted_residual(x, v.channels[1], strides=strides, expansion=v.expansion, name=f"layer2_{block}")
        x = mark_level(x, 2)
        for layer, out, dim, drops in zip((3, 4, 5), v.channels[2:], v.dims, rates, strict=True):
            strides, dilation, _ = level_of(output_stride, layer)
            how = {"strides": strides, "dilation": dilation, "padded": True, "expansion": v.expansion}
            x = inverted_residual(x, out, name=f"layer{layer}_0", **how)
            x = mobilevit_block(x, dim, len(drops), attend, name=f"layer{layer}_1", drop_paths=drops)
            x = mark_level(x, layer)
        return conv_norm_act(x, v.head, 1, name="head")

    return application(body, FAMILY, f"mobilevit_{variant}", Top(dropout=0.1), **options)


def mobilevit_block(x, dim, depth, attend, *, name, drop_paths=None):
    """[B, H, W, C] -> the same: 3x3 convolution, transformer of `depth` units of width `dim` = d, fusion with the
    input. `attend(dim, name=)` makes an attention layer; `drop_paths` are the units' rates, default 0.

    The reference unfolds into [B*4, N, d]; here the map stays a map, and the attention layer takes the four patch
    positions apart.
    """
    out = x.shape[-1]
    y = conv_norm_act(x, out, 3, name=f"{name}_local")
    before = conv_norm_act(y, dim, 1, norm=False, act=None, name=f"{name}_expand")
    y = Resize(PATCH_SIZE, align_corners=False, name=f"{name}_resize")(before)
    for unit, rate in enumerate(drop_paths or [0.0] * depth):
        y = transformer_unit(y, dim, rate, attend, name=f"{name}_unit{unit}")
    y = layer_norm(f"{name}_norm")(y)
    y = ResizeLike(name=f"{name}_resize_back")([y, before])
    y = conv_norm_act(y, out, 1, name=f"{name}_project")
    y = keras.layers.Concatenate(name=f"{name}_concat")([x, y])
    return conv_norm_act(y, out, 3, name=f"{name}_fusion")


def transformer_unit(x, dim, drop_path_rate, attend, *, name):
    """x += Attention(LN(x)); x += FFN(LN(x)), the FFN 2d wide with bias and swish."""
    y = layer_norm(f"{name}_norm1")(x)
    y = attend(dim, name=f"{name}_attention")(y)
    y = drop_path(y, drop_path_rate, name=f"{name}_drop_path1")
    x = keras.layers.Add(name=f"{name}_add1")([x, y])
    y = layer_norm(f"{name}_norm2")(x)
    y = keras.layers.Conv2D(
        2 * dim, 1, activation="swish", kernel_initializer=linear_initializer(dim), name=f"{name}_fc1"
    )(y)
    y = keras.layers.Conv2D(dim, 1, kernel_initializer=linear_initializer(2 * dim), name=f"{name}_fc2")(y)
    y = drop_path(y, drop_path_rate, name=f"{name}_drop_path2")
    return keras.layers.Add(name=f"{name}_add2")([x, y])


def layer_norm(name):
    """Layer norm over the channels of a pixel, epsilon as in torch."""
    return LayerNormalization(epsilon=1e-5, name=name)
