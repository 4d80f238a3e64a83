"""Cross-entropy with smoothed labels. The other objective of classifiers is Distillation."""

import tf_keras as keras

from keras_mobattn.tasks.classification.both_classes import both_classes
from keras_mobattn.tasks.objective import Objective


class CrossEntropy(Objective):
    """-sum(target log probability); `label_smoothing` of the target is spread over all classes."""

    def __init__(self, label_smoothing=0.0):
        self.label_smoothing = label_smoothing

    def losses(self, labels, probabilities):
        """Losses float32 [B] from labels and probabilities, [B, classes] both, or [B, 1] of the second class."""
        probabilities = both_classes(probabilities)
        return keras.losses.categorical_crossentropy(labels, probabilities, label_smoothing=self.label_smoothing)
