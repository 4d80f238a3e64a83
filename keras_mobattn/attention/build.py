"""The attention layer of a backbone, from a name, a class, or any callable `dim -> layer`."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras as keras

from keras_mobattn.attention.base import Attention, HeadwiseAttention
from keras_mobattn.catalog import ATTENTION_FORMS, ATTENTIONS, OWN
from keras_mobattn.errors import InputError, choose
from keras_mobattn.layers.patches import from_patches, map_size, to_patches


def attention_layer(
    attention: str | Callable[..., keras.layers.Layer],
    dim: int,
    *,
    name: str,
    own: Callable[..., keras.layers.Layer] | None = None,
    patch_size: int = 1,
    num_heads: int | None = None,
    head_dim: int | None = None,
) -> keras.layers.Layer:
    """Make the attention layer `name` of width `dim` for maps [B, H, W, dim] unfolded into patches of `patch_size`.

    `attention` is a name of ATTENTIONS or ATTENTION_FORMS, "own", a layer class, or a callable `dim -> layer`, for
    example `functools.partial(MobileAttention, head_dim=2)`. A layer that is no `Attention` of this package gets tokens
    [B * patch positions, N, dim] and must return the same shape. `own` is what "own" stands for. Styles with heads get
    `head_dim`, if it is given; else those that count heads, all but Mobile-Attention, get the model's `num_heads`.

    Raises:
        InputError: an unknown name, a head_dim for a style without heads, or a callable that does not make a Keras
            layer with a config of its own.
    """
    styles = {**({OWN: own} if own else {}), **ATTENTIONS, **ATTENTION_FORMS}
    named = not callable(attention)
    make: Any = choose(styles, attention, "attention") if named else attention
    heads = _heads(make, attention, num_heads, head_dim)
    if named or (isinstance(make, type) and issubclass(make, Attention)):
        return make(dim, name=name, **_patches(make, patch_size), **heads)
    layer = make(dim, **heads)
    if not isinstance(layer, keras.layers.Layer):
        raise InputError(
            f"Expected attention to be a name of {', '.join([*ATTENTIONS, *ATTENTION_FORMS])}, or a class or callable "
            f"that takes dim and returns a tf_keras layer. Received: {attention!r}, which returned {layer!r}."
        )
    if isinstance(layer, Attention):
        # Built once more, since the callable takes neither a name nor patches.
        return type(layer).from_config({**layer.get_config(), "name": name, **_patches(type(layer), patch_size)})
    return TokensOfPatches(layer, patch_size, name=name)


def _patches(make, patch_size):
    """The argument patch_size, in a dict: none where each pixel is a patch, since some styles take whole maps alone."""
    if patch_size > 1 and not getattr(make, "TAKES_PATCHES", True):
        raise InputError(
            f"Expected attention to be a layer that takes patches of {patch_size}x{patch_size} pixels apart. Received: "
            f"{make.__name__}, which sees whole maps. Take another attention, or a model without patches."
        )
    return {"patch_size": patch_size} if patch_size > 1 else {}


def _heads(make, attention, num_heads, head_dim):
    """The argument num_heads or head_dim of the layer class `make`, or of a form of one, in a dict.

    Any other callable knows its heads itself.
    """
    make = getattr(make, "func", make) if make in ATTENTION_FORMS.values() else make
    headwise = isinstance(make, type) and issubclass(make, HeadwiseAttention)
    if head_dim is not None and not headwise:
        raise InputError(
            f"Expected an attention with heads, by name or class, for head_dim. Received: head_dim={head_dim!r} for "
            f"attention={attention!r}. Leave head_dim out."
        )
    if head_dim is not None:
        return {"head_dim": head_dim}
    return {"num_heads": num_heads} if headwise and num_heads and "num_heads" in make.DEFAULT_HEADS else {}


@keras.saving.register_keras_serializable(package="keras_mobattn")
class TokensOfPatches(keras.layers.Layer):
    """Run a layer that knows only tokens, [B, N, C] -> [B, N, C], on the patches of a map [B, H, W, C].

    The P = patch_size^2 pixel positions inside a patch are folded into the batch: the layer sees [B*P, N, C].
    """

    def __init__(self, layer, patch_size, **kwargs):
        super().__init__(**kwargs)
        self.layer = layer
        self.patch_size = patch_size

    def call(self, x):
        height, width = (side // self.patch_size for side in map_size(x))
        positions, channels = self.patch_size**2, x.shape[-1]
        tokens = tf.reshape(to_patches(x, self.patch_size), (-1, height * width, positions, channels))
        tokens = tf.reshape(tf.transpose(tokens, (0, 2, 1, 3)), (-1, height * width, channels))  # [B*P, N, C]
        tokens = tf.reshape(self.layer(tokens), (-1, positions, height * width, channels))
        tokens = tf.reshape(tf.transpose(tokens, (0, 2, 1, 3)), (-1, height, width, positions * channels))
        return from_patches(tokens, self.patch_size)

    def get_config(self):
        layer = keras.saving.serialize_keras_object(self.layer)
        return {**super().get_config(), "layer": layer, "patch_size": self.patch_size}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "layer": keras.saving.deserialize_keras_object(config["layer"])})
