"""The form of Mobile-Attention that a file's weights are for, and how a model takes it over.

Files from before there were two forms have the published one.
"""

import warnings

import tf_keras as keras

from keras_mobattn.errors import InputError, expect_kind
from keras_mobattn.weights.port import attention_layers


def layers_with_forms(model: keras.Model) -> list[keras.layers.Layer]:
    """A model's attention layers that have two forms, in order."""
    expect_kind("model", model, keras.Model, "a keras.Model")
    return [layer for layer in attention_layers(model) if hasattr(layer, "published")]


def take_form(model, published, name):
    """Turn a model's layers into the published form, if a file's weights are for that; return the changed layers.

    `published` is {layer's name: True, False, or None where the file doesn't tell}, and `name` what to call the file.
    Warns of changed layers, and of a file that doesn't tell and is taken to have the model's form.

    Raises:
        InputError: weights of the default form for a model of the published one, or a file that doesn't tell for one
            of the default form.
    """
    layers = layers_with_forms(model)
    other = [layer for layer in layers if published.get(layer.name, layer.published) != layer.published]
    if not other:
        return []
    if (
        len({published[layer.name] for layer in layers if layer.name in published}) > 1
        or len({layer.published for layer in layers}) > 1
    ):
        raise InputError(
            f"Expected the forms of Mobile-Attention of {name}, layer by layer. Received: a model of others, where one "
            "of both has several. Build it with the same callable as attention."
        )
    told, here = published[other[0].name] is not None, other[0].published
    if not told and not here:
        raise InputError(
            f"Expected a file that tells of which form of Mobile-Attention its weights are. Received: {name}, weights "
            "alone in the older .h5 format. Save the whole model (.keras), or weights alone as .weights.h5; a file "
            "from before there were two forms fits attention='mobile_published'."
        )
    if told and here:
        raise InputError(
            f"Expected weights of Mobile-Attention as published, as the model has it. Received: {name}, with weights "
            "of its default form. Take attention='mobile'."
        )
    if told:
        for layer in other:
            layer.published = True
        model.train_function = model.test_function = model.predict_function = None  # traced in the other form
        text = (
            f"{name} was trained with Mobile-Attention as published, and the model has that form now: "
            "attention='mobile_published'. weights_skip='attention' loads all but the attention."
        )
    else:
        text = (
            f"{name}, weights alone in the older .h5 format, doesn't tell the form of its Mobile-Attention: it is "
            "taken for the published one, as the model's is."
        )
    # 6: to whoever called the model function, which called `application`, load_weights, load_keras_file, and this.
    warnings.warn(text, UserWarning, stacklevel=6)
    return other if told else []
