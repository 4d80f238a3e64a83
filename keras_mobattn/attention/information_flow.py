"""Attention with competition by information flow: Mobile-Attention and Flow-Attention.

Both give every query an incoming and every key an outgoing flow, normalise each by the other, and let the conserved
flows decide how much a token may take (allocation) and how much it may give (competition). They differ in what
competes: Mobile-Attention sums the flows over the HEADS of one token, Flow-Attention over the TOKENS of one head.
"""

import tensorflow as tf
import tf_keras as keras

from keras_mobattn.attention.base import HeadwiseAttention
from keras_mobattn.attention.products import multiply_heads
from keras_mobattn.layers import num_tokens

EPSILON = 1e-6  # of thuml/MobileAttention and thuml/Flowformer
HEADS, TOKENS = 1, 3  # axes of [G, h, d, N]


def information_flow_attention(query, key, value, over):
    """Q, K, V [G, h, d, N] -> [G, h, d, N]; the flows are summed over the axis `over`: HEADS or TOKENS. Cost N D d.

    With phi = sigmoid on Q and K, e = EPSILON and the sums over `over` written S():
        I = 1 / sum_d (Q+e)(S(K)+e)         O = 1 / sum_d (K+e)(S(Q)+e)                   incoming, outgoing flow
        I' = sum_d (Q+e)(S(K*O)+e)          O' = clip(sum_d (K+e)(S(Q*I)+e), -1, 1)       conserved flows
        out = (Q*I) (K^T (V * softmax_N(O') * N)) * sigmoid(I')
    Names in the official code: I `sink_incoming`, O `source_outgoing`, I' `conserved_sink`, O' `conserved_source`. Its
    factor L/S on I' is 1 here, since queries and keys are the same tokens.
    """
    query, key = tf.sigmoid(query), tf.sigmoid(key)

    def flow(these, others):  # [G, h, d, N] twice -> [G, h, 1, N]
        # sum_d (X+e) T as sum_d X T + e sum_d T: an addition to X would be one more pass over memory. For 4096 tokens
        # that saves 5 % of the layer's time on XNNPACK.
        total = tf.reduce_sum(others, over, keepdims=True) + EPSILON
        return tf.reduce_sum(these * total, 2, keepdims=True) + EPSILON * tf.reduce_sum(total, 2, keepdims=True)

    query_in = query / flow(query, key)  # Q*I
    key_out = key / flow(key, query)  # K*O
    allocation = tf.sigmoid(flow(query, key_out))  # [G, h, 1, N]
    conserved_outgoing = tf.clip_by_value(flow(key, query_in), -1.0, 1.0)
    competition = tf.nn.softmax(conserved_outgoing) * num_tokens(query)  # over tokens, [G, h, 1, N]
    return multiply_heads(value * competition, key, query_in) * allocation


@keras.saving.register_keras_serializable(package="keras_mobattn")
class MobileAttention(HeadwiseAttention):
    """Mobile-Attention with head competition (Yao et al., ICML 2024; official core: thuml/MobileAttention).

    The flows are summed over the heads of one token, see `information_flow_attention`. Parameters: 4 C^2 + 4 C, as
    multi-head softmax attention. Many small heads are the point: cost is N C d. The official demo has d = 2; the
    default here is d = 8, which divides every width of MobileViT and MobileViTv2. On XNNPACK all of MobileViTv2 1.0
    takes 1.14, 1.12 and 1.11 times separable attention's time with d = 2, 8 and 16: narrow heads are multiplied several
    at a time. Dropout 0.05 after the output projection is the official default.

    The output grows with the tokens and shrinks with the heads, about as N / h: K^T V sums over N tokens, and no flow
    over heads divides by N (Flow-Attention's do). Of normal Q, K and V + 1/2 in 16 channels its deviation is 1.0 at 64
    tokens and 4.2 at 576 with 8 heads, 6.7 and 30 with one. Weights of one image size meet larger outputs at a larger
    one, most with few heads: in the README's study PVTv2, whose first stage goes from 64 to 576 tokens, learns on with
    8 heads there, and not with 2 or 1.

    Shapes: [B, N, C] -> [B, N, C], or a map, see `Attention`. The flows are computed in float32 or wider.
    """

    DEFAULT_HEADS = {"head_dim": 8}

    def __init__(self, dim, num_heads=None, head_dim=None, dropout=0.05, **kwargs):
        super().__init__(dim, num_heads, head_dim, dropout=dropout, **kwargs)

    def mix(self, query, key, value):
        return information_flow_attention(query, key, value, over=HEADS)


@keras.saving.register_keras_serializable(package="keras_mobattn")
class FlowAttention(HeadwiseAttention):
    """Flow-Attention of Flowformer (Wu et al., ICML 2022, arXiv:2202.06258; thuml/Flowformer), the non-causal form.

    The flows are summed over the tokens of one head, see `information_flow_attention`.
    """

    def mix(self, query, key, value):
        return information_flow_attention(query, key, value, over=TOKENS)
