"""Segmentation: a class for each pixel (DeepLabv3, PSPNet, LR-ASPP)."""

from keras_mobattn.tasks.segmentation.checkpoint import VOC
from keras_mobattn.tasks.segmentation.deeplabv3 import DeepLabV3
from keras_mobattn.tasks.segmentation.lraspp import LRASPP
from keras_mobattn.tasks.segmentation.pspnet import PSPNet
from keras_mobattn.tasks.segmentation.segment import segment
from keras_mobattn.tasks.segmentation.task import Segmentation

SEGMENTATION = Segmentation()

__all__ = ["LRASPP", "SEGMENTATION", "VOC", "DeepLabV3", "PSPNet", "Segmentation", "segment"]
