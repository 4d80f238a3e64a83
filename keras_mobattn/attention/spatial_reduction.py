"""Spatial-reduction attention of PVT v2 (Wang et al., arXiv:2106.13797): softmax over fewer keys than queries."""

from typing import Any, Self

import tensorflow as tf
import tf_keras as keras

from keras_mobattn.attention.base import HeadwiseAttention
from keras_mobattn.attention.softmax import softmax_attention
from keras_mobattn.errors import expect_range
from keras_mobattn.layers import (
    Gelu,
    LayerNormalization,
    at_least_float32,
    conv_initializer,
    from_heads,
    map_size,
    saturate,
    to_heads,
)

POOLED = 7  # pixels a side of the keys' map in linear spatial-reduction attention


@keras.saving.register_keras_serializable(package="keras_mobattn")
class SpatialReductionAttention(HeadwiseAttention):
    """Softmax attention whose keys and values come from a smaller map; the attention of PVT v2.

    With `sr_ratio` r > 1 the map is reduced by a convolution of r x r with stride r and a layer norm, cost N^2 C / r^2;
    with r = 1 it stays. With `linear` it is averaged to 7x7, then 1x1 convolution, layer norm and GELU, cost 49 N C.
    Names in timm: key and value together `kv`, out `proj`.

    Shapes: [B, H, W, C] -> the same, with H and W from `sr_ratio` up.

    Raises:
        InputError: what `HeadwiseAttention` raises.
    """

    TAKES_PATCHES = False

    def __init__(
        self,
        dim: int,
        num_heads: int | None = None,
        head_dim: int | None = None,
        sr_ratio: int = 1,
        linear: bool = False,
        *,
        dropout: float = 0.0,
        **options: Any,
    ) -> None:
        # Not among Keras's options: a TypeError says so, as for any argument that a function doesn't have.
        if "patch_size" in options:
            raise TypeError("SpatialReductionAttention has no argument patch_size: it sees whole maps.")
        super().__init__(dim, num_heads, head_dim, dropout=dropout, **options)
        expect_range("sr_ratio", sr_ratio, 1, whole=True)
        self.sr_ratio, self.linear = sr_ratio, linear
        if linear or sr_ratio > 1:
            side, policy = 1 if linear else sr_ratio, self.dtype_policy
            self.sr = keras.layers.Conv2D(
                dim, side, side, kernel_initializer=conv_initializer(), name="sr", dtype=policy
            )
            self.norm = LayerNormalization(epsilon=1e-5, name="norm", dtype=policy)
            self.act = Gelu(name="act", dtype=policy)

    def reduce(self, x: tf.Tensor) -> tf.Tensor:
        """[B, H, W, C] -> the map [B, h, w, C] that keys and values are made of."""
        if self.linear:
            return self.act(self.norm(self.sr(adaptive_average_pool(x, POOLED))))
        return self.norm(self.sr(x)) if self.sr_ratio > 1 else x

    def attend(self, x: tf.Tensor) -> tf.Tensor:
        reduced = self.reduce(x)
        query, key, value = (
            to_heads(at_least_float32(project(source)), self.num_heads, 1)  # [B, h, d, N], [B, h, d, n] twice
            for project, source in ((self.query, x), (self.key, reduced), (self.value, reduced))
        )
        y = from_heads(softmax_attention(query, key, value), x, 1)  # [B, H, W, C]
        return saturate(self.out(y), x.dtype)

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "sr_ratio": self.sr_ratio, "linear": self.linear}
        del config["patch_size"]
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{name: value for name, value in config.items() if name != "patch_size"})  # 1 in older files


def adaptive_average_pool(x, side):
    """[B, H, W, C] -> [B, side, side, C]: cell i averages the rows from floor(i H / side) to ceil((i + 1) H / side), as
    torch's AdaptiveAvgPool2d; columns likewise."""
    height, width = map_size(x)
    if isinstance(height, int) and isinstance(width, int) and height % side == width % side == 0:
        window = (height // side, width // side)
        return tf.nn.avg_pool2d(x, window, window, "VALID") if window != (1, 1) else x
    channels = x.shape[-1]
    rows, columns = (tf.cast(_pooling_matrix(length, side), x.dtype) for length in (height, width))
    x = tf.matmul(rows, tf.reshape(x, (-1, height, width * channels)))  # [B, side, W * C]
    return tf.matmul(columns, tf.reshape(x, (-1, side, width, channels)))  # [B, side, side, C]


def _pooling_matrix(length, side):
    """[side, length]: each row the weights of one cell."""
    cells, pixels = tf.range(side)[:, None], tf.range(length)[None]
    first, last = cells * length // side, -(-(cells + 1) * length // side)
    inside = (pixels >= first) & (pixels < last)
    return tf.cast(inside, tf.float32) / tf.cast(last - first, tf.float32)
