"""Pretrained checkpoints: the published ones, their download, and the way into a model and out again."""

import keras_mobattn._tensorflow  # noqa: F401  first: quietly
from keras_mobattn.weights.checkpoint_file import read_checkpoint
from keras_mobattn.weights.forms import layers_with_forms
from keras_mobattn.weights.hub import download, hub_problem
from keras_mobattn.weights.imagenet import decode_predictions, imagenet_classes, preprocess_input
from keras_mobattn.weights.load import load_weights
from keras_mobattn.weights.port import to_timm
from keras_mobattn.weights.tags import SEGMENTERS, TAGS, Tag, find_segmenter, find_tag, imagenet_tag, list_weights

__all__ = [
    "SEGMENTERS",
    "TAGS",
    "Tag",
    "decode_predictions",
    "download",
    "find_segmenter",
    "find_tag",
    "hub_problem",
    "imagenet_classes",
    "imagenet_tag",
    "layers_with_forms",
    "list_weights",
    "load_weights",
    "preprocess_input",
    "read_checkpoint",
    "to_timm",
]
