"""Folders of images with boxes: COCO's JSON, Pascal VOC's XML, YOLO's text. `read_annotated` reads any of them."""

from keras_mobattn.data.annotations.annotated import AnnotatedFile
from keras_mobattn.data.annotations.look import is_annotated
from keras_mobattn.data.annotations.read import read_annotated

__all__ = ["AnnotatedFile", "is_annotated", "read_annotated"]
