"""Detection: boxes around objects, with a class and a score for each (SSDLite)."""

from keras_mobattn.tasks.detection.detect import Objects, detect
from keras_mobattn.tasks.detection.ssdlite import SSDLite, anchors_of
from keras_mobattn.tasks.detection.task import Detection

DETECTION = Detection()

__all__ = ["DETECTION", "Detection", "Objects", "SSDLite", "anchors_of", "detect"]
