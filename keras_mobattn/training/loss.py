"""What a step minimises. A loss is an object with the two methods of CrossEntropy; the other one is Distillation."""

import tf_keras as keras


class CrossEntropy:
    """-sum(target log probability), the target's labels smoothed: `label_smoothing` of it is spread over all classes.

    Attributes: `label_smoothing`, which evaluation takes too.
    """

    def __init__(self, label_smoothing=0.0):
        self.label_smoothing = label_smoothing

    def student(self, network):
        """A model on the layers of `network` whose outputs, a dict with "probabilities" in it, `__call__` takes."""
        return keras.Model(network.inputs, {"probabilities": network.output})

    def __call__(self, images, labels, outputs):
        """Losses float32 [B] of images [B, H, W, 3] in 0..255, labels [B, classes] and what `student` gave for them."""
        return keras.losses.categorical_crossentropy(
            labels, outputs["probabilities"], label_smoothing=self.label_smoothing
        )
