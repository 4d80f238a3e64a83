"""Additive and hydra attention: without heads, they sum over tokens channel by channel, and so never leave the map."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from keras_mobattn.attention.base import Attention
from keras_mobattn.layers import at_least_float32, from_patches, l2_normalize, saturate, to_patches

MAP = (1, 2)  # the axes of the tokens in [B, H/p, W/p, P*C]


@keras.saving.register_keras_serializable(package="keras_mobattn")
class AdditiveAttention(Attention):
    """Efficient additive attention of SwiftFormer (Shaker et al., ICCV 2023, arXiv:2303.15446). Cost N C.

    q, k = L2-normalised x W_q, x W_k;  a = L2norm_N(q w_g / sqrt(C));  g = sum_N a q;  y = (proj(g * k) + q) W_out.
    Names in the official code: query `to_query`, key `to_key`, score `w_g`, proj `Proj`, out `final`.
    """

    def __init__(self, dim: int, **kwargs: Any) -> None:
        super().__init__(dim, **kwargs)
        self.query = self.projection(dim, "query")
        self.key = self.projection(dim, "key")
        self.score = self.projection(1, "score", stddev=1.0, use_bias=False)
        self.proj = self.projection(dim, "proj")
        self.out = self.projection(dim, "out")

    def attend(self, x: tf.Tensor) -> tf.Tensor:
        p = self.patch_size
        query, key = (l2_normalize(at_least_float32(project(x)), -1) for project in (self.query, self.key))
        scores = at_least_float32(self.score(saturate(query, x.dtype))) * self.dim**-0.5  # [B, H, W, 1]
        scores = from_patches(l2_normalize(to_patches(scores, p), MAP, small=1), p)  # of unit vectors: small as it is
        context = tf.reduce_sum(to_patches(scores * query, p), MAP, keepdims=True)  # [B, 1, 1, P*C]
        mixed = from_patches(to_patches(key, p) * context, p)  # [B, H, W, C]
        return self.out(self.proj(saturate(mixed, x.dtype)) + saturate(query, x.dtype))


@keras.saving.register_keras_serializable(package="keras_mobattn")
class HydraAttention(Attention):
    """Hydra attention: as many heads as channels (Bolya et al., arXiv:2209.07484). Cost N C.

    y = (q^ * sum_N (k^ * v)) W_O, with q^ and k^ normalised over the channels of a token (the cosine kernel).
    """

    def __init__(self, dim: int, **kwargs: Any) -> None:
        super().__init__(dim, **kwargs)
        self.query = self.projection(dim, "query")
        self.key = self.projection(dim, "key")
        self.value = self.projection(dim, "value")
        self.out = self.projection(dim, "out")

    def attend(self, x: tf.Tensor) -> tf.Tensor:
        p = self.patch_size
        query, key, value = (at_least_float32(project(x)) for project in (self.query, self.key, self.value))
        query, key = l2_normalize(query, -1), l2_normalize(key, -1)
        context = tf.reduce_sum(to_patches(key * value, p), MAP, keepdims=True)  # [B, 1, 1, P*C]
        y = from_patches(to_patches(query, p) * context, p)  # [B, H, W, C]
        return self.out(saturate(y, x.dtype))
