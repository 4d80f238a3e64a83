"""The attention styles. Each is a Keras layer that maps tokens [B, N, C] or a map [B, H, W, C] to the same shape."""

import keras_mobattn._tensorflow  # noqa: F401  first: quietly
from keras_mobattn.attention.base import Attention, HeadwiseAttention
from keras_mobattn.attention.build import attention_layer
from keras_mobattn.attention.focused import FocusedAttention
from keras_mobattn.attention.information_flow import FlowAttention, MobileAttention
from keras_mobattn.attention.kernel import EfficientAttention, LinearAttention, ReluLinearAttention
from keras_mobattn.attention.map_wise import AdditiveAttention, HydraAttention
from keras_mobattn.attention.separable import SeparableAttention
from keras_mobattn.attention.softmax import SoftmaxAttention
from keras_mobattn.attention.spatial_reduction import SpatialReductionAttention
from keras_mobattn.attention.talking_heads import TalkingHeadAttention
from keras_mobattn.attention.xca import CrossCovarianceAttention
from keras_mobattn.catalog import ATTENTIONS, OWN

__all__ = [
    "ATTENTIONS",
    "OWN",
    "AdditiveAttention",
    "Attention",
    "CrossCovarianceAttention",
    "EfficientAttention",
    "FlowAttention",
    "FocusedAttention",
    "HeadwiseAttention",
    "HydraAttention",
    "LinearAttention",
    "MobileAttention",
    "ReluLinearAttention",
    "SeparableAttention",
    "SoftmaxAttention",
    "SpatialReductionAttention",
    "TalkingHeadAttention",
    "attention_layer",
]
