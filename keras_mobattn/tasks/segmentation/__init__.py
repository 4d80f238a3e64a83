"""Segmentation: a class for each pixel (DeepLabv3, PSPNet, LR-ASPP)."""

from keras_mobattn.tasks.segmentation.deeplabv3 import DeepLabV3
from keras_mobattn.tasks.segmentation.lraspp import LRASPP
from keras_mobattn.tasks.segmentation.pspnet import PSPNet

__all__ = ["LRASPP", "DeepLabV3", "PSPNet"]
