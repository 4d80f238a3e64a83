"""How a backbone gets its attention layer: from a name, a class, or any callable `dim -> layer`."""

import tensorflow as tf
import tf_keras as keras

from keras_mobattn.attention.base import Attention
from keras_mobattn.attention.table import ATTENTIONS
from keras_mobattn.errors import InputError, choose
from keras_mobattn.layers.patches import from_patches, map_size, to_patches


def attention_layer(attention, dim, *, name, patch_size=1):
    """Make the attention layer `name` of width `dim` for maps [B, H, W, dim] unfolded into patches of `patch_size`.

    `attention` is a name of ATTENTIONS, a layer class, or a callable `dim -> layer`, for example
    `functools.partial(MobileAttention, head_dim=2)`. A layer that is no `Attention` of this package gets tokens
    [B * patch positions, N, dim] and must return the same shape.

    Raises:
        InputError: an unknown name, or a callable that does not make a Keras layer with a config of its own.
    """
    if not callable(attention):
        attention = choose(ATTENTIONS, attention, "attention")
    layer = attention(dim)
    if not isinstance(layer, keras.layers.Layer):
        raise InputError(
            f"attention= expects a name of {', '.join(ATTENTIONS)}, or a class or callable that takes dim and "
            f"returns a tf_keras layer. Received: {attention!r}, which returned {layer!r}."
        )
    if isinstance(layer, Attention):
        return type(layer).from_config({**layer.get_config(), "name": name, "patch_size": patch_size})
    return TokensOfPatches(layer, patch_size, name=name)


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
