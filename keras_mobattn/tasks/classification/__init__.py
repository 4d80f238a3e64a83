"""Classification: one label for each image, a score for each class."""

from keras_mobattn.tasks.classification.task import Classification

CLASSIFICATION = Classification()

__all__ = ["CLASSIFICATION", "Classification"]
