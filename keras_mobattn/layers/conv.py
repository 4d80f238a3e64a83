"""The convolutional pieces of the MobileViT family, as functions over Keras tensors."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras as keras

from keras_mobattn.errors import expect_range
from keras_mobattn.layers.activation import Swish


def conv_initializer() -> keras.initializers.Initializer:
    """Kaiming-normal by fan-out, std = sqrt(2 / fan_out), as apple/ml-cvnets and timm initialise convolutions."""
    return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")


def torch_initializer() -> keras.initializers.Initializer:
    """Uniform in +-1 / sqrt(fan_in), torch's default for convolutions, which DeiT's patches and talking heads keep."""
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")


def linear_initializer(fan_in: float) -> keras.initializers.Initializer:
    """Normal of std 1 / sqrt(3 fan_in), torch's for linear layers, but at least 0.02: from 833 inputs on.

    apple/ml-cvnets and timm give linear layers of any width 0.02. In narrower layers that is too small for a short
    training: scores of attention start flat, and a block adds little to its input.
    """
    expect_range("fan_in", fan_in, 1)
    return keras.initializers.RandomNormal(stddev=max(0.02, (3 * fan_in) ** -0.5))


def conv_norm_act(
    x: tf.Tensor,
    filters: int | None,
    kernel_size: int,
    *,
    name: str,
    strides: int = 1,
    dilation: int = 1,
    padded: bool = False,
    depthwise: bool = False,
    norm: bool = True,
    use_bias: bool = False,
    act: Callable[..., keras.layers.Layer] | None = Swish,
    initializer: keras.initializers.Initializer | str | None = None,
) -> tf.Tensor:
    """Convolution, batch norm (epsilon 1e-5, torch's momentum 0.1) and activation (a layer class or None).

    Shapes: [B, H, W, C] -> [B, ceil(H/s), ceil(W/s), filters].

    `norm=False` leaves batch norm out, `use_bias` adds a bias, `initializer` is the kernel's in place of
    `conv_initializer()`, and `dilation` lets the kernel skip pixels. With strides, or if `padded`, the map is padded by
    kernel_size // 2 times the dilation on all four sides by a layer of its own, as torch does; TensorFlow's "same"
    would shift the result by one pixel on even maps.
    """
    padding = "same"
    if strides > 1 or padded:
        x = keras.layers.ZeroPadding2D(kernel_size // 2 * dilation, name=f"{name}_pad")(x)
        padding = "valid"
    options = {"strides": strides, "dilation_rate": dilation, "padding": padding, "use_bias": use_bias}
    options["name"] = f"{name}_conv"
    initializer = initializer or conv_initializer()
    if depthwise:
        x = keras.layers.DepthwiseConv2D(kernel_size, depthwise_initializer=initializer, **options)(x)
    else:
        x = keras.layers.Conv2D(filters, kernel_size, kernel_initializer=initializer, **options)(x)
    if norm:
        x = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
    return act(name=f"{name}_act")(x) if act else x


def inverted_residual(
    x: tf.Tensor,
    filters: int,
    *,
    name: str,
    strides: int = 1,
    dilation: int = 1,
    padded: bool = False,
    expansion: float = 2,
) -> tf.Tensor:
    """MobileNetV2's block: 1x1 expand, 3x3 depthwise, 1x1 project; a shortcut where stride and width allow one.

    A block that is `padded`, see `conv_norm_act`, is one that may halve the map, and has none.
    """
    shortcut = x
    channels = x.shape[-1]
    hidden = make_divisible(round(channels * expansion), 8)
    x = conv_norm_act(x, hidden, 1, name=f"{name}_expand")
    how: dict[str, Any] = {"strides": strides, "dilation": dilation, "padded": padded}
    x = conv_norm_act(x, hidden, 3, depthwise=True, name=f"{name}_depthwise", **how)
    x = conv_norm_act(x, filters, 1, act=None, name=f"{name}_project")
    short = strides == 1 and channels == filters and not padded
    return keras.layers.Add(name=f"{name}_add")([shortcut, x]) if short else x


def make_divisible(value: float, divisor: int, minimum: int | None = None) -> int:
    """Round to a multiple of `divisor`, at least `minimum` (default `divisor`) and never below 0.9 times `value`.

    MobileNet's rule, `make_divisible` in apple/ml-cvnets and timm.
    """
    expect_range("divisor", divisor, 1, whole=True)
    rounded = max(minimum or divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded
