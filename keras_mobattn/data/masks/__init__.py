"""Folders of images with a class for each pixel: masks in PNG in several layouts, or COCO's outlines."""

from keras_mobattn.data.masks.look import is_masks
from keras_mobattn.data.masks.read import MaskedFile, read_masks

__all__ = ["MaskedFile", "is_masks", "read_masks"]
