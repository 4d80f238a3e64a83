"""Focused linear attention of FLatten Transformer (Han et al., ICCV 2023, arXiv:2308.00442;
LeapLabTHU/FLatten-Transformer)."""

from collections.abc import Sequence

import tensorflow as tf
import tf_keras as keras

from keras_mobattn.attention.base import HeadwiseAttention
from keras_mobattn.attention.kernel import FEATURES, kernel_attention
from keras_mobattn.layers import (
    at_least_float32,
    from_heads,
    from_patches,
    l2_normalize,
    num_tokens,
    saturate,
    to_heads,
    to_patches,
)
from keras_mobattn.layers.norm import SMALL, reciprocal_root

UP, FACTOR = 16, 4  # their product times the epsilon of 1e-6 is a normal number of float16
CHANNELS = (1, FEATURES)  # heads and features of [G, h, d, N]: all channels of a token


def focused_attention(query, key, value):
    """Kernel attention of relu(Q) + 1e-6 and relu(K) + 1e-6 with phi(x) = |x| / |x^3| * x^3 and epsilon 1e-6.

    All [G, h, d, N]; |x| is the norm over all channels of a token. Cost N D d.
    """
    query, key = _focus(query), _focus(key)
    # K is divided by N before the products, as in the official code: sums of 1e3 * 1e3 * N stay small. Q is multiplied
    # with the epsilon, which float16 then holds: of a head that sees little, cubes leave less than that. By more than
    # UP, and products of 1e4 would have no room.
    return kernel_attention(query * UP, key / num_tokens(key), value, 1e-6 * UP, FACTOR)


def _focus(x):
    x = (tf.nn.relu(x) + 1e-6) * SMALL
    squares = tf.reduce_sum(x * x, CHANNELS, keepdims=True)
    # x / |x| before the power, so that neither 1e3^6 overflows nor 1e-6^6 vanishes; times C^(1/4) of C channels, so
    # that cubes end at C^(3/4), and are C^(-3/4) where all are equal, which float16 holds with their squares. Not x /
    # norm: where 4 does not divide the tokens the GPU fills up with zeros, and a sum over tokens then was NaN.
    unit = x * reciprocal_root(squares * (x.shape[1] * x.shape[2]) ** -0.5, SMALL**2 * 1e-12)
    return l2_normalize(unit * unit * unit, CHANNELS, small=1) * (tf.sqrt(squares) / SMALL)


@keras.saving.register_keras_serializable(package="keras_mobattn")
class FocusedAttention(HeadwiseAttention):
    """Focused linear attention of FLatten Transformer (Han et al., ICCV 2023, arXiv:2308.00442).

    `focused_attention` of Q and K divided by a learned scale, plus a 5x5 depthwise convolution of V.

    The focusing factor is 3, the power in phi. The scale is softplus(s), s [C]. The convolution (`dwc` in the official
    code: one kernel [5, 5, d, 1] with bias [d], shared by the heads and by the patch positions) sees a token's
    neighbours, so this style alone is not permutation-equivariant. Tokens [B, N, C] are a map of N x 1 to it.
    """

    def build(self, input_shape: tf.TensorShape | Sequence[int | None]) -> None:
        self.scale = self.add_weight(name="scale", shape=(self.dim,), initializer="zeros")
        self.dwc_kernel = self.add_weight(name="dwc_kernel", shape=(5, 5, self.head_dim, 1))
        self.dwc_bias = self.add_weight(name="dwc_bias", shape=(self.head_dim,), initializer="zeros")
        super().build(input_shape)

    def attend(self, x: tf.Tensor) -> tf.Tensor:
        query, key, value = (at_least_float32(project(x)) for project in (self.query, self.key, self.value))
        scale = tf.math.softplus(tf.cast(self.scale, query.dtype))
        heads = (to_heads(y, self.num_heads, self.patch_size) for y in (query / scale, key / scale, value))
        y = from_heads(self.mix(*heads), x, self.patch_size) + self.convolve_neighbours(value)  # [B, H, W, C]
        return saturate(self.out(y), x.dtype)

    def mix(self, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        return focused_attention(query, key, value)

    def convolve_neighbours(self, value: tf.Tensor) -> tf.Tensor:
        """[B, H, W, C] -> the same: each patch position by itself, each head with the same kernel."""
        copies = self.num_heads * self.patch_size**2
        kernel = tf.cast(tf.concat([self.dwc_kernel] * copies, 2), value.dtype)  # [5, 5, P*C, 1]
        bias = tf.cast(tf.concat([self.dwc_bias] * copies, 0), value.dtype)  # [P*C]
        patches = to_patches(value, self.patch_size)
        return from_patches(tf.nn.depthwise_conv2d(patches, kernel, (1, 1, 1, 1), "SAME") + bias, self.patch_size)
