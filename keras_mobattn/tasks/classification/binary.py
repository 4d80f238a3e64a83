"""The task of one of two labels for each image, by a model that gives one probability."""

from keras_mobattn.errors import InputError
from keras_mobattn.tasks.classification.task import Classification, last_activation


class BinaryClassification(Classification):
    """One of two labels for each image; the model ends in a sigmoid, the probability of the second class, [B, 1].

    Files made of it give both, [1 - p, p], in the order of the labels.
    """

    title = "Binary image classifier"
    is_binary = True

    def build(self, make, class_names):
        """The model with a top of one output.

        Raises:
            InputError: other than two classes.
        """
        if len(class_names) != 2:
            raise InputError(
                f"Expected images of two classes for a binary classifier. Received: {len(class_names)}, "
                f"{', '.join(class_names[:3])}. Take the task 'classification'."
            )
        return make(classes=1, classifier_activation="sigmoid")

    def recognises(self, model):
        """Whether its one output [B, 1] is a sigmoid, of a Dense or Activation layer."""
        return last_activation(model) == "sigmoid" and model.output_shape[-1] == 1

    def objective(self, settings, class_names):
        """CrossEntropy.

        Raises:
            InputError: settings with a teacher, which gives a score for each class.
        """
        if settings.teacher is not None:
            raise InputError(
                f"Expected no teacher for a binary classifier. Received: {settings.teacher!r}. Take the task "
                "'classification', which has a score for each class."
            )
        return super().objective(settings, class_names)
