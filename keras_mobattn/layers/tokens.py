"""From maps to the tokens of a plain vision transformer and back: a class token, and one for each patch.

Tokens are a map of one column here, [B, N, 1, C], so that 1x1 convolutions, norms and attention are the same as on
maps. They are joined and taken apart with channels first, Core ML's own layout: its transposes cancel, and none is left
in the blocks, where there would be five for each.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_mobattn.errors import expect_range
from keras_mobattn.layers.patches import map_size
from keras_mobattn.layers.resize import resample, resample_to


@keras.saving.register_keras_serializable(package="keras_mobattn")
class PadToMultiple(keras.layers.Layer):
    """Zeros below and to the right, up to the next multiple of `multiple`: timm's `dynamic_img_pad`.

    Shapes: [B, H, W, C] -> [B, ceil(H/m)*m, ceil(W/m)*m, C].
    """

    def __init__(self, multiple: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.multiple = expect_range("multiple", multiple, 1, whole=True)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        bottom, right = (-side % self.multiple for side in map_size(x))
        if isinstance(bottom, int) and isinstance(right, int) and not bottom + right:
            return x
        return tf.pad(x, [[0, 0], [0, bottom], [0, right], [0, 0]])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "multiple": self.multiple}


@keras.saving.register_keras_serializable(package="keras_mobattn")
class EmbedTokens(keras.layers.Layer):
    """Put a class token (and a distillation token) before the patches, and add a learned position to each.

    Shapes: [B, h, w, C] -> [B, P + h * w, 1, C], with P = 1, or 2 if `distilled`. The positions of the patches are a
    map `[*grid, C]`; for another size of x they are resampled (`resample`, as timm does). Names in timm: class_token
    `cls_token`, dist_token `dist_token`, prefix_position and position together `pos_embed`.
    """

    def __init__(self, grid: Iterable[int], distilled: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.grid = tuple(grid)
        self.distilled = distilled

    def build(self, input_shape: tf.TensorShape | Sequence[int | None]) -> None:
        def weight(name, *shape):
            initializer = keras.initializers.TruncatedNormal(stddev=0.02)
            return self.add_weight(name=name, shape=(*shape, input_shape[-1]), initializer=initializer)

        self.tokens = [weight(name) for name in ("class_token", "dist_token")[: 1 + self.distilled]]
        self.prefix_position = weight("prefix_position", len(self.tokens))
        self.position = weight("position", *self.grid)
        super().build(input_shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        height, width = map_size(x)
        channels = x.shape[-1]
        position = self.position if x.shape[1:3] == self.grid else resample(self.position, (height, width))
        patches = tf.transpose(x + tf.cast(position, x.dtype), (0, 3, 1, 2))
        patches = tf.reshape(patches, (-1, channels, height * width, 1))
        prefix = tf.stack([tf.cast(token, x.dtype) for token in self.tokens]) + tf.cast(self.prefix_position, x.dtype)
        prefix = tf.transpose(prefix)[None, :, :, None]  # [1, C, P, 1]
        if x.shape[0] != 1:  # no operator in an exported model
            prefix = tf.tile(prefix, [tf.shape(x)[0], 1, 1, 1])
        return tf.transpose(tf.concat([prefix, patches], axis=2), (0, 2, 3, 1))

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Keras's hook for .keras and .weights.h5 files: positions of another grid are resampled."""
        arrays = {name: np.asarray(store[name]) for name in store}
        last = max(arrays, key=int)
        super().load_own_variables({**arrays, last: resample_to(arrays[last], self.position.shape)})

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "grid": self.grid, "distilled": self.distilled}


@keras.saving.register_keras_serializable(package="keras_mobattn")
class SplitTokens(keras.layers.Layer):
    """The patches as a map again, and the tokens before them.

    Shapes: ([B, P + h * w, 1, C], [B, h, w, any]) -> [B, h, w, C] and P times [B, C].
    """

    def __init__(self, prefix: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.prefix = expect_range("prefix", prefix, 0, whole=True)

    def call(self, inputs: Sequence[tf.Tensor]) -> tuple[tf.Tensor, ...]:
        tokens, like = inputs
        height, width = map_size(like)
        channels = tokens.shape[-1]
        tokens = tf.transpose(tokens, (0, 3, 1, 2))  # [B, C, N, 1]
        vectors = [tf.reshape(tokens[:, :, i : i + 1], (-1, channels)) for i in range(self.prefix)]
        patches = tf.reshape(tokens[:, :, self.prefix :], (-1, channels, height, width))
        return tf.transpose(patches, (0, 2, 3, 1)), *vectors

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "prefix": self.prefix}
