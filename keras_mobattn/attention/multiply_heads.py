"""The product that every attention of linear cost ends in: (V K^T) Q, head by head."""

import numpy as np
import tensorflow as tf

VECTOR = 16  # float32 values in a vector of AVX-512: XNNPACK pads the width of a product to it (on ARM to 8)


def multiply_heads(value, key, query):
    """V K^T Q of each head: [G, h, d, N] three times -> [G, h, d, N]. Cost N D d.

    Heads narrower than VECTOR are multiplied several at a time, two of Mobile-Attention's with d = 8; between the two
    products, what one head would give another is set to zero.
    """
    heads, d = query.shape[1:3]
    together = max(n for n in range(1, heads + 1) if heads % n == 0 and (n == 1 or n * d <= VECTOR))
    if together == 1:
        return tf.matmul(tf.matmul(value, key, transpose_b=True), query)
    tokens = query.shape[3] or tf.shape(query)[3]
    value, key, joined = (tf.reshape(x, (-1, heads // together, together * d, tokens)) for x in (value, key, query))
    own = tf.constant(np.kron(np.eye(together), np.ones((d, d))), query.dtype)  # 1 within a head, 0 between two
    context = tf.matmul(value, key, transpose_b=True) * own  # [G, h / together, together * d, together * d]
    return tf.reshape(tf.matmul(context, joined), (-1, heads, d, tokens))
