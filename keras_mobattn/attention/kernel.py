"""Linear attention by a kernel: phi(Q) (phi(K)^T V), normalised. The styles differ in phi and in the normaliser.

All functions take and return [G, h, d, N]; cost N D d.
"""

import tensorflow as tf
import tf_keras as keras

from keras_mobattn.attention.base import HeadwiseAttention
from keras_mobattn.attention.multiply_heads import multiply_heads

FEATURES, TOKENS = 2, 3  # axes of [G, h, d, N]


def kernel_attention(query, key, value, epsilon):
    """Q (K^T V) / (Q sum_N K + epsilon), for Q and K that are not negative."""
    normalizer = tf.reduce_sum(
        query * tf.reduce_sum(key, TOKENS, keepdims=True), FEATURES, keepdims=True
    )  # [G, h, 1, N]
    return multiply_heads(value, key, query) / (normalizer + epsilon)


def linear_attention(query, key, value):
    """phi = elu + 1; epsilon as in idiap/fast-transformers."""
    return kernel_attention(tf.nn.elu(query) + 1, tf.nn.elu(key) + 1, value, epsilon=1e-6)


def relu_linear_attention(query, key, value):
    """phi = relu. The paper appends a column of ones to V and divides by the last column; the sum is the same."""
    return kernel_attention(tf.nn.relu(query), tf.nn.relu(key), value, epsilon=1e-5)


def efficient_attention(query, key, value):
    """softmax_d(Q) (softmax_N(K)^T V)."""
    query = tf.exp(query - tf.reduce_max(query, FEATURES, keepdims=True))  # tf.nn.softmax on this axis would transpose
    query = query / tf.reduce_sum(query, FEATURES, keepdims=True)
    return multiply_heads(value, tf.nn.softmax(key), query)


@keras.saving.register_keras_serializable(package="keras_mobattn")
class LinearAttention(HeadwiseAttention):
    """Linear attention of Katharopoulos et al. (ICML 2020, arXiv:2006.16236). See `linear_attention`."""

    def mix(self, query, key, value):
        return linear_attention(query, key, value)


@keras.saving.register_keras_serializable(package="keras_mobattn")
class ReluLinearAttention(HeadwiseAttention):
    """ReLU linear attention of EfficientViT (Cai et al., ICCV 2023, arXiv:2205.14756). See `relu_linear_attention`."""

    def mix(self, query, key, value):
        return relu_linear_attention(query, key, value)


@keras.saving.register_keras_serializable(package="keras_mobattn")
class EfficientAttention(HeadwiseAttention):
    """Efficient attention of Shen et al. (WACV 2021, arXiv:1812.01243). See `efficient_attention`."""

    def mix(self, query, key, value):
        return efficient_attention(query, key, value)
