"""Patches and heads at rank 4.

MobileViT unfolds a map into patches of p x p pixels and lets each of the P = p * p pixel positions attend over the N
patches by itself. The papers write that as a rank-5 or rank-6 unfolding, which the GPU delegate refuses. Here a map
stays a map, and `space_to_depth` brings the P positions of a patch side by side in the channels: channel position * C +
c.
"""

import tensorflow as tf

from keras_mobattn.errors import expect_range

MOST = 2**15  # pixels of a patch's side: beyond what int32 squares, TensorFlow ends in a SystemError


def to_patches(x: tf.Tensor, patch_size: int) -> tf.Tensor:
    """[B, H, W, C] -> [B, H/p, W/p, P*C]."""
    expect_range("patch_size", patch_size, 1, MOST, whole=True)
    return tf.nn.space_to_depth(x, patch_size) if patch_size > 1 else x


def from_patches(x: tf.Tensor, patch_size: int) -> tf.Tensor:
    """[B, H/p, W/p, P*C] -> [B, H, W, C]."""
    expect_range("patch_size", patch_size, 1, MOST, whole=True)
    return tf.nn.depth_to_space(x, patch_size) if patch_size > 1 else x


def map_size(x: tf.Tensor) -> list[int | tf.Tensor]:
    """Height and width of [B, H, W, C]: numbers where they are known, scalar tensors where not."""
    dynamic = tf.shape(x)
    return [dynamic[i] if x.shape[i] is None else x.shape[i] for i in (1, 2)]


def to_heads(x: tf.Tensor, num_heads: int, patch_size: int) -> tf.Tensor:
    """[B, H, W, C] -> [B*P, num_heads, d, N]: tokens last.

    Channels before tokens is Core ML's own layout, where transposes then cancel. K V^T needs no transposed operand on
    the left, for which TFLite would add a TRANSPOSE; and a softmax over tokens runs along the last axis.
    """
    channels = x.shape[-1]
    x = to_patches(x, patch_size)  # [B, H/p, W/p, P*C]
    height, width = map_size(x)
    x = tf.transpose(x, (0, 3, 1, 2))  # [B, P*C, H/p, W/p]
    # Where the batch is known, reshape finds the number of tokens: a package for several sizes then needs no arithmetic
    # on shapes here.
    groups, tokens = (-1, height * width) if x.shape[0] is None else (x.shape[0] * patch_size**2, -1)
    return tf.reshape(x, (groups, num_heads, channels // num_heads, tokens))


def num_tokens(x: tf.Tensor) -> int | tf.Tensor:
    """N of [B*P, num_heads, d, N], as a number or scalar of x's dtype."""
    return tf.cast(tf.shape(x)[3], x.dtype) if x.shape[3] is None else x.shape[3]


def from_heads(x: tf.Tensor, like: tf.Tensor, patch_size: int) -> tf.Tensor:
    """[B*P, num_heads, d, N] -> [B, H, W, C], with H and W those of the map `like`."""
    height, width = (side // patch_size for side in map_size(like))
    channels = x.shape[1] * x.shape[2] * patch_size**2
    x = tf.reshape(x, (-1, channels, height, width))  # [B, P*C, H/p, W/p]
    return from_patches(tf.transpose(x, (0, 2, 3, 1)), patch_size)
