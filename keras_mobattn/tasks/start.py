"""A model that starts from another one of its task: classes go by their names, all else has to fit."""

import json
import warnings
import zipfile
from pathlib import Path

from keras_mobattn.errors import InputError
from keras_mobattn.names import ATTENTION, part_of
from keras_mobattn.weights.port import attention_layers

UNSEEN = ("name", "trainable", "dtype", "dropout", "grid", "batch_input_shape")  # of an attention: what may differ
SUFFIX = ".keras"  # the one format that tells its layers without running code


def layers_of_file(path):
    """The layers in a .keras file, as its configuration has them; [] for any other file, and for a damaged one."""
    path = Path(path)
    if path.suffix != SUFFIX or not path.is_file():
        return []
    try:
        with zipfile.ZipFile(path) as archive:
            layers = json.loads(archive.read("config.json"))["config"]["layers"]
        return [layer for layer in layers if layer["class_name"] and layer["config"]["name"]]
    except (zipfile.BadZipFile, KeyError, TypeError, AttributeError, ValueError):
        return []  # whoever reads it says what is wrong


def in_our_order(path, ours):
    """The sentence of a warning: the file at `path` doesn't tell the order of its classes, and `ours` is taken."""
    first = ", ".join(ours[:3]) + (", ..." if len(ours) > 3 else "")
    return f"{path} does not name its classes: they are taken to be {first} in that order."


def expect_same_attention(model, other, path, advice=""):
    """Refuse the weights of `other`, a model at `path`, for a model with another attention.

    Names and shapes of weights don't tell: Mobile-Attention's are softmax attention's, with 2 heads as with 4.
    `advice` says what else could be done.

    Raises:
        InputError: an attention layer of both is another one in each.
    """
    attentions = {layer.name: _attention(layer) for layer in attention_layers(other)}
    for layer in attention_layers(model):
        if attentions.get(layer.name, _attention(layer)) != _attention(layer):
            raise InputError(
                f"Expected a backbone with attention as in {str(path)!r}, whose {layer.name} is "
                f"{attentions[layer.name]}. Received: {_attention(layer)}.{advice}"
            )


def _attention(layer):
    """Its class, and the settings of which its weights are."""
    config = {name: value for name, value in layer.get_config().items() if name not in UNSEEN}
    return f"{type(layer).__name__}({', '.join(f'{name}={value!r}' for name, value in config.items())})"


def fill_from(model, earlier, path, names, *, by_class, settings, skip=None, anew=""):
    """Fill `model` with the weights of the model `earlier` at `path`: all fit, or none is taken.

    With `skip` "attention" the layers of the attention stay as they were initialised. `names` are (the model's classes,
    the other's), the latter () where nobody tells them. `by_class` is {name of a layer that gives a number for each
    class: function (own array, other array) of the one to take}, for where they are told. Layers whose names begin with
    `anew` may be missing in the other, and then stay as they are. Classes that the other doesn't know are told in a
    warning.

    Raises:
        InputError: a layer has other shapes: it names `settings`, which would have to be the other's; or another
            attention.
    """
    ours, theirs = names
    weights, filled = {layer.name: layer.get_weights() for layer in earlier.layers}, []
    for layer in model.layers:
        if skip == part_of(layer.name) == ATTENTION:
            continue
        if anew and layer.name.startswith(anew) and layer.name not in weights:
            continue
        own, given = layer.get_weights(), weights.get(layer.name, [])
        if theirs and layer.name in by_class:
            given = [by_class[layer.name](*both) for both in zip(own, given, strict=True)]
        shapes = [[value.shape for value in each] for each in (own, given)]
        if shapes[0] != shapes[1]:
            raise InputError(
                f"Expected weights of {model.name} with {len(ours)} classes. Received: {str(path)!r}, whose layer "
                f"{layer.name!r} has {shapes[1] or 'none'} in place of {shapes[0]}. Take its settings: {settings}."
            )
        filled.append((layer, given))
    if skip != ATTENTION:
        advice = " Take its attention; or weights_skip='attention', which loads all but the attention."
        expect_same_attention(model, earlier, path, advice)
    for layer, given in filled:
        layer.set_weights(given)
    new = [name for name in ours if name not in theirs]
    if not theirs:
        warnings.warn(in_our_order(path, ours), stacklevel=5)
    elif new:
        # 5: to whoever builds a model from settings, by `load_whole`, the task's `start_from` and this.
        warnings.warn(
            f"{path} knows {len(ours) - len(new)} of the {len(ours)} classes: {', '.join(new[:3])} "
            f"{'starts' if len(new) == 1 else 'start'} anew.",
            stacklevel=5,
        )
