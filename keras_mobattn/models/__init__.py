"""Backbones and what is asked of a built model: its pyramid, its cost, random weights."""

import keras_mobattn._tensorflow  # noqa: F401  first: quietly
from keras_mobattn.models.cost import count_macs
from keras_mobattn.models.deit import DeiT
from keras_mobattn.models.efficientformerv2 import EfficientFormerV2
from keras_mobattn.models.mobilevit import MobileViT
from keras_mobattn.models.mobilevitv2 import MobileViTv2
from keras_mobattn.models.pretrained import MODELS, PUBLISHED, pretrained_model
from keras_mobattn.models.pvtv2 import PVTv2
from keras_mobattn.models.pyramid import feature_pyramid
from keras_mobattn.models.randomize import randomize_weights
from keras_mobattn.models.rematerialize import rematerialize
from keras_mobattn.models.saved import RUN_LABELS, RUN_MODEL, RUN_SETTINGS, labels_file, load_model, model_file

__all__ = [
    "MODELS",
    "PUBLISHED",
    "RUN_LABELS",
    "RUN_MODEL",
    "RUN_SETTINGS",
    "DeiT",
    "EfficientFormerV2",
    "MobileViT",
    "MobileViTv2",
    "PVTv2",
    "count_macs",
    "feature_pyramid",
    "labels_file",
    "load_model",
    "model_file",
    "pretrained_model",
    "randomize_weights",
    "rematerialize",
]
