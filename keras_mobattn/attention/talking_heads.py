"""Talking-heads attention with learnt position biases: EfficientFormerV2's.

Sources: Li et al., "Rethinking Vision Transformers for MobileNet Size and Speed", ICCV 2023, arXiv:2212.08059; code:
snap-research/EfficientFormer and timm's `efficientformer_v2.py`. The heads talk as in Shazeer et al., arXiv:2003.02436;
the biases are LeViT's, arXiv:2104.01136.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from keras_mobattn.errors import expect_range
from keras_mobattn.layers import (
    HALF,
    at_least_float32,
    from_heads,
    map_size,
    resample,
    resample_to,
    saturate,
    to_heads,
    torch_initializer,
)

TALKS = ("before", "after")  # the softmax


@keras.saving.register_keras_serializable(package="keras_mobattn")
class TalkingHeadAttention(keras.layers.Layer):
    """T2(softmax(T1(Q^T K / sqrt(d) + bias))) V^T, where T1 and T2 mix the h heads: a matrix [h, h] and a bias each.

    Shapes: maps ([B, ceil(H/s), ceil(W/s), h d], [B, H, W, h d], [B, H, W, h e]) of queries, keys and values ->
    [B, ceil(H/s), ceil(W/s), h e]. The projections to them are not part of the layer. Cost N^2 D / s^2.

    Args:
        num_heads: h.
        grid: (rows, columns) of the keys that the table of biases is made for. The table, `attention_biases`, is
            [rows, columns, h]: a bias for every distance (dy, dx), positive or not, between a query and a key. For a
            map or a checkpoint of another size the table is resized like an image (`resample`). That is timm's rule for
            such tables (`resize_rel_pos_bias_table_levit`), although distance 0, the first row and column, moves a
            little; timm itself can't load EfficientFormerV2 at another size.
        stride: s, 1 or more: the queries stand at every s-th key of each axis.
        talking: with False there are no T1 and T2.
    """

    def __init__(
        self, num_heads: int, grid: Iterable[int], stride: int = 1, talking: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads = expect_range("num_heads", num_heads, 1, whole=True)
        self.grid = tuple(grid)
        self.stride = expect_range("stride", stride, 1, whole=True)
        self.talking = talking
        # Keras does not hand the policy down. These work on scores, which are float32 or wider.
        self.wide = "float32" if self.compute_dtype in HALF else self.compute_dtype
        self.before, self.after = (HeadMixing(name=name, dtype=self.wide) if talking else None for name in TALKS)

    def build(self, input_shape: Sequence[tf.TensorShape | Sequence[int | None]]) -> None:
        shape = (*self.grid, self.num_heads)
        self.attention_biases = self.add_weight(name="attention_biases", shape=shape, initializer="zeros")
        super().build(input_shape)

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Keras's hook: resizes a table that was saved at another size."""
        super().load_own_variables({"0": resample_to(store["0"][()], self.attention_biases.shape)})

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        query, key, value = inputs
        q, k, v = (to_heads(at_least_float32(x), self.num_heads, 1) for x in inputs)  # [B, h, d or e, N]
        scores = tf.matmul(q * q.shape[2] ** -0.5, k, transpose_a=True)  # [B, h, Nq, N]
        scores += self.expanded_biases(key)
        weights = tf.nn.softmax(self.before(scores) if self.talking else scores)  # type: ignore[misc]
        weights = self.after(weights) if self.talking else weights  # type: ignore[misc]
        return saturate(from_heads(tf.matmul(v, weights, transpose_b=True), query, 1), value.dtype)

    def expanded_biases(self, key: tf.Tensor) -> tf.Tensor:
        """[h, Nq, N]: the table's bias for the distance of each query from each key of the map `key`."""
        rows, columns = map_size(key)
        table = self.attention_biases
        table = tf.cast(table if key.shape[1:3] == self.grid else resample(table, (rows, columns)), self.wide)
        down, right = (_distances(side, self.stride) for side in (rows, columns))
        index = down[:, None, :, None] * columns + right[None, :, None, :]  # [Hq, Wq, H, W]
        table = tf.reshape(tf.transpose(table, (2, 0, 1)), (self.num_heads, rows * columns))
        return tf.gather(table, tf.reshape(index, (-1, rows * columns)), axis=1)

    def get_config(self) -> dict[str, Any]:
        own = {"num_heads": self.num_heads, "grid": self.grid, "stride": self.stride, "talking": self.talking}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="keras_mobattn")
class HeadMixing(keras.layers.Layer):
    """Let the heads talk: y[b, i] = sum_j kernel[i, j] x[b, j] + bias[i]. Shapes: [B, h, M, N] -> the same.

    A 1x1 convolution over heads: in Core ML, where channels come before pixels, nothing is transposed for it. A product
    with the kernel on the left would need no transposition anywhere, but the GPU delegate refuses a constant there.
    """

    def build(self, input_shape):
        heads = input_shape[1]
        self.kernel = self.add_weight(name="kernel", shape=(heads, heads), initializer=torch_initializer())
        self.bias = self.add_weight(name="bias", shape=(heads,), initializer="zeros")
        super().build(input_shape)

    def call(self, x):
        x = tf.transpose(x, (0, 2, 3, 1))  # [B, M, N, h]
        y = tf.nn.conv2d(x, tf.transpose(self.kernel)[None, None], 1, "VALID") + self.bias
        return tf.transpose(y, (0, 3, 1, 2))


def _distances(side, stride):
    """[ceil(side / stride), side]: from each query to each key along one axis."""
    keys = tf.range(side)
    return tf.abs(keys[::stride, None] - keys[None])
