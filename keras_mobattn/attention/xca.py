"""Cross-covariance attention of XCiT (El-Nouby et al., NeurIPS 2021, arXiv:2106.09681): channels attend, not tokens."""

from collections.abc import Sequence

import tensorflow as tf
import tf_keras as keras

from keras_mobattn.attention.base import HeadwiseAttention
from keras_mobattn.layers import l2_normalize

TOKENS = 3  # axis of [G, h, d, N]


def cross_covariance_attention(query, key, value, temperature):
    """softmax_j(tau q^_i . k^_j) v_j over channels i, j of a head, with q^ and k^ L2-normalised over the tokens.

    All [G, h, d, N], temperature tau [h, 1, 1]; cost N D d.
    """
    query, key = l2_normalize(query, TOKENS), l2_normalize(key, TOKENS)
    scores = tf.matmul(query, key, transpose_b=True) * temperature  # [G, h, d, d]
    return tf.matmul(tf.nn.softmax(scores), value)


@keras.saving.register_keras_serializable(package="keras_mobattn")
class CrossCovarianceAttention(HeadwiseAttention):
    """Cross-covariance attention of XCiT (El-Nouby et al., NeurIPS 2021, arXiv:2106.09681).

    `cross_covariance_attention` with a learned temperature [h, 1, 1] that starts at 1, as in facebookresearch/xcit.
    """

    def build(self, input_shape: tf.TensorShape | Sequence[int | None]) -> None:
        self.temperature = self.add_weight(name="temperature", shape=(self.num_heads, 1, 1), initializer="ones")
        super().build(input_shape)

    def mix(self, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        return cross_covariance_attention(query, key, value, tf.cast(self.temperature, query.dtype))
