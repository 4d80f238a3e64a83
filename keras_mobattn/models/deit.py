"""DeiT (Touvron et al., "Training data-efficient image transformers & distillation through attention", ICML 2021,
arXiv:2012.12877).

Reference code: timm (`deit.py`, `vision_transformer.py`) and facebookresearch/deit. Layer names are a contract: weights
and pyramids hang on them.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Unpack

import tf_keras as keras

from keras_mobattn.attention import SoftmaxAttention, attention_layer
from keras_mobattn.errors import choose
from keras_mobattn.families.deit import FAMILY
from keras_mobattn.layers import (
    EmbedTokens,
    Gelu,
    LayerNormalization,
    PadToMultiple,
    SplitTokens,
    drop_path,
    drop_path_rates,
    linear_initializer,
    torch_initializer,
)
from keras_mobattn.models.application import Options, application, application_model

PATCH_SIZE = 16
NATIVE_GRID = 14  # patches a side at 224 pixels: what the positions are made for where the input's size is open
MLP_RATIO = 4


@dataclasses.dataclass(frozen=True)
class Variant:
    """Table 1 of the paper; "nano" is ours, for a study on two cores."""

    dim: int
    num_heads: int
    depth: int = 12


VARIANTS = {
    "tiny": Variant(192, 3),
    "small": Variant(384, 6),
    "base": Variant(768, 12),
    "nano": Variant(96, 3, depth=4),
    "test": Variant(32, 2, depth=2),
}


@application_model
def DeiT(  # noqa: N802  the paper's spelling
    variant: str = "small",
    distilled: bool = False,
    attention: str | Callable[..., keras.layers.Layer] = "softmax",
    drop_path_rate: float = 0.0,
    head_dim: int | None = None,
    **options: Unpack[Options],
) -> keras.Model:
    """Build DeiT "tiny", "small" or "base" ("nano", "test": small ones of ours) with any attention.

    With `distilled` there are a distillation token and a head for it, "predictions_dist", which learns from a teacher;
    the output is the softmax of the two heads' mean logits. `drop_path_rate` is the last block's in training and falls
    linearly to 0 at the first (the paper trains with 0.1). The other arguments are those of keras.applications, see
    `application`.

    Attention: `attention` is a name of `keras_mobattn.attention.ATTENTIONS`, "own" (softmax), a class, or a callable
    `dim -> layer`. It replaces the whole multi-head attention of each block; class and distillation tokens, positions,
    norms and MLPs stay. All tokens attend, those before the patches too. A block's attention has 4 C^2 + 4 C parameters
    in all styles but separable (three projections instead of four) and additive, xca and focused (slightly more). Every
    style but softmax is linear in tokens. focused sees the tokens as a sequence: its convolution joins five in a row,
    not a 5x5 window.

    `head_dim` is the width of a head: by default 64, DeiT's own, and 8 for Mobile-Attention, whose cost grows with it.
    8 divides every width here.

    Input: RGB, 0..255 with include_preprocessing, else ImageNet's normalisation (`preprocess_input`). Any size from
    32x32: sides that 16 does not divide are padded with zeros below and to the right, and the positions of weights for
    another size are resampled when they are loaded (bicubic, antialiased), both as in timm. The pyramid is P4 alone,
    the patches behind the last norm; without a head these are the output.

    Raises:
        InputError: an unknown variant or attention, or a bad keras.applications argument.
    """
    v = choose(VARIANTS, variant, "DeiT variant")
    (rates,) = drop_path_rates(drop_path_rate, (v.depth,))
    attend = functools.partial(
        attention_layer, attention, own=SoftmaxAttention, num_heads=v.num_heads, head_dim=head_dim
    )

    def body(image):
        image = PadToMultiple(PATCH_SIZE, name="pad")(image)
        patches = keras.layers.Conv2D(
            v.dim, PATCH_SIZE, PATCH_SIZE, kernel_initializer=torch_initializer(), name="patch_embed"
        )(image)  # [B, h, w, C]
        grid = [side or NATIVE_GRID for side in patches.shape[1:3]]
        x = EmbedTokens(grid, distilled, name="embedding")(patches)  # [B, N, 1, C]
        for number, rate in enumerate(rates):
            x = block(x, v.dim, rate, attend, name=f"block{number}")
        x = layer_norm("norm")(x)
        patches, *tokens = SplitTokens(1 + distilled, name="P4")([x, patches])
        return patches, tokens

    name = f"deit_{variant}_distilled" if distilled else f"deit_{variant}"
    return application(body, FAMILY, name, **options)


def block(x, dim, drop_path_rate, attend, *, name):
    """x += Attention(LN(x)); x += MLP(LN(x)), on tokens [B, N, 1, C]; the MLP 4 C wide with GELU."""
    y = layer_norm(f"{name}_norm1")(x)
    y = attend(dim, name=f"{name}_attention")(y)
    y = drop_path(y, drop_path_rate, name=f"{name}_drop_path1")
    x = keras.layers.Add(name=f"{name}_add1")([x, y])
    y = layer_norm(f"{name}_norm2")(x)
    y = keras.layers.Conv2D(MLP_RATIO * dim, 1, kernel_initializer=linear_initializer(dim), name=f"{name}_fc1")(y)
    y = Gelu(name=f"{name}_act")(y)
    y = keras.layers.Conv2D(dim, 1, kernel_initializer=linear_initializer(MLP_RATIO * dim), name=f"{name}_fc2")(y)
    y = drop_path(y, drop_path_rate, name=f"{name}_drop_path2")
    return keras.layers.Add(name=f"{name}_add2")([x, y])


def layer_norm(name):
    """Layer norm over the channels of a token."""
    return LayerNormalization(epsilon=1e-6, name=name)
