"""Feature pyramids by name: P1 .. P5 are a backbone's last maps at strides 2 .. 32, in Keras-CV's counting."""

from collections.abc import Collection

import tensorflow as tf
import tf_keras as keras

from keras_mobattn.errors import InputError, expect_kind
from keras_mobattn.names import LEVELS


def mark_level(x, level):
    """Give the map x [B, H, W, C] the name of a pyramid level, 1 to 5. An identity, which every exporter removes."""
    return keras.layers.Activation("linear", name=LEVELS[level - 1])(x)


def feature_pyramid(model: keras.Model, levels: Collection[str] | None = None) -> keras.Model:
    """Return a keras.Model from the input of `model`, built or reloaded, to a dict of level name to map.

    `levels` are names of LEVELS; None: all that the model has. Level "Pk" is [B, H / 2^k, W / 2^k, C]; MobileViTv2
    rounds an odd side up to an even one. Weights are shared with `model`.

    Raises:
        InputError: a level that the model does not have.
    """
    expect_kind("model", model, keras.Model, "a keras.Model", "Load it: keras_mobattn.models.load_model(file).")
    if levels is not None:
        expect_kind("levels", levels, (tuple, list, set, dict), "several names, such as ['P4']")
    # A layer with several outputs has the map first: DeiT's P4.
    present = {layer.name: tf.nest.flatten(layer.output)[0] for layer in model.layers if layer.name in LEVELS}
    levels = list(present) if levels is None else levels
    missing = [level for level in levels if level not in present]
    if missing or not levels:
        raise InputError(
            f"Expected levels to be names among {', '.join(present) or '(the model has none)'}. Received: {levels!r}."
        )
    return keras.Model(model.inputs, {level: present[level] for level in levels}, name=f"{model.name}_pyramid")
