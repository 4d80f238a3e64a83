"""Activations that are computed again for the gradient instead of kept: less memory for more time."""

import tensorflow as tf
import tf_keras as keras

from keras_mobattn.attention import Attention
from keras_mobattn.errors import expect_kind
from keras_mobattn.layers import GroupNorm1

# What is computed again, by layer class: the parts of an attention unit that keep more than their input. An attention's
# dropout is outside of `attend`: it would be drawn again. Batch norm stays out: its statistics would move twice.
METHODS = {Attention: "attend", GroupNorm1: "call", keras.layers.LayerNormalization: "call"}


def rematerialize(model: keras.Model) -> keras.Model:
    """Make attention and its norms keep only their input in training; return the model.

    The gradient runs them once more (`tf.recompute_grad`), which gives the same numbers. Weights, configuration and
    files of the model stay as they are: a model that is loaded from a file has to be rematerialised anew.
    """
    expect_kind("model", model, keras.Model, "a keras.Model", "Load it: keras_mobattn.models.load_model(file).")
    for layer in model.layers:
        method = next((name for kind, name in METHODS.items() if isinstance(layer, kind)), None)
        if method and method not in vars(layer):
            setattr(layer, method, tf.recompute_grad(getattr(layer, method)))
    return model
