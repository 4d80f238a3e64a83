"""Attention with competition by information flow: Mobile-Attention and Flow-Attention.

Both give every query an incoming and every key an outgoing flow, normalise each by the other, and let the conserved
flows decide how much a token may take (allocation) and how much it may give (competition). They differ in what
competes: Mobile-Attention sums the flows over the HEADS of one token, Flow-Attention over the TOKENS of one head.
"""

import functools
import math
import warnings
from collections.abc import Mapping, MutableMapping
from typing import Any, Self

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_mobattn.attention.base import HeadwiseAttention
from keras_mobattn.attention.multiply_heads import multiply_heads
from keras_mobattn.errors import InputError
from keras_mobattn.layers import num_tokens

EPSILON = 1e-6  # of thuml/MobileAttention and thuml/Flowformer
CLIP = 1.0  # theirs too, for images; Flowformer has 5 for text and 10 for reinforcement learning
SMALL = 64  # tokens, each of which has enough
HEADS, TOKENS = 1, 3  # axes of [G, h, d, N]
MOBILE_GAIN, FLOW_GAIN = 2.0, 4.0  # the initial deviation of query and key, times sqrt(dim)


def information_flow_attention(query, key, value, over, shares, clip=None):
    """Q, K, V [G, h, d, N] -> [G, h, d, N]; the flows are summed over the axis `over`: HEADS or TOKENS. Cost N D d.

    With phi = sigmoid on Q and K, e = EPSILON and the sums over `over` written S():
        I = 1 / sum_d (Q+e)(S(K)+e)         O = 1 / sum_d (K+e)(S(Q)+e)           incoming, outgoing flow
        I' = sum_d (Q+e)(S(K*O)+e)          O' = sum_d (K+e)(S(Q*I)+e)            conserved flows
        out = (Q*I) (K^T (V * softmax_N(O') * shares)) * sigmoid(I')
    The competition of a head's tokens sums to `shares`, and O' is cut off at +-`clip`, if it is given; the published
    values are N and CLIP. Names in the official code: I `sink_incoming`, O `source_outgoing`, I' `conserved_sink`,
    O' `conserved_source`. Its factor L/S on I' is 1 here, since queries and keys are the same tokens.

    Over HEADS the O' of a token sum to h, but for e: sum_h O' = sum_d S(K) S(Q*I) = sum_h I sum_d Q S(K) = sum_h 1. So
    do its I'. They are positive, hence at most h, and need no clip. Their mean is 1: a clip at 1 cuts about half of all
    entries, which then have no gradient.
    """
    query_in, key, sink, source, count = conserved_flows(query, key, over)
    source = source if clip is None else tf.clip_by_value(source, -clip, clip)
    competition, allocation = tf.nn.softmax(source), tf.sigmoid(sink)  # over tokens; both [G, h, 1, N]
    factor = shares / count  # the count is in query_in
    lift = lift_of(factor, num_tokens(value))
    if lift != 1:
        allocation *= 1 / lift
    if tf.get_static_value(factor * lift) != 1:
        competition *= factor * lift
    return multiply_heads(value * competition, key, query_in) * allocation


def lift_of(share, tokens):
    """How many times larger to compute the shares of the tokens before a product, whose result is then divided by it.

    Of 4,096 tokens each has 2e-4, times a value less than float16's smallest normal number, 6e-5, which products on the
    Neural Engine and on some GPUs take for 0. The lift is halfway, so that the sums have room as well, and a power of
    two, which changes no bit in float32: 64 for 4,096 tokens, 1 below SMALL of them and where their number is open.
    """
    if not isinstance(tokens, int) or share * SMALL > tokens:
        return 1
    return 2 ** int(math.log2(tokens / share) / 2)


def conserved_flows(query, key, over):
    """Q, K [G, h, d, N] -> n*Q*I and phi(K), [G, h, d, N], I' and O', [G, h, 1, N], and the number n of tokens or heads
    that are summed over, of `information_flow_attention`.

    Computed with means: the sums over 4,096 tokens of 64 channels are more than float16 holds.
    """
    query, key = tf.sigmoid(query), tf.sigmoid(key)
    count = num_tokens(query) if over == TOKENS else query.shape[over]

    def flow(these, others, epsilon):  # [G, h, d, N] twice -> [G, h, 1, N], divided by the count
        # sum_d (X+e) T as sum_d X T + e sum_d T: an addition to X would be one more pass over memory.
        total = tf.reduce_mean(others, over, keepdims=True) + epsilon
        return tf.reduce_sum(these * total, 2, keepdims=True) + EPSILON * tf.reduce_sum(total, 2, keepdims=True)

    query_in = query / flow(query, key, EPSILON / count)  # n*Q*I
    key_out = key / flow(key, query, EPSILON / count)  # n*K*O, whose mean is the sum of K*O
    return query_in, key, flow(query, key_out, EPSILON), flow(key, query_in, EPSILON), count


@keras.saving.register_keras_serializable(package="keras_mobattn")
class MobileAttention(HeadwiseAttention):
    """Mobile-Attention with head competition (Yao et al., ICML 2024; official core: thuml/MobileAttention).

    The flows are summed over the heads of one token, see `information_flow_attention`. Many narrow heads are the point,
    since the cost is N C d: the official demo has d = 2, the default here is d = 8, which divides every width of
    MobileViT and MobileViTv2. Parameters: 4 C^2 + 4 C, as multi-head softmax attention. Dropout 0.05 after the output
    projection is the official default.

    **Two forms.** By default the competition of a head's N tokens sums to the number of heads h, and nothing is
    clipped: the output has V's magnitude at any size and with any number of heads, also in float16. `published=True` is
    the formula of the paper's code to the letter: the competition sums to N, and is clipped at 1. Its output grows as
    N / h, since K^T V sums over N tokens and no flow divides by them, so that weights of one image size meet other
    magnitudes at another one. At one size the forms differ by the clip alone: the out projection takes up the factor.

    A config without `published`, in an older file or one of your own, means the published form. A file of nothing but
    tensors can't tell, and what Keras itself reads from it is not checked: `model.load_weights` of a TensorFlow
    checkpoint or of an older .h5, and whole .h5 files where a layer of yours makes this one. Build such a model in the
    form that its weights are for.

    With one head nothing competes: I' = O' = 1, and all tokens weigh the same. A warning says so, once.

    Initialisation: query and key of the default form are normal with deviation 2 / sqrt(dim), so that the sigmoids
    differ between tokens and heads from the first step. With .02 they are all near .5, and a short training learns
    little. The published form starts as all linear layers here, which is its code's start too: torch's default.

    Shapes: [B, N, C] -> [B, N, C], or a map, see `Attention`. The flows are computed in float32 or wider.
    """

    DEFAULT_HEADS = {"head_dim": 8}

    def __init__(
        self,
        dim: int,
        num_heads: int | None = None,
        head_dim: int | None = None,
        dropout: float = 0.05,
        published: bool = False,
        **kwargs: Any,
    ) -> None:
        if not isinstance(published, bool):
            raise InputError(
                f"Expected published of {type(self).__name__} to be True or False. Received: {published!r}."
            )
        gain = None if published else MOBILE_GAIN
        super().__init__(dim, num_heads, head_dim, dropout=dropout, gain=gain, **kwargs)
        self.published = published
        if self.num_heads == 1:
            _warn_of_one_head()

    def mix(self, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        shares, clip = (num_tokens(query), CLIP) if self.published else (self.num_heads, None)
        return information_flow_attention(query, key, value, HEADS, shares, clip)

    def save_own_variables(self, store: MutableMapping[str, Any]) -> None:
        """Keras's hook for .keras and .weights.h5 files: adds the form that the weights are for."""
        super().save_own_variables(store)
        store["published"] = np.array(self.published)

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Keras's hook. A file that doesn't tell is older than the argument, and has the published form.

        Raises:
            InputError: weights of the other form.
        """
        published = bool(store["published"][()]) if "published" in store else True
        if published != self.published:
            here, there = (FORMS[form] for form in (self.published, published))
            raise InputError(
                f"Expected weights of Mobile-Attention {here} for {self.name}. Received: weights of it {there}, whose "
                "output has another magnitude. Build the model with attention="
                f"{'mobile_published' if published else 'mobile'!r}."
            )
        super().load_own_variables({name: store[name] for name in store if name != "published"})  # a subclass's

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "published": self.published}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{"published": True, **config})  # files older than the argument


FORMS = {False: "in its default form", True: "as published"}
published_mobile_attention = functools.partial(MobileAttention, published=True)


@functools.cache
def _warn_of_one_head():
    warnings.warn(
        "MobileAttention with one head: nothing competes, and all tokens weigh the same. Give a head_dim of which dim "
        "is twice or more.",
        UserWarning,
        stacklevel=3,
    )


@keras.saving.register_keras_serializable(package="keras_mobattn")
class FlowAttention(HeadwiseAttention):
    """Flow-Attention of Flowformer (Wu et al., ICML 2022, arXiv:2202.06258; thuml/Flowformer), the non-causal form.

    The flows are summed over the tokens of one head, see `information_flow_attention`. Query and key start with twice
    the deviation of `MobileAttention`, for the same reason.
    """

    def __init__(self, dim: int, num_heads: int | None = None, head_dim: int | None = None, **kwargs: Any) -> None:
        super().__init__(dim, num_heads, head_dim, gain=FLOW_GAIN, **kwargs)

    def mix(self, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        return information_flow_attention(query, key, value, TOKENS, num_tokens(query), CLIP)
