"""MobileViTv2 (Mehta and Rastegari, "Separable Self-attention for Mobile Vision Transformers", arXiv:2206.02680).

Reference code: apple/ml-cvnets (`mobilevit_v2.py`, `mobilevit_v2_block.py`) and timm (`mobilevitv2_*`). Layer names are
a contract: weights and pyramids hang on them.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Unpack

import tf_keras as keras

from keras_mobattn.attention import SeparableAttention, attention_layer
from keras_mobattn.errors import choose, expect_range
from keras_mobattn.families.mobilevitv2 import FAMILY
from keras_mobattn.layers import (
    GroupNorm1,
    Resize,
    conv_initializer,
    conv_norm_act,
    drop_path,
    drop_path_rates,
    inverted_residual,
    make_divisible,
)
from keras_mobattn.models.application import Options, application, application_model
from keras_mobattn.models.output_stride import level_of
from keras_mobattn.models.pyramid import mark_level

PATCH_SIZE = FAMILY.attention_patch


@dataclasses.dataclass(frozen=True)
class Variant:
    """Channels at width 1 and attention units per block, as in the paper's Table 5 (appendix)."""

    channels: tuple[int, ...] = (64, 128, 256, 384, 512)  # out of layers 1 to 5
    dims: tuple[int, ...] = (128, 192, 256)  # attention width D in layers 3 to 5
    depths: tuple[int, ...] = (2, 4, 3)  # attention units in layers 3 to 5


VARIANTS = {
    "standard": Variant(),
    "test": Variant(channels=(16, 16, 24, 24, 32), dims=(16, 16, 16), depths=(1, 1, 1)),
}


@application_model
def MobileViTv2(  # noqa: N802  the paper's spelling
    width: float = 1.0,
    attention: str | Callable[..., keras.layers.Layer] = "separable",
    variant: str = "standard",
    drop_path_rate: float = 0.0,
    head_dim: int | None = None,
    output_stride: int = 32,
    **options: Unpack[Options],
) -> keras.Model:
    """Build MobileViTv2 with any attention.

    `width` multiplies all channels (published: 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0). `attention` is a name of
    `keras_mobattn.attention.ATTENTIONS`, a class, or a callable `dim -> layer`; "separable" is the paper's. variant
    "test" is a tiny one for tests. `head_dim` is the width of a head, for styles with heads. `drop_path_rate` is the
    last attention unit's in training and falls linearly to 0 at the first, see `keras_mobattn.layers.DropPath`. With
    `output_stride` 16 or 8 the last one or two halvings are left out, and convolutions dilated in their place, for
    segmentation. The other arguments are those of keras.applications, see `application`.

    Input: RGB, 0..255 with include_preprocessing, else 0..1 without mean or std, as in the published training.
    Any size from 32x32; a map whose side is odd is resized up to an even one before its attention block, as in the
    reference.

    Raises:
        InputError: width <= 0, an unknown attention, variant or output stride, or a bad keras.applications argument.
    """
    expect_range("width of MobileViTv2", width, 0, above=True, below=True, advice="Published are 0.5 to 2.0.")
    v = choose(VARIANTS, variant, "MobileViTv2 variant")
    stem = make_divisible(min(64, max(16, 32 * width)), 8, 16)
    divisors = (16, 8, 8, 8, 8)
    outs = [make_divisible(channels * width, divisor) for channels, divisor in zip(v.channels, divisors, strict=True)]
    dims = [make_divisible(dim * width, 8) for dim in v.dims]
    rates = drop_path_rates(drop_path_rate, v.depths)
    attend = functools.partial(
        attention_layer, attention, own=SeparableAttention, patch_size=PATCH_SIZE, head_dim=head_dim
    )

    def body(x):
        x = conv_norm_act(x, stem, 3, strides=2, name="stem")
        x = inverted_residual(x, outs[0], name="layer1_0")
        x = mark_level(x, 1)
        x = inverted_residual(x, outs[1], strides=2, name="layer2_0")
        x = inverted_residual(x, outs[1], name="layer2_1")
        x = mark_level(x, 2)
        for layer, out, dim, drops in zip((3, 4, 5), outs[2:], dims, rates, strict=True):
            strides, dilation, skip = level_of(output_stride, layer)
            x = inverted_residual(x, out, strides=strides, dilation=dilation, padded=True, name=f"layer{layer}_0")
            x = mobilevitv2_block(x, dim, len(drops), attend, name=f"layer{layer}_1", drop_paths=drops, dilation=skip)
            x = mark_level(x, layer)
        return x

    size = f"{100 * width:03.0f}" if variant == "standard" else variant
    return application(body, FAMILY, f"mobilevitv2_{size}", **options)


def mobilevitv2_block(x, dim, depth, attend, *, name, drop_paths=None, dilation=1):
    """[B, H, W, C] -> [B, ceil(H/2)*2, ceil(W/2)*2, C]: local convolution, `depth` units of width `dim` = D,
    projection. `attend(dim, name=)` makes an attention layer; `drop_paths` are the units' rates, default 0; `dilation`
    is the local convolution's.

    The reference unfolds into [B, D, 4, N] here. Linear layers and the one-group norm commute with unfolding, so the
    map stays a map, and only the attention layer takes the four patch positions apart.
    """
    out = x.shape[-1]
    x = Resize(PATCH_SIZE, align_corners=True, name=f"{name}_resize")(x)
    x = conv_norm_act(x, out, 3, dilation=dilation, depthwise=True, name=f"{name}_local")
    x = conv_norm_act(x, dim, 1, norm=False, act=None, name=f"{name}_expand")
    for unit, rate in enumerate(drop_paths or [0.0] * depth):
        x = attention_unit(x, dim, rate, attend, name=f"{name}_unit{unit}")
    x = GroupNorm1(name=f"{name}_norm")(x)
    return conv_norm_act(x, out, 1, act=None, name=f"{name}_project")


def attention_unit(x, dim, drop_path_rate, attend, *, name):
    """x += Attention(GN(x)); x += FFN(GN(x)), the FFN 2D wide (a multiple of 16) with bias and swish."""
    y = GroupNorm1(name=f"{name}_norm1")(x)
    y = attend(dim, name=f"{name}_attention")(y)
    y = drop_path(y, drop_path_rate, name=f"{name}_drop_path1")
    x = keras.layers.Add(name=f"{name}_add1")([x, y])
    y = GroupNorm1(name=f"{name}_norm2")(x)
    hidden = 2 * dim // 16 * 16
    y = keras.layers.Conv2D(hidden, 1, activation="swish", kernel_initializer=conv_initializer(), name=f"{name}_fc1")(y)
    y = keras.layers.Conv2D(dim, 1, kernel_initializer=conv_initializer(), name=f"{name}_fc2")(y)
    y = drop_path(y, drop_path_rate, name=f"{name}_drop_path2")
    return keras.layers.Add(name=f"{name}_add2")([x, y])
