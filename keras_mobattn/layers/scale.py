"""LayerScale: a learnt factor per channel at the end of a residual branch."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from keras_mobattn.errors import expect_range


@keras.saving.register_keras_serializable(package="keras_mobattn")
class LayerScale(keras.layers.Layer):
    """y = gamma * x, with gamma of shape [C] (Touvron et al., "Going deeper with Image Transformers",
    arXiv:2103.17239).

    Shapes: [B, ..., C] -> the same. `initial_value` is small, so that a branch begins as almost nothing: 1e-4 to 1e-6
    by depth in the paper, 1e-5 in EfficientFormer.
    """

    def __init__(self, initial_value: float = 1e-5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.initial_value = expect_range("initial_value", initial_value, below=True)

    def build(self, input_shape: tf.TensorShape | Sequence[int | None]) -> None:
        start = keras.initializers.Constant(self.initial_value)
        self.gamma = self.add_weight(name="gamma", shape=input_shape[-1:], initializer=start)
        super().build(input_shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return self.gamma * x

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "initial_value": self.initial_value}
