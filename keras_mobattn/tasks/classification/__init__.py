"""Classification: one label for each image, a score for each class, or of two classes for the second one."""

from keras_mobattn.tasks.classification.binary import BinaryClassification
from keras_mobattn.tasks.classification.task import Classification

CLASSIFICATION = Classification()
BINARY_CLASSIFICATION = BinaryClassification()

__all__ = ["BINARY_CLASSIFICATION", "CLASSIFICATION", "BinaryClassification", "Classification"]
