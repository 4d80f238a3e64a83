"""Keras vision transformers for phones: families of published models, each with Mobile-Attention, its linear-time
alternatives, or the attention of its paper. `keras_mobattn.families.FAMILIES` has their names.

Importing this package registers its layers with Keras, so that saved models reload without `custom_objects`.
"""

import os

from keras_mobattn._quiet import quiet_stderr

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors only; set it yourself to see TensorFlow's start-up messages
with quiet_stderr():
    import tf_keras  # noqa: F401  pulls in TensorFlow, whose native start-up lines ignore the log level

from keras_mobattn.attention import ATTENTIONS, MobileAttention, SeparableAttention
from keras_mobattn.errors import InputError
from keras_mobattn.models import (
    DeiT,
    EfficientFormerV2,
    MobileViT,
    MobileViTv2,
    PVTv2,
    count_macs,
    feature_pyramid,
    randomize_weights,
)
from keras_mobattn.weights import decode_predictions, list_weights, preprocess_input

__version__ = "0.1.0"

__all__ = [
    "ATTENTIONS",
    "DeiT",
    "EfficientFormerV2",
    "InputError",
    "MobileAttention",
    "MobileViT",
    "MobileViTv2",
    "PVTv2",
    "SeparableAttention",
    "count_macs",
    "decode_predictions",
    "feature_pyramid",
    "list_weights",
    "preprocess_input",
    "randomize_weights",
]
