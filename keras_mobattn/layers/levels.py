"""What a detector predicts on each level of its pyramid, one after the other."""

import tensorflow as tf
import tf_keras as keras


@keras.saving.register_keras_serializable(package="keras_mobattn")
class JoinLevels(keras.layers.Layer):
    """Predictions of all levels in one tensor: maps [B, H, W, n * F] -> [B, sum of H W n, F].

    A cell of a map predicts F numbers for each of its n anchors: `sizes` are the anchors', a tuple of (width, height),
    shares of the image, for each level. They are kept here for whoever decodes the predictions.
    """

    def __init__(self, sizes, **options):
        super().__init__(**options)
        self.sizes = tuple(tuple((float(width), float(height)) for width, height in level) for level in sizes)

    def call(self, maps):
        """Rows from the top, in a row cells from the left, in a cell its anchors."""
        rows = []
        for level, x in zip(self.sizes, maps, strict=True):
            height, width, channels = x.shape[1:]
            rows.append(tf.reshape(x, (-1, height * width * len(level), channels // len(level))))
        return tf.concat(rows, 1)

    def get_config(self):
        """The layer's arguments."""
        return {**super().get_config(), "sizes": self.sizes}
