"""Moving tensors between checkpoints and models: each by a rule to a place, or none at all."""

import numpy as np
import tf_keras as keras

from keras_mobattn._packages import needs
from keras_mobattn._types import PathLike
from keras_mobattn.errors import InputError, expect_kind, expect_path
from keras_mobattn.families import FAMILIES
from keras_mobattn.files import replacing
from keras_mobattn.names import GRIDS, HEAD_BIAS, is_attention, layer_of, part_of, role_of, variable_name
from keras_mobattn.weights.transforms import GRID, SAME


def variables_of(model):
    """{name in the layouts: variable} of a model; names are layer/weight or layer/sublayer/weight."""
    return {variable_name(layer.name, each.name): each for layer in model.layers for each in layer.weights}


def attention_layers(model):
    """A model's attention layers, in order."""
    return [layer for layer in model.layers if is_attention(layer.name)]


def recognise(tensors, layouts=None):
    """The (Family, Layout) whose rules know most of these keys; None if none knows half of them.

    `layouts` are such pairs; None: all of classification.
    """
    layouts = _layouts() if layouts is None else layouts
    known = {each: sum(each[1].find(key) is not None for key in tensors) for each in layouts}
    best = max(known, key=known.get)
    return best if 2 * known[best] > len(tensors) else None


def _layouts():
    return [(family, layout) for family in FAMILIES.values() for layout in family.sources]


def same_name(key):
    """The rule for tensors that are called as our variables: a `find` for `assign`."""
    return (key,), GRID if role_of(key) in GRIDS else SAME


def assign(model, tensors, find, skip=()):
    """Assign every tensor to the variables that `find(key)` names, or none at all.

    `find` is a Layout's, or `same_name`. Tensors and variables of the parts `skip` don't count.

    Raises:
        InputError: tensors or variables left over, and shapes that differ; it lists all of them.
    """
    variables = {name: each for name, each in variables_of(model).items() if not _is_in(name, skip)}
    places, filled, problems = [], set(), []
    for key, tensor in tensors.items():
        names, transform = find(key) or ((key,), None)
        if any(_is_in(name, skip) for name in names):
            continue
        if transform is None or not all(name in variables and name not in filled for name in names):
            problems.append(f"{key} {tensor.shape}: the model has no place for it")
            continue
        filled.update(names)
        targets = [variables[name] for name in names]
        tensor = transform.resample(tensor, _shapes(targets))
        expected = _fused_shape(targets, transform)
        if targets and (tensor.shape != expected or tensor.dtype.kind != "f"):
            problems.append(f"{key}: the model expects {expected}, the file has {tensor.shape} of {tensor.dtype}")
        places.append((targets, tensor, transform))
    problems += [
        f"{name} {tuple(each.shape)}: the file has nothing for it"
        for name, each in variables.items()
        if name not in filled
    ]
    if problems:
        lines = "\n  ".join(problems)
        raise InputError(f"Expected tensors that fit {model.name}. Received: {len(problems)} that do not:\n  {lines}")
    for place in places:
        _fill(*place)


def _is_in(variable, parts):
    return part_of(layer_of(variable)) in parts


def _fused_shape(variables, transform):
    """The shape of the torch tensor that holds these variables' rows one after the other."""
    # A broadcast zero has the shape and needs no memory.
    zeros = [np.broadcast_to(np.float32(0), shape) for shape in _shapes(variables)]
    return transform.join(zeros).shape if zeros else None


def _shapes(variables):
    return [tuple(variable.shape) for variable in variables]


def _fill(variables, tensor, transform):
    if not variables:  # a buffer that inference doesn't need
        return
    arrays = transform.split(tensor, _shapes(variables))
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array.astype(variable.dtype.as_numpy_dtype))


def head_to_skip(model, classes):
    """Why a file's head of so many classes (None: no head) does not fit the model's; None if it does."""
    bias = variables_of(model).get(HEAD_BIAS)
    own = None if bias is None else bias.shape[0]
    if classes in (None, own):
        return None
    if own is None:
        return f"that has {classes} classes, and the model has no head"
    has = "gives one probability" if own == 1 else f"has {own}"
    return f"that has {classes} classes, and the model's {has} and stays as it was initialised"


def attention_mismatch(model, family):
    """The model's attention in words, if the checkpoints of `family` were trained with another one; else None.

    Names and shapes of variables don't tell: Mobile-Attention's are softmax attention's, with 2 heads as with 4.
    """
    for layer in attention_layers(model):
        config = layer.get_config()
        other = {name: config.get(name) for name, value in family.attention_config.items() if config.get(name) != value}
        if type(layer).__name__ != family.attention_class:
            return type(layer).__name__
        if other:
            return f"{type(layer).__name__} with {', '.join(f'{name}={value!r}' for name, value in other.items())}"
    return None


def to_timm(model: keras.Model, path: PathLike) -> None:
    """Write the weights of a model to a .safetensors file that timm's model of the same name loads.

    By the same tables that `weights=` reads with: torch's layouts, query, key and value fused, float32. A model without
    a head gives a file without one, for timm's num_classes=0. Batch norm's count of training steps is left out: torch
    takes it as zero.

    Raises:
        InputError: another suffix; a model that isn't of this package, or whose attention isn't timm's.
        OSError: the file can't be written.
    """
    needs("safetensors")
    import safetensors.numpy

    expect_kind("model", model, keras.Model, "a keras.Model", "Load it: keras_mobattn.models.load_model(file).")
    if expect_path(path).suffix != ".safetensors":
        raise InputError(f"Expected the path of a .safetensors file for to_timm. Received: {str(path)!r}.")
    variables = variables_of(model)
    tensors = {
        # safetensors writes an array's memory as it lies there, whatever its strides.
        key: np.ascontiguousarray(transform.join([variables[name].numpy() for name in names]), "f4")
        for key, names, transform in _timm_names(model, variables)
    }
    with replacing(path) as beside:
        safetensors.numpy.save_file(tensors, beside, metadata={"format": "pt"})


def _timm_names(model, variables):
    """[(timm's key, our names, transform)] for all of a model's variables."""
    named = [(family, layout.name_all(variables)) for family, layout in _layouts() if layout.name == "timm"]
    family, rows = max(named, key=lambda each: len(each[1]))
    left_over = set(variables) - {name for _, names, _ in rows for name in names}
    attention = attention_mismatch(model, family)
    if attention or left_over:
        wanted = " or ".join(f"a {each.name} with {each.attention} attention" for each in FAMILIES.values())
        raise InputError(
            f"Expected {wanted} for to_timm. Received: {model.name!r}, which has "
            f"{attention or ', '.join(sorted(left_over))}."
        )
    return rows
