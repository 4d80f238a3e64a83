"""Backbones whose last maps are finer than their published stride of 32: convolutions skip pixels instead of the map
losing them (DeepLab, arXiv:1706.05587), as apple/ml-cvnets dilates MobileViT and MobileViTv2."""

from typing import NamedTuple

import tf_keras as keras

from keras_mobattn.errors import InputError, expect_kind


class Level(NamedTuple):
    """How a level of the backbone begins: strides and dilation of its inverted residual, and the dilation of the
    depthwise convolution of its attention block. MobileViT's is no depthwise one, and cvnets never dilates it."""

    strides: int = 2
    residual: int = 1
    block: int = 1


OF_FAMILIES = ("MobileViT", "MobileViTv2")  # others have the stride of their own
LEVELS = {  # output stride -> {level: Level}
    32: {4: Level(), 5: Level()},
    16: {4: Level(), 5: Level(1, 1, 2)},
    8: {4: Level(1, 1, 2), 5: Level(1, 2, 4)},
}


def level_of(output_stride, level):
    """The Level of a backbone's level 3, 4 or 5.

    Raises:
        InputError: none of LEVELS.
    """
    return _levels(output_stride).get(level, Level())


def output_stride_of(model):
    """The output stride of MobileViT or MobileViTv2; None for other models."""
    layers = {layer.name: layer for layer in model.layers}
    if not all(set(_changes(level, Level())) <= set(layers) for level in (4, 5)):
        return None
    found = {level: layers[f"layer{level}_0_depthwise_conv"].strides[0] for level in (4, 5)}
    return next(
        stride for stride, levels in LEVELS.items() if all(levels[each].strides == found[each] for each in found)
    )


def at_output_stride(model: keras.Model, output_stride: int) -> keras.Model:
    """The model at this output stride, a copy with its weights where it has another one; a model of a family with a
    stride of its own as it is.

    Raises:
        InputError: no model, or none of LEVELS.
    """
    expect_kind("model", model, keras.Model, "a keras.Model", "Load it: keras_mobattn.models.load_model(file).")
    levels = _levels(output_stride)
    if output_stride_of(model) in (None, output_stride):
        return model
    changes: dict[str, dict[str, int]] = {}
    for level, how in levels.items():
        changes |= _changes(level, how)

    def copy(layer):
        config = layer.get_config() | changes.get(layer.name, {})
        if layer.name.endswith("_1_local_conv") and not isinstance(layer, keras.layers.DepthwiseConv2D):
            config = layer.get_config()
        return type(layer).from_config(config)

    twin = keras.models.clone_model(model, clone_function=copy)
    twin.set_weights(model.get_weights())
    return twin


def _levels(output_stride):
    if not isinstance(output_stride, int) or output_stride not in LEVELS:
        raise InputError(f"Expected output_stride 8, 16 or 32. Received: {output_stride!r}. Take one of them.")
    return LEVELS[output_stride]


def _changes(level, how):
    """{layer: what its configuration has for a Level}."""
    return {
        f"layer{level}_0_depthwise_pad": {"padding": how.residual},
        f"layer{level}_0_depthwise_conv": {"strides": how.strides, "dilation_rate": how.residual},
        f"layer{level}_1_local_conv": {"dilation_rate": how.block},
    }
