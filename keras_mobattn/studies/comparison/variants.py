"""Mobile-Attention with one part left out or put back: styles for the comparison alone."""

import tensorflow as tf
import tf_keras as keras

from keras_mobattn.attention import MobileAttention
from keras_mobattn.attention.information_flow import CLIP, HEADS, conserved_flows, information_flow_attention
from keras_mobattn.attention.multiply_heads import multiply_heads
from keras_mobattn.catalog import ATTENTION_FORMS


@keras.saving.register_keras_serializable(package="keras_mobattn")
class ClippedMobileAttention(MobileAttention):
    """The default form with the published one's clip."""

    def mix(self, query, key, value):
        return information_flow_attention(query, key, value, HEADS, self.num_heads, CLIP)


@keras.saving.register_keras_serializable(package="keras_mobattn")
class MobileAttentionWithoutCompetition(MobileAttention):
    """The default form with every competition replaced by its mean over the tokens."""

    def mix(self, query, key, value):
        query_in, key, sink, *_ = conserved_flows(query, key, HEADS)  # query_in has the number of heads as a factor
        return multiply_heads(value * (1 / query.shape[3]), key, query_in) * tf.sigmoid(sink)


ATTENTION_FORMS["mobile_clipped"] = ClippedMobileAttention
ATTENTION_FORMS["mobile_without_competition"] = MobileAttentionWithoutCompetition
