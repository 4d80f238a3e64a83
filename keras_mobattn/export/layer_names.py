"""Which layer of a Keras model an operation belongs to, by the operation's name, and which layers a name means.

TensorFlow calls an operation "model/layer/inner_layer/MatMul"; a .tflite file keeps that, a Core ML package writes "_"
for "/". A layer's path is "layer/inner_layer".
"""

import difflib
import re

from keras_mobattn.errors import InputError

NEAREST = 8  # names in an error


def layers_by_path(model):
    """{path: layer} of all layers of a model, inner ones behind the layer that they are in."""
    layers = {}
    for layer in model._flatten_layers(recursive=False, include_self=False):
        layers[layer.name] = layer
        layers |= {f"{layer.name}/{path}": inner for path, inner in layers_by_path(layer).items()}
    return layers


def layer_of(model, name):
    """The path of the layer that an operation or tensor called `name` belongs to; None where the name tells of none."""
    return innermost(layers_by_path(model), model.name, name)


def innermost(paths, model_name, name):
    """The longest of `paths` that `name` lies in."""
    name = _flat(name) + "_"
    return max((path for path in paths if name.startswith(_flat(f"{model_name}/{path}") + "_")), key=len, default=None)


def _flat(name):
    return re.sub(r"\W", "_", name)


def expect_layers(model, names, what):
    """The paths that each of `names` means, {name: {path, ..}}: the layer or inner layer of that name or path, else all
    whose names begin with it: "stage4" means "stage4_conv" and not "stage40", "stage" means both and not "stages".

    Raises:
        InputError: `names` are no texts, or one that no layer's name begins with; `what` they are called.
    """
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name for name in names):
        raise InputError(f"Expected {what} to be a tuple of layers' names. Received: {names!r}.")
    paths = layers_by_path(model)
    return {name: _meant(paths, name) or _unknown(model, paths, name, what) for name in names}


def _meant(paths, name):
    exact = {path for path in paths if f"/{path}".endswith(f"/{name}")}
    begin = re.compile(rf"(^|/){re.escape(name)}" + (r"(?!\d)" if name[-1].isdigit() else r"(?![^\W\d_])"))
    return exact or {path for path in paths if begin.search(path)}


def _unknown(model, paths, name, what):
    near = difflib.get_close_matches(name, paths, NEAREST, 0.0)
    raise InputError(
        f"Expected {what} to be names of layers of {model.name!r}, or what some begin with. Received: {name!r}. There "
        f"are {', '.join(near)}{f', and {len(paths) - len(near)} more' if len(paths) > len(near) else ''}."
    )
