"""What a detector predicts on each level of its pyramid, one after the other."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import ArrayLike

from keras_mobattn.errors import InputError

AT_ONCE = 5  # tensors that XNNPACK joins


@keras.saving.register_keras_serializable(package="keras_mobattn")
class JoinLevels(keras.layers.Layer):
    """Predictions of all levels in one tensor: maps [B, H, W, n * F] -> [B, sum of H W n, F].

    A cell of a map predicts F numbers for each of its n anchors: `sizes` are the anchors', a tuple of (width, height),
    shares of the image, for each level. They are kept here for whoever decodes the predictions.

    Raises:
        InputError: sizes of another form, or not above 0.
    """

    def __init__(self, sizes: Iterable[ArrayLike], **options: Any) -> None:
        super().__init__(**options)
        self.sizes = _expect_sizes(sizes)

    def call(self, maps: Sequence[tf.Tensor]) -> tf.Tensor:
        """Rows from the top, in a row cells from the left, in a cell its anchors."""
        rows = []
        for level, x in zip(self.sizes, maps, strict=True):
            height, width, channels = x.shape[1:]
            rows.append(tf.reshape(x, (-1, height * width * len(level), channels // len(level))))
        while len(rows) > 1:  # the smallest first, so that little is copied twice
            rows = [*rows[:-AT_ONCE], tf.concat(rows[-AT_ONCE:], 1)]
        return rows[0]

    def get_config(self) -> dict[str, Any]:
        """The layer's arguments."""
        return {**super().get_config(), "sizes": self.sizes}


def _expect_sizes(sizes):
    """The sizes as tuples of numbers."""
    try:
        levels = [np.array(level, np.float64).reshape(-1, 2) for level in sizes]
    except (TypeError, ValueError):
        levels = []
    if not levels or any(not len(level) or not (level > 0).all() or np.isinf(level).any() for level in levels):
        raise InputError(
            f"Expected sizes to be (width, height) above 0 of the anchors of each level. Received: {str(sizes)[:80]}."
        )
    return tuple(tuple(map(tuple, level.tolist())) for level in levels)
