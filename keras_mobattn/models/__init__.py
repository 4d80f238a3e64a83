"""Backbones, and functions on built models: their pyramid, their multiply-accumulates, random weights."""

from typing import TYPE_CHECKING

import keras_mobattn._tensorflow  # noqa: F401  first: quietly
from keras_mobattn.families import FAMILIES
from keras_mobattn.models.input_range import input_range_of, known_range
from keras_mobattn.models.macs import count_macs
from keras_mobattn.models.output_stride import at_output_stride
from keras_mobattn.models.pretrained import MODELS, PUBLISHED, pretrained_model, published_name
from keras_mobattn.models.pyramid import feature_pyramid
from keras_mobattn.models.randomize import randomize_weights
from keras_mobattn.models.rematerialize import rematerialize
from keras_mobattn.models.saved import RUN_LABELS, RUN_MODEL, RUN_SETTINGS, labels_file, load_model, model_file

globals().update(MODELS)  # DeiT and so on; a layer that a family's module may define is registered with Keras by this

if TYPE_CHECKING:  # type checkers and editors do not run the line above
    from keras_mobattn.models.deit import DeiT as DeiT
    from keras_mobattn.models.efficientformerv2 import EfficientFormerV2 as EfficientFormerV2
    from keras_mobattn.models.mobilevit import MobileViT as MobileViT
    from keras_mobattn.models.mobilevitv2 import MobileViTv2 as MobileViTv2
    from keras_mobattn.models.pvtv2 import PVTv2 as PVTv2

__all__ = [
    "MODELS",
    "PUBLISHED",
    "RUN_LABELS",
    "RUN_MODEL",
    "RUN_SETTINGS",
    "at_output_stride",
    "count_macs",
    "feature_pyramid",
    "input_range_of",
    "known_range",
    "labels_file",
    "load_model",
    "model_file",
    "pretrained_model",
    "published_name",
    "randomize_weights",
    "rematerialize",
    *FAMILIES,
]
