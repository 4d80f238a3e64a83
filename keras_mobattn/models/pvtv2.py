"""PVT v2 (Wang et al., "PVT v2: Improved Baselines with Pyramid Vision Transformer", arXiv:2106.13797).

Reference code: timm (`pvt_v2.py`) and whai362/PVT. Layer names are a contract: weights and pyramids hang on them.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Unpack

import tf_keras as keras

from keras_mobattn.attention import SpatialReductionAttention, attention_layer
from keras_mobattn.errors import choose
from keras_mobattn.families.pvtv2 import FAMILY
from keras_mobattn.layers import (
    Gelu,
    LayerNormalization,
    conv_initializer,
    drop_path,
    drop_path_rates,
    linear_initializer,
)
from keras_mobattn.models.application import Options, application, application_model
from keras_mobattn.models.pyramid import mark_level


@dataclasses.dataclass(frozen=True)
class Variant:
    """Table 1 of the paper, stage by stage; "nano" is ours, for a study on two cores."""

    dims: tuple[int, ...] = (64, 128, 320, 512)
    depths: tuple[int, ...] = (2, 2, 2, 2)
    num_heads: tuple[int, ...] = (1, 2, 5, 8)
    mlp_ratios: tuple[int, ...] = (8, 8, 4, 4)
    sr_ratios: tuple[int, ...] = (8, 4, 2, 1)
    linear: bool = False


VARIANTS = {
    "b0": Variant((32, 64, 160, 256)),
    "b1": Variant(),
    "b2": Variant(depths=(3, 4, 6, 3)),
    "b2_li": Variant(depths=(3, 4, 6, 3), linear=True),
    "b3": Variant(depths=(3, 4, 18, 3)),
    "b4": Variant(depths=(3, 8, 27, 3)),
    "b5": Variant(depths=(3, 6, 40, 3), mlp_ratios=(4, 4, 4, 4)),
    "nano": Variant((16, 32, 64, 96), (1, 1, 2, 1), (1, 2, 4, 6), mlp_ratios=(4, 4, 4, 4)),
    "test": Variant((16, 16, 32, 32), (1, 1, 1, 1), (1, 2, 2, 2), mlp_ratios=(2, 2, 2, 2)),
}


@application_model
def PVTv2(  # noqa: N802  the paper's spelling
    variant: str = "b0",
    attention: str | Callable[..., keras.layers.Layer] = "own",
    drop_path_rate: float = 0.0,
    head_dim: int | None = None,
    **options: Unpack[Options],
) -> keras.Model:
    """Build PVT v2 "b0" to "b5" or "b2_li" ("nano", "test": small ones of ours) with any attention.

    `drop_path_rate` is the last block's in training and falls linearly to 0 at the first (the paper trains with 0.1 up
    to b2, 0.3 above). The other arguments are those of keras.applications, see `application`.

    Attention: "own" is spatial-reduction attention, `keras_mobattn.attention.SpatialReductionAttention`, in "b2_li" its
    linear form. Any name of `keras_mobattn.attention.ATTENTIONS`, a class, or a callable `dim -> layer` replaces all of
    it: projections, the convolution or pooling that reduces the keys, and its norm. The new layer sees every pixel of
    the stage's map, in queries and keys alike: with linear cost there is no need to reduce keys, and Mobile-Attention
    needs as many keys as queries. The model loses the parameters of the reducing convolutions, and has more to do on
    the large maps of stages 1 and 2. Overlapping embeddings, norms and MLPs with their 3x3 convolutions stay. "softmax"
    is N^2 C without the reduction; the other styles are linear in pixels.

    `head_dim` is the width of a head: by default the host's own for styles that count heads (32 in b0, 64 above), and 8
    for Mobile-Attention, whose cost grows with it. 8 divides every width here.

    Input: RGB, 0..255 with include_preprocessing, else ImageNet's normalisation (`preprocess_input`). Any size from
    32x32. The pyramid is P2 to P5, each behind its stage's norm.

    Raises:
        InputError: an unknown variant or attention, or a bad keras.applications argument.
    """
    v = choose(VARIANTS, variant, "PVTv2 variant")
    rates = drop_path_rates(drop_path_rate, v.depths)

    def body(x):
        x = patch_embed(x, v.dims[0], kernel_size=7, strides=4, name="stem_embed")
        for stage, (dim, heads, mlp_ratio, sr_ratio, drops) in enumerate(
            zip(v.dims, v.num_heads, v.mlp_ratios, v.sr_ratios, rates, strict=True), 1
        ):
            own = functools.partial(SpatialReductionAttention, num_heads=heads, sr_ratio=sr_ratio, linear=v.linear)
            attend = functools.partial(attention_layer, attention, own=own, num_heads=heads, head_dim=head_dim)
            if stage > 1:
                x = patch_embed(x, dim, kernel_size=3, strides=2, name=f"stage{stage}_embed")
            for number, rate in enumerate(drops):
                name = f"stage{stage}_block{number}"
                x = block(x, dim, mlp_ratio, rate, attend, relu=v.linear, name=name)
            x = mark_level(layer_norm(1e-6, f"stage{stage}_norm")(x), stage + 1)
        return x

    return application(body, FAMILY, f"pvt_v2_{variant}", **options)


def patch_embed(x, dim, kernel_size, strides, *, name):
    """[B, H, W, C] -> [B, ceil(H / s), ceil(W / s), dim]: windows that overlap, padded as torch does, and a norm."""
    x = keras.layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x)
    x = keras.layers.Conv2D(dim, kernel_size, strides, kernel_initializer=conv_initializer(), name=name)(x)
    return layer_norm(1e-5, f"{name}_norm")(x)


def block(x, dim, mlp_ratio, drop_path_rate, attend, relu, *, name):
    """x += Attention(LN(x)); x += MLP(LN(x)) on a map; the MLP with a 3x3 depthwise convolution before its GELU, in
    "b2_li" behind a ReLU."""
    y = layer_norm(1e-6, f"{name}_norm1")(x)
    y = attend(dim, name=f"{name}_attention")(y)
    y = drop_path(y, drop_path_rate, name=f"{name}_drop_path1")
    x = keras.layers.Add(name=f"{name}_add1")([x, y])
    y = layer_norm(1e-6, f"{name}_norm2")(x)
    y = keras.layers.Conv2D(
        mlp_ratio * dim,
        1,
        activation="relu" if relu else None,
        kernel_initializer=linear_initializer(dim),
        name=f"{name}_fc1",
    )(y)
    y = keras.layers.DepthwiseConv2D(
        3, padding="same", depthwise_initializer=conv_initializer(), name=f"{name}_depthwise"
    )(y)
    y = Gelu(name=f"{name}_act")(y)
    y = keras.layers.Conv2D(dim, 1, kernel_initializer=linear_initializer(mlp_ratio * dim), name=f"{name}_fc2")(y)
    y = drop_path(y, drop_path_rate, name=f"{name}_drop_path2")
    return keras.layers.Add(name=f"{name}_add2")([x, y])


def layer_norm(epsilon, name):
    """Layer norm over the channels of a pixel."""
    return LayerNormalization(epsilon=epsilon, name=name)
