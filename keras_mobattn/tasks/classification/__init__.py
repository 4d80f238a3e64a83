"""Classification: one label an image, a score for each class."""

from keras_mobattn.tasks.classification.task import Classification

CLASSIFICATION = Classification()

__all__ = ["CLASSIFICATION", "Classification"]
