"""Linear attention by a kernel: phi(Q) (phi(K)^T V), normalised. The styles differ in phi and in the normaliser.

All functions take and return [G, h, d, N]; cost N D d.
"""

import tensorflow as tf
import tf_keras as keras

from keras_mobattn.attention.base import HeadwiseAttention
from keras_mobattn.attention.multiply_heads import multiply_heads
from keras_mobattn.layers import num_tokens

FEATURES, TOKENS = 2, 3  # axes of [G, h, d, N]
LEAST = 2.0**-14  # the smallest normal number of float16


def kernel_attention(query, key, value, epsilon, factor=1):
    """Q (K^T V) / (Q sum_N K + epsilon), for Q and K that are not negative.

    Float16 may leave 0 of Q and of the epsilon: a divisor below LEAST becomes LEAST. Q is not divided before the
    product, which would be smaller: where the keys are nearly 0 that quotient is infinite. With a `factor` the divisor
    is computed that many times as large as the products, for an epsilon that float16 holds beside products that it
    holds.
    """
    sums = tf.reduce_sum(key, TOKENS, keepdims=True) * factor
    divisor = tf.maximum(tf.reduce_sum(query * sums, FEATURES, keepdims=True) + epsilon * factor, LEAST)  # [G, h, 1, N]
    return multiply_heads(value, key, query) / divisor * factor


def linear_attention(query, key, value):
    """phi = elu + 1; epsilon as in idiap/fast-transformers. K is divided by sqrt(N), as in `relu_linear_attention`."""
    scale = num_tokens(key) ** -0.5
    return kernel_attention(tf.nn.elu(query) + 1, (tf.nn.elu(key) + 1) * scale, value, epsilon=1e-6 * scale)


def relu_linear_attention(query, key, value):
    """phi = relu. The paper appends a column of ones to V and divides by the last column; the sum is the same.

    K is divided by sqrt(N), and so is the epsilon: the quotient stays, and float16 holds K^T V and sum_N K.
    """
    scale = num_tokens(key) ** -0.5
    return kernel_attention(tf.nn.relu(query), tf.nn.relu(key * scale), value, epsilon=1e-5 * scale)


def efficient_attention(query, key, value):
    """softmax_d(Q) (softmax_N(K)^T V)."""
    query = tf.exp(query - tf.reduce_max(query, FEATURES, keepdims=True))  # tf.nn.softmax on this axis would transpose
    query = query / tf.reduce_sum(query, FEATURES, keepdims=True)
    return multiply_heads(value, tf.nn.softmax(key), query)


@keras.saving.register_keras_serializable(package="keras_mobattn")
class LinearAttention(HeadwiseAttention):
    """Linear attention of Katharopoulos et al. (ICML 2020, arXiv:2006.16236). See `linear_attention`."""

    def mix(self, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        return linear_attention(query, key, value)


@keras.saving.register_keras_serializable(package="keras_mobattn")
class ReluLinearAttention(HeadwiseAttention):
    """ReLU linear attention of EfficientViT (Cai et al., ICCV 2023, arXiv:2205.14756). See `relu_linear_attention`."""

    def mix(self, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        return relu_linear_attention(query, key, value)


@keras.saving.register_keras_serializable(package="keras_mobattn")
class EfficientAttention(HeadwiseAttention):
    """Efficient attention of Shen et al. (WACV 2021, arXiv:1812.01243). See `efficient_attention`."""

    def mix(self, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        return efficient_attention(query, key, value)
