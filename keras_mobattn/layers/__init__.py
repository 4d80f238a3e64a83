"""Layers and tensor functions that know nothing of attention or of any model."""

import keras_mobattn._tensorflow  # noqa: F401  first: quietly
from keras_mobattn.layers.activation import Gelu, Swish
from keras_mobattn.layers.conv import (
    conv_initializer,
    conv_norm_act,
    inverted_residual,
    linear_initializer,
    make_divisible,
    torch_initializer,
)
from keras_mobattn.layers.dropout import Dropout, DropPath, SpatialDropout, drop_path, drop_path_rates
from keras_mobattn.layers.halving import HalvingConv
from keras_mobattn.layers.input_range import ImageRange, InputRange
from keras_mobattn.layers.levels import JoinLevels
from keras_mobattn.layers.norm import GroupNorm1, LayerNormalization, l2_normalize
from keras_mobattn.layers.patches import from_heads, from_patches, map_size, num_tokens, to_heads, to_patches
from keras_mobattn.layers.pool import AdaptiveMean
from keras_mobattn.layers.precision import HALF, at_least_float32, global_policy, saturate
from keras_mobattn.layers.resize import Resize, ResizeLike, resample, resample_to, resize_bilinear
from keras_mobattn.layers.scale import LayerScale
from keras_mobattn.layers.tokens import EmbedTokens, PadToMultiple, SplitTokens

__all__ = [
    "HALF",
    "AdaptiveMean",
    "DropPath",
    "Dropout",
    "EmbedTokens",
    "Gelu",
    "GroupNorm1",
    "HalvingConv",
    "ImageRange",
    "InputRange",
    "JoinLevels",
    "LayerNormalization",
    "LayerScale",
    "PadToMultiple",
    "Resize",
    "ResizeLike",
    "SpatialDropout",
    "SplitTokens",
    "Swish",
    "at_least_float32",
    "conv_initializer",
    "conv_norm_act",
    "drop_path",
    "drop_path_rates",
    "from_heads",
    "from_patches",
    "global_policy",
    "inverted_residual",
    "l2_normalize",
    "linear_initializer",
    "make_divisible",
    "map_size",
    "num_tokens",
    "resample",
    "resample_to",
    "resize_bilinear",
    "saturate",
    "to_heads",
    "to_patches",
    "torch_initializer",
]
