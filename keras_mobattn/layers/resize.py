"""Resizing: bilinear for maps whose sides a patch does not divide, bicubic for weights that are learnt by position."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_mobattn.errors import expect_range
from keras_mobattn.layers.patches import map_size
from keras_mobattn.layers.precision import saturate


def resize_bilinear(x: tf.Tensor, size: Sequence[int | tf.Tensor], align_corners: bool) -> tf.Tensor:
    """`[B, h, w, C] -> [B, *size, C]` as torch's `interpolate(mode="bilinear")`; no operator where the size fits."""
    if all(isinstance(side, int) for side in size) and tuple(x.shape[1:3]) == tuple(size):
        return x
    # The raw operator: tf.image.resize has no align_corners, and TFLite and Core ML know both forms of this one.
    y = tf.raw_ops.ResizeBilinear(
        images=x, size=size, align_corners=align_corners, half_pixel_centers=not align_corners
    )  # always float32
    return saturate(y, x.dtype)


@keras.saving.register_keras_serializable(package="keras_mobattn")
class Resize(keras.layers.Layer):
    """Resize a map up to the next multiple of `multiple` on both sides.

    Shapes: [B, H, W, C] -> [B, ceil(H/m)*m, ceil(W/m)*m, C]. `align_corners` as in torch: MobileViTv2's reference code
    uses True, MobileViT's False (apple/ml-cvnets, `mobilevit_block.py`).
    """

    def __init__(self, multiple: int, align_corners: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.multiple = expect_range("multiple", multiple, 1, whole=True)
        self.align_corners = align_corners

    def call(self, x: tf.Tensor) -> tf.Tensor:
        size = [-(-side // self.multiple) * self.multiple for side in map_size(x)]
        return resize_bilinear(x, size, self.align_corners)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "multiple": self.multiple, "align_corners": self.align_corners}


@keras.saving.register_keras_serializable(package="keras_mobattn")
class ResizeLike(keras.layers.Layer):
    """Resize the first map to the height and width of the second; `align_corners` as in torch.

    Shapes: ([B, h, w, C], [B, H, W, any]) -> [B, H, W, C].
    """

    def __init__(self, align_corners: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.align_corners = align_corners

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        x, like = inputs
        return resize_bilinear(x, map_size(like), self.align_corners)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "align_corners": self.align_corners}


def resample(x: np.ndarray | tf.Tensor, size: Sequence[int | tf.Tensor] | tf.Tensor) -> tf.Tensor:
    """`[h, w, C] -> [*size, C]`: weights by position for another image size.

    Bicubic (a = -1/2) with antialiasing, as timm's `resample_abs_pos_embed` and `resize_rel_pos_bias_table_levit`.
    """
    return tf.image.resize(x, size, tf.image.ResizeMethod.BICUBIC, antialias=True)


def resample_to(array: np.ndarray, shape: tf.TensorShape | Sequence[int]) -> np.ndarray:
    """An array [h, w, C], resampled to `shape`; the array as it is where it fits, or where resampling is no help."""
    resampled = array.ndim == 3 == len(shape) and array.shape[2] == shape[2] and array.shape != tuple(shape)
    return resample(array, shape[:2]).numpy() if resampled else array
