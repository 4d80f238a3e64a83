"""Multi-head softmax attention (Vaswani et al., arXiv:1706.03762), the only style whose cost grows with N squared."""

import tensorflow as tf
import tf_keras as keras

from keras_mobattn.attention.base import HeadwiseAttention


def softmax_attention(query, key, value):
    """softmax(Q K^T / sqrt(d)) V. All [G, h, d, N]; cost N^2 D."""
    scale = query.shape[2] ** -0.5
    scores = tf.matmul(query * scale, key, transpose_a=True)  # [G, h, N, N]
    return tf.matmul(value, tf.nn.softmax(scores), transpose_b=True)  # [G, h, d, N]


@keras.saving.register_keras_serializable(package="keras_mobattn")
class SoftmaxAttention(HeadwiseAttention):
    """Multi-head self-attention (Vaswani et al., NeurIPS 2017, arXiv:1706.03762).

    See `softmax_attention` for the formula and `HeadwiseAttention` for shapes and heads.
    """

    def mix(self, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        return softmax_attention(query, key, value)
