"""EfficientFormerV2 (Li et al., "Rethinking Vision Transformers for MobileNet Size and Speed", ICCV 2023,
arXiv:2212.08059).

Reference code: snap-research/EfficientFormer and timm (`efficientformer_v2.py`). Layer names are a contract: weights
and pyramids hang on them.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Unpack

import tf_keras as keras

from keras_mobattn.attention import OWN, TalkingHeadAttention, attention_layer
from keras_mobattn.errors import InputError, choose
from keras_mobattn.families.efficientformerv2 import FAMILY
from keras_mobattn.layers import (
    Gelu,
    HalvingConv,
    LayerScale,
    ResizeLike,
    conv_norm_act,
    drop_path,
    drop_path_rates,
)
from keras_mobattn.models.application import Options, application, application_model
from keras_mobattn.models.pyramid import mark_level
from keras_mobattn.models.top import Top

NATIVE_SIDE = 224  # the published weights'; position biases of a model for any size are made for it
VALUE_RATIO = 4  # a head's values are so many times as wide as its queries and keys
EMBEDDING_KEYS = 2  # the keys of the attention that halves the map are this many times narrower


@dataclasses.dataclass(frozen=True)
class Variant:
    """Channels and MLP ratios of stages 1 to 4, as in snap-research's and timm's tables (supplement of the paper)."""

    dims: tuple[int, ...]
    ratios: tuple[tuple[int, ...], ...]  # one for each block: a stage is as deep as it has ratios
    attentions: int  # blocks with attention, the last ones of stage 3 and of stage 4
    drop_path_rate: float = 0.0
    num_heads: int = 8
    key_dim: int = 32  # of each head

    @property
    def depths(self):
        return tuple(map(len, self.ratios))


VARIANTS = {
    "s0": Variant((32, 48, 96, 176), (2 * (4,), 2 * (4,), (4, 3, 3, 3, 4, 4), (4, 3, 3, 4)), attentions=2),
    "s1": Variant(
        (32, 48, 120, 224), (3 * (4,), 3 * (4,), (4, 4, 3, 3, 3, 3, 4, 4, 4), (4, 4, 3, 3, 4, 4)), attentions=2
    ),
    "s2": Variant(
        (32, 64, 144, 288),
        (4 * (4,), 4 * (4,), (4, 4, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4), (4, 4, 3, 3, 3, 3, 4, 4)),
        attentions=4,
        drop_path_rate=0.02,
    ),
    "l": Variant(
        (40, 80, 192, 384),
        (5 * (4,), 5 * (4,), (4, 4, 4, 4, 3, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4), (4, 4, 4, 3, 3, 3, 3, 4, 4, 4)),
        attentions=6,
        drop_path_rate=0.1,
    ),
    # Ours: for tests, and for comparing attentions on two cores.
    "test": Variant((8, 16, 24, 32), ((2,), (2,), (2,), (2,)), attentions=1, num_heads=4, key_dim=8),
    "nano": Variant((16, 24, 48, 56), ((4,), (4,), (4, 3), (3, 4)), attentions=1, key_dim=16),
}


@application_model
def EfficientFormerV2(  # noqa: N802  the paper's spelling
    variant: str = "s0",
    attention: str | Callable[..., keras.layers.Layer] = OWN,
    drop_path_rate: float | None = None,
    head_dim: int | None = None,
    **options: Unpack[Options],
) -> keras.Model:
    """Build EfficientFormerV2 "s0", "s1", "s2" or "l" with its own attention or any other.

    Variant "nano" is a small one of ours, "test" a tiny one for tests. `drop_path_rate` is the last block's in training
    and falls linearly to 0 at the first, see `keras_mobattn.layers.DropPath`; None is the published variant's. The
    other arguments are those of keras.applications, see `application`. The two heads `predictions` and
    `predictions_dist` (distilled from a teacher) are averaged.

    `attention` "own" is softmax attention with talking heads and position biases (`TalkingHeadAttention`), in the last
    blocks of stages 3 and 4 and, without talking heads, in the embedding that halves the map before stage 4. A name of
    `keras_mobattn.attention.ATTENTIONS`, a class, or a callable `dim -> layer` replaces exactly this: the projections
    to queries, keys and values, the position biases, the talking heads and the softmax. In their place stand a 1x1
    convolution with batch norm to a width E and an attention layer of that width. What stays:

    - stage 3's convolution to half the size before it and the bilinear resize after it, which make the projections
      cheaper;
    - the local branch, a 3x3 depthwise convolution with batch norm that is added to the attention's result: of the
      values in the own attention, now of the map of width E;
    - GELU and the 1x1 projection back with batch norm, the layer scales, the MLPs and all other convolutions;
    - the embedding's branch of a strided convolution. The own attention there has a query for every second key;
      another one gets the map halved, by the layer that halves the queries, with as many keys as queries.

    `expanded_width` chooses E, a multiple of 16, so that the model keeps about as many parameters and head_dim 2, 8 and
    16 fit everywhere. With any style but "softmax" the cost is linear in pixels.

    `head_dim` is for styles with heads. None means 8 for "mobile", and for the others as many heads as the own
    attention has: 8.

    Input: RGB, 0..255 with include_preprocessing, else normalised with ImageNet's mean and std. Any size from 32x32;
    position biases are made for the size of input_shape (for 224x224 where it is open), and resized for any other, see
    `keras_mobattn.attention.TalkingHeadAttention`.

    Raises:
        InputError: an unknown variant or attention, head_dim with a style without heads, or a bad keras.applications
            argument.
    """
    v = choose(VARIANTS, variant, "EfficientFormerV2 variant")
    if attention == OWN and head_dim is not None:
        raise InputError(
            f"Expected head_dim to be None with attention='own', which has heads of its own. Received: {head_dim!r}."
        )
    rates = drop_path_rates(v.drop_path_rate if drop_path_rate is None else drop_path_rate, v.depths)
    # "own" among the names only: it is more than a layer.
    other = functools.partial(
        attention_layer, attention, own=TalkingHeadAttention, num_heads=v.num_heads, head_dim=head_dim
    )
    mix = functools.partial(token_mixer, variant=v, other=None if attention == OWN else other)

    def body(x):
        x = conv_norm_act(x, v.dims[0] // 2, 3, strides=2, use_bias=True, act=Gelu, name="stem1")
        x = conv_norm_act(x, v.dims[0], 3, strides=2, use_bias=True, act=Gelu, name="stem2")
        for stage, (dim, ratios, drops) in enumerate(zip(v.dims, v.ratios, rates, strict=True), start=1):
            if stage > 1:
                x = embedding(x, dim, mix if stage == 4 else None, name=f"stage{stage}_embed")
            attentions = range(len(ratios) - v.attentions, len(ratios)) if stage > 2 else ()
            for block, (ratio, drop) in enumerate(zip(ratios, drops, strict=True)):
                name = f"stage{stage}_block{block}"
                if block in attentions:
                    x = attention_unit(x, mix, drop, halved=stage == 3, name=name)
                x = mlp_unit(x, ratio, drop, name=name)
            if stage < 4:
                x = mark_level(x, stage + 1)
        return mark_level(keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name="norm")(x), 5)

    return application(body, FAMILY, f"efficientformerv2_{variant}", Top(heads=2), **options)


def mlp_unit(x, ratio, drop_path_rate, *, name):
    """x += LayerScale(MLP(x)), [B, H, W, C]: 1x1 to `ratio` C, 3x3 depthwise, 1x1 back, GELU after the first two."""
    dim = x.shape[-1]
    y = conv_norm_act(x, ratio * dim, 1, use_bias=True, act=Gelu, name=f"{name}_expand")
    y = conv_norm_act(y, ratio * dim, 3, depthwise=True, use_bias=True, act=Gelu, name=f"{name}_depthwise")
    y = conv_norm_act(y, dim, 1, use_bias=True, act=None, name=f"{name}_project")
    return add_branch(x, y, drop_path_rate, name=f"{name}_mlp")


def attention_unit(x, mix, drop_path_rate, *, halved, name):
    """x += LayerScale(Attention(x)), [B, H, W, C]; `halved`: it attends over the map of half the size."""
    y = x
    if halved:
        y = conv_norm_act(y, None, 3, strides=2, depthwise=True, use_bias=True, act=None, name=f"{name}_mixer_halving")
    y = mix(y, y, x.shape[-1], like=x, name=name)
    return add_branch(x, y, drop_path_rate, name=f"{name}_mixer")


def add_branch(x, y, drop_path_rate, *, name):
    """x + LayerScale(y), where training drops y at that rate."""
    y = LayerScale(name=f"{name}_scale")(y)
    y = drop_path(y, drop_path_rate, name=f"{name}_drop_path")
    return keras.layers.Add(name=f"{name}_add")([x, y])


def embedding(x, dim, mix, *, name):
    """[B, H, W, C] -> [B, ceil(H/2), ceil(W/2), dim]: a 3x3 convolution, and with `mix` an attention beside it."""
    y = conv_norm_act(x, dim, 3, strides=2, use_bias=True, act=None, name=name)
    if mix is None:
        return y
    halved = HalvingConv(name=f"{name}_mixer_halving")(x)
    return keras.layers.Add(name=f"{name}_add")([y, mix(x, halved, dim, like=halved, name=name)])


def token_mixer(x, queries, out, *, like, variant, other, name):
    """Attention of the map `queries`, x or x at half the size, over the map x, with its local branch; GELU; projection.

    Shapes: x [B, H, W, C], queries [B, h, w, C] -> [B, *(the size of the map `like`), out]. `other` makes the attention
    layer that replaces the own one; None: the own.
    """
    halving = queries is not x
    key_dim = variant.key_dim // (EMBEDDING_KEYS if halving else 1)
    if other is None:
        y = own_attention(x, queries, variant.num_heads, key_dim, halving, name=f"{name}_attention")
    else:
        width = expanded_width(x.shape[-1], out, variant.num_heads * key_dim)
        y = other_attention(queries, width, other, name=f"{name}_attention")
    y = ResizeLike(name=f"{name}_mixer_resize")([y, like])  # to twice the size in stage 3, but for odd maps
    y = Gelu(name=f"{name}_mixer_gelu")(y)
    return conv_norm_act(y, out, 1, use_bias=True, act=None, name=f"{name}_attention_project")


def own_attention(x, queries, heads, key_dim, halving, *, name):
    """The own attention and its local branch: x [B, H, W, C], queries [B, h, w, C] -> [B, h, w, heads * 4 key_dim]."""
    query, key, value = (
        conv_norm_act(source, heads * dim, 1, use_bias=True, act=None, name=f"{name}_{part}")
        for source, dim, part in (
            (queries, key_dim, "query"),
            (x, key_dim, "key"),
            (x, VALUE_RATIO * key_dim, "value"),
        )
    )
    stride = 2 if halving else 1
    local = conv_norm_act(value, None, 3, strides=stride, depthwise=True, use_bias=True, act=None, name=f"{name}_local")
    native = NATIVE_SIDE // 16 if halving else NATIVE_SIDE // 32
    grid = [side or native for side in x.shape[1:3]]
    attend = TalkingHeadAttention(heads, grid, stride, talking=not halving, name=name)
    return keras.layers.Add(name=f"{name}_add")([attend([query, key, value]), local])


def other_attention(x, width, make_layer, *, name):
    """Another attention, of that width, and its local branch: [B, h, w, C] -> [B, h, w, width]."""
    y = conv_norm_act(x, width, 1, use_bias=True, act=None, name=f"{name}_expand")
    local = conv_norm_act(y, None, 3, depthwise=True, use_bias=True, act=None, name=f"{name}_local")
    return keras.layers.Add(name=f"{name}_add")([make_layer(width, name=name)(y), local])


def expanded_width(dim, out, keys_width):
    """The width E of the attention that replaces the own one: the multiple of 16 that keeps the parameters best.

    The own projections have C x K twice, C x 4K and 4K x out parameters, with K = `keys_width`; an attention of width E
    has 4 E^2, and the projections to it and back (C + out) E.
    """
    own = keys_width * (dim * (2 + VALUE_RATIO) + VALUE_RATIO * out)
    width = (math.sqrt((dim + out) ** 2 + 16 * own) - dim - out) / 8
    return 16 * max(1, round(width / 16))
