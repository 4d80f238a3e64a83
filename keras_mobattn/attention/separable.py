"""Separable self-attention of MobileViTv2 (Mehta and Rastegari, arXiv:2206.02680)."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from keras_mobattn.attention.base import Attention
from keras_mobattn.layers import at_least_float32, from_patches, saturate, to_patches


@keras.saving.register_keras_serializable(package="keras_mobattn")
class SeparableAttention(Attention):
    """Separable self-attention of MobileViTv2 (Mehta and Rastegari, arXiv:2206.02680).

    y = (relu(x W_V) * c) W_O, with c = sum_N s * (x W_K) and s = softmax_N(x W_I), W_I of shape [C, 1]. Cost N C.

    Names in the paper: query = W_I (the latent token's branch), key = W_K, value = W_V, out = W_O, each with bias.
    Apple's and timm's code hold the first three as one `qkv_proj` of 1 + 2C rows in this order.

    Everything stays a map: only the softmax and the sum over tokens need the patch positions apart, and for these
    `space_to_depth` is enough. Unfolding to tokens would cost Core ML a dozen transposes for each block.
    """

    def __init__(self, dim: int, **kwargs: Any) -> None:
        super().__init__(dim, **kwargs)
        self.query = self.projection(1, "query")
        self.key = self.projection(dim, "key")
        self.value = self.projection(dim, "value")
        self.out = self.projection(dim, "out", wide=True)

    def attend(self, x: tf.Tensor) -> tf.Tensor:
        p = self.patch_size
        query, key, value = (at_least_float32(project(x)) for project in (self.query, self.key, self.value))
        scores = to_patches(query, p)  # [B, H/p, W/p, P]
        if scores.shape[1:3] == (1, 1):
            # Of one token (64 pixels in layer 5) the softmax is 1. The converter would leave s - s of it, and the GPU
            # refuses an operator with the same input twice.
            scores = 0 * scores + 1
        else:
            # A maximum for each position: one for all gave NaN.
            scores = tf.exp(scores - tf.reduce_max(scores, (1, 2), keepdims=True))
            scores = scores / tf.reduce_sum(scores, (1, 2), keepdims=True)
        weighted = to_patches(from_patches(scores, p) * key, p)  # [B, H/p, W/p, P*C]
        context = tf.reduce_sum(weighted, (1, 2), keepdims=True)  # [B, 1, 1, P*C]
        y = from_patches(to_patches(tf.nn.relu(value), p) * context, p)  # [B, H, W, C]
        return saturate(self.out(y), x.dtype)
