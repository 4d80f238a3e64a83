"""Base classes of the attention styles: their shapes, projections, heads and precision."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from keras_mobattn.errors import InputError, expect_range
from keras_mobattn.layers import HALF, Dropout, at_least_float32, from_heads, linear_initializer, saturate, to_heads


class Attention(keras.layers.Layer):
    """Self-attention over tokens, or over the pixels of a map. The base class of every style in this package.

    Shapes: tokens [B, N, C] -> [B, N, C], with C == `dim`; or a map [B, H, W, C] -> [B, H, W, C]. On a map with
    `patch_size` p > 1 the pixels at each of the p * p positions inside a patch attend among themselves, as in
    MobileViT's unfolding; H and W must be multiples of p. With p = 1 all H * W pixels are the tokens.

    A subclass makes its sublayers in `__init__` and defines `attend(map) -> map`; [B, N, C] arrives there as [B, N, 1,
    C].

    Raises:
        InputError: `dim`, `patch_size` or `dropout` out of range; an input whose rank or width does not fit.
    """

    TAKES_PATCHES = True  # of a map; with False a class has no argument patch_size, and its maps are whole

    def __init__(self, dim: int, patch_size: int = 1, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        style = type(self).__name__
        expect_range(f"dim of {style}", dim, 1, whole=True)
        expect_range(f"patch_size of {style}", patch_size, 1, whole=True)
        expect_range(f"dropout of {style}", dropout, 0, 1, below=True)
        self.dim = dim
        self.patch_size = patch_size
        self.dropout = dropout
        self.drop = Dropout(dropout, name="drop", dtype=self.dtype_policy)

    def projection(
        self, filters: int, name: str, stddev: float | None = None, wide: bool = False, **options: Any
    ) -> keras.layers.Conv2D:
        """A linear layer over channels, as a 1x1 convolution: Dense on a map costs Core ML four operators more.

        With `wide` it computes in float32 under a half precision policy. The output of an attention can be quadratic
        in its input, 1e6 for 1e3 in separable attention, and float16 ends at 65,504.
        """
        initializer = keras.initializers.RandomNormal(stddev=stddev) if stddev else linear_initializer(self.dim)
        # Keras does not hand the policy down.
        dtype = "float32" if wide and self.compute_dtype in HALF else self.dtype_policy
        return keras.layers.Conv2D(filters, 1, kernel_initializer=initializer, name=name, dtype=dtype, **options)

    def build(self, input_shape: tf.TensorShape | Sequence[int | None]) -> None:
        rank = len(input_shape)
        if rank not in (3, 4) or input_shape[-1] != self.dim:
            raise InputError(
                f"Expected [batch, tokens, {self.dim}] or [batch, height, width, {self.dim}] for {self.name}. "
                f"Received: shape {tuple(input_shape)}."
            )
        if rank == 3 and self.patch_size > 1:
            raise InputError(
                f"Expected a map [batch, height, width, {self.dim}] for {self.name} with patch_size={self.patch_size}. "
                f"Received: shape {tuple(input_shape)}. Use patch_size=1 for tokens."
            )
        if rank == 4 and any(side is not None and side % self.patch_size for side in input_shape[1:3]):
            raise InputError(
                f"Expected height and width that are multiples of patch_size={self.patch_size} for {self.name}. "
                f"Received: shape {tuple(input_shape)}. Resize the map first (keras_mobattn.layers.Resize)."
            )
        super().build(input_shape)

    def call(self, x: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        is_map = x.shape.rank == 4
        y = self.attend(x if is_map else x[:, :, tf.newaxis, :])
        return self.drop(y if is_map else tf.squeeze(y, 2), training=training)

    def attend(self, x: tf.Tensor) -> tf.Tensor:
        """Map [B, H, W, C] -> [B, H, W, C], both in the layer's compute dtype."""
        raise NotImplementedError(f"{type(self).__name__} must define attend(x).")

    def get_config(self) -> dict[str, Any]:
        own = {"dim": self.dim, "patch_size": self.patch_size, "dropout": self.dropout}
        return {**super().get_config(), **own}


class HeadwiseAttention(Attention):
    """Attention whose query, key and value are split into heads. Projections: query, key, value, out, with kernel and
    bias.

    Give `num_heads` h or `head_dim` d, with h * d == dim; the other follows. With neither, `DEFAULT_HEADS` of the class
    holds. A subclass defines `mix(query, key, value)` over [G, h, d, N] -> [G, h, d, N], in float32 or wider, where G
    is batch * patch positions. With a `gain`, query and key start with deviation gain / sqrt(dim) instead of the
    deviation of other linear layers.

    Raises:
        InputError: heads that do not divide `dim`, or `num_heads` and `head_dim` that disagree.
    """

    DEFAULT_HEADS = {"num_heads": 4}  # MobileViT's (arXiv:2110.02178)

    def __init__(
        self,
        dim: int,
        num_heads: int | None = None,
        head_dim: int | None = None,
        *,
        gain: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(dim, **kwargs)
        self.num_heads, self.head_dim = self._heads(num_heads, head_dim)
        if gain is not None:
            expect_range(f"gain of {type(self).__name__}", gain, 0, below=True)
        stddev = gain and gain / dim**0.5
        self.query = self.projection(dim, "query", stddev)
        self.key = self.projection(dim, "key", stddev)
        self.value = self.projection(dim, "value")
        self.out = self.projection(dim, "out", wide=True)

    def _heads(self, num_heads, head_dim):
        given = {"num_heads": num_heads, "head_dim": head_dim}
        given = {name: value for name, value in given.items() if value is not None} or self.DEFAULT_HEADS
        for name, value in given.items():
            if not isinstance(value, int) or value < 1 or self.dim % value:
                raise InputError(
                    f"Expected {name} of {type(self).__name__} to be a divisor of dim={self.dim}. "
                    f"Received: {name}={value!r}."
                )
        num_heads = given.get("num_heads") or self.dim // given["head_dim"]
        head_dim = given.get("head_dim") or self.dim // num_heads
        if num_heads * head_dim != self.dim:
            raise InputError(
                f"Expected num_heads * head_dim == dim={self.dim} for {type(self).__name__}. "
                f"Received: num_heads={num_heads}, head_dim={head_dim}. Give only one of them."
            )
        return num_heads, head_dim

    def attend(self, x: tf.Tensor) -> tf.Tensor:
        query, key, value = (
            to_heads(at_least_float32(project(x)), self.num_heads, self.patch_size)  # [G, h, d, N]
            for project in (self.query, self.key, self.value)
        )
        y = from_heads(self.mix(query, key, value), x, self.patch_size)  # [B, H, W, C]
        return saturate(self.out(y), x.dtype)

    def mix(self, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        """[G, h, d, N] three times -> [G, h, d, N]."""
        raise NotImplementedError(f"{type(self).__name__} must define mix(query, key, value).")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_heads": self.num_heads, "head_dim": self.head_dim}
