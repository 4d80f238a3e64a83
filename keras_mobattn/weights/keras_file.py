"""Weights out of Keras's own files: .keras, .weights.h5 and the older .h5, whole models and weights alone.

Only arrays and the JSON of the layers' settings are read. Loading the model itself would run code from the file:
tf_keras's .h5 reader executes Lambda layers.
"""

import contextlib
import json
import zipfile
from collections.abc import Callable
from typing import NamedTuple

import tf_keras as keras

from keras_mobattn.errors import InputError
from keras_mobattn.names import ATTENTION, HEAD, HEAD_BIAS, part_of, variable_name
from keras_mobattn.weights.forms import layers_with_forms, take_form
from keras_mobattn.weights.port import assign, attention_layers, head_to_skip, same_name

SUFFIXES = (".keras", ".h5")
MOBILE_ATTENTION = "mobile_attention"  # what the newer format calls the first layer of this class; then .._1, .._2
MARK = "vars/published"  # of MobileAttention.save_own_variables; older files have the published form
# What Keras, h5py, zipfile and json raise for a damaged or a foreign file.
UNREADABLE = (ValueError, OSError, KeyError, TypeError, AttributeError, zipfile.BadZipFile)


class Saved(NamedTuple):
    """What a file says of itself, and a function that loads its weights."""

    bias: object  # of the head, one element for each class; None: no head
    layers: list  # configs of a whole model's layers; [] for weights alone
    marks: dict | None  # {path of a layer of Mobile-Attention: whether in the published form}; None: an older .h5
    fill: Callable[[keras.Model, tuple[str, ...]], None]  # (model, skip)


def load_keras_file(model, path, name, skip):
    """Fill `model` from a Keras file, but for the parts `skip`; return why the head was left out, or None.

    Whole models tell their attention. Files of weights alone don't, and the .h5 of one style fits another style with
    the same variables. A model with the default form of Mobile-Attention takes over the file's, if that is published.

    Raises:
        InputError: a file that is damaged, or not of the same arguments; it names what differs.
    """
    with _explaining(model, name):
        saved = _read_new(path) if path.name.endswith((".keras", ".weights.h5")) else _read_old(path)
        attention = None if ATTENTION in skip else _attention_mismatch(model, saved.layers)
        forms = {} if ATTENTION in skip else _forms(model, saved)
    if attention:
        raise InputError(
            f"Expected a model with {attention[0]}, as {name} was trained. Received: one with {attention[1]}. "
            "weights_skip='attention' loads all but the attention layers, for fine-tuning."
        )
    head = head_to_skip(model, None if saved.bias is None else len(saved.bias))
    changed = take_form(model, forms, name)
    try:
        with _explaining(model, name):
            saved.fill(model, (*skip, HEAD) if head else skip)
    except InputError:
        for layer in changed:
            layer.published = False
        raise
    return head


@contextlib.contextmanager
def _explaining(model, name):
    try:
        yield
    except UNREADABLE as error:
        raise InputError(
            f"Expected weights of {model.name} with {model.count_params():,} parameters and output "
            f"{model.output_shape}, saved from the same arguments (width, variant, attention). Received: {name}, which "
            f"does not fit: {str(error).rstrip('.')}. weights_skip='attention' loads all but the attention."
        ) from error


def _read_new(path):
    """A file in Keras 3's format: .keras or .weights.h5."""
    import h5py

    with contextlib.ExitStack() as stack:
        archive = stack.enter_context(zipfile.ZipFile(path)) if path.suffix == ".keras" else None
        layers = json.loads(archive.read("config.json"))["config"]["layers"] if archive else []
        weights = stack.enter_context(h5py.File(archive.open("model.weights.h5") if archive else path))
        bias = weights.get("layers/dense/vars/1")  # this format counts layers by class: the head is the one Dense
        bias = None if bias is None else bias[()]
        marks = {
            key: bool(group[MARK][()]) if MARK in group else True
            for key, group in weights.get("layers", {}).items()
            if key.startswith(MOBILE_ATTENTION)
        }

    def fill(model, skip):
        with _keeping(model, skip):
            model.load_weights(path)

    return Saved(bias, layers, marks, fill)


@contextlib.contextmanager
def _keeping(model, skip):
    """Let the layers of the parts `skip` ignore loaded weights in this block, by Keras's hook `load_own_variables`."""
    layers = [layer for layer in model.layers if part_of(layer.name) in skip]
    layers = [each for layer in layers for each in layer._flatten_layers()]
    for layer in layers:
        layer.load_own_variables = lambda store: None
    try:
        yield
    finally:
        for layer in layers:
            del layer.load_own_variables


def _read_old(path):
    """An .h5 file, where arrays lie under the names of their layers."""
    import h5py

    with h5py.File(path) as file:
        layers = json.loads(file.attrs["model_config"])["config"]["layers"] if "model_config" in file.attrs else []
        group = file.get("model_weights", file)
        tensors = {
            variable_name(layer, variable): group[layer][variable][()]
            for layer in group.attrs["layer_names"]
            for variable in group[layer].attrs["weight_names"]
        }
    return Saved(tensors.get(HEAD_BIAS), layers, None, lambda model, skip: assign(model, tensors, same_name, skip))


def _forms(model, saved):
    """{name of an attention layer with two forms: whether the file has the published one, None where it doesn't tell}.

    Files from before there were two have the published one.
    """
    names = [layer.name for layer in layers_with_forms(model)]
    if saved.marks is not None:
        paths = (MOBILE_ATTENTION + (f"_{index}" if index else "") for index in range(len(names)))
        return {name: saved.marks[path] for name, path in zip(names, paths, strict=True) if path in saved.marks}
    if saved.layers:
        configs = {each["config"]["name"]: each["config"] for each in saved.layers}
        return {name: configs[name].get("published", True) for name in names if name in configs}
    return dict.fromkeys(names)


def _attention_mismatch(model, saved):
    """(the file's attention, the model's) where class or heads differ, else None."""
    saved = {each["config"]["name"]: _attention(each["class_name"], each["config"]) for each in saved}
    for layer in attention_layers(model):
        here = _attention(type(layer).__name__, layer.get_config())
        if saved.get(layer.name, here) != here:
            return saved[layer.name], here
    return None


def _attention(class_name, config):
    heads = f"(num_heads={config['num_heads']})" if "num_heads" in config else ""
    return class_name.split(">")[-1] + heads
