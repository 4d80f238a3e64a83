"""Weights of segmenters into ours, published ones by name: all of them fit, or it is an error that says why."""

import warnings
from pathlib import Path

from keras_mobattn.errors import InputError, expect_kind, expect_path
from keras_mobattn.families import FAMILIES
from keras_mobattn.models import load_model
from keras_mobattn.tasks.segmentation.heads import AUXILIARY
from keras_mobattn.tasks.start import expect_same_attention
from keras_mobattn.weights import download, find_segmenter, read_checkpoint
from keras_mobattn.weights.checkpoint_file import READERS
from keras_mobattn.weights.keras_file import SUFFIXES
from keras_mobattn.weights.layouts.segmentation import with_segmentation
from keras_mobattn.weights.port import (
    assign,
    attention_mismatch,
    recognise,
    same_name,
    variables_of,
)

VOC = (  # Pascal VOC's classes in the order of its masks' values, which is that of the published segmenters' logits
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)


def published(weights):
    """The SegmenterCheckpoint that `weights` names; None for the path of a file, and for None.

    Raises:
        InputError: neither, or a name that no checkpoint has.
    """
    if weights is None:
        return None
    expect_kind("weights", weights, (str, Path), "None, the name of a published checkpoint or the path of a file")
    path = expect_path(weights, "weights")
    is_path = isinstance(weights, Path) or path.suffix in (*READERS, *SUFFIXES) or path.is_file()
    return None if is_path else find_segmenter(weights)


def with_weights(model, weights, tag=None):
    """The segmenter `model`, filled with the file `weights`, or with that of the SegmenterCheckpoint `tag`, or not at
    all where both are None."""
    if weights is not None:
        load_segmenter(model, weights if tag is None else download(tag))
    return model


def load_segmenter(model, path):
    """Fill a segmenter with the file at `path`: all of it, or nothing.

    It is a checkpoint of apple/ml-cvnets or transformers (.safetensors, .pt, .pth, .bin), recognised by its keys, or a
    whole model that Keras saved (.keras, .h5). Of a file with an auxiliary head a model without one takes the rest, and
    a warning says so: only training needs that head.

    Raises:
        InputError: no such file, or none of a segmenter; another backbone, attention or number of classes; tensors left
            over on either side, of which it lists all.
    """
    path = expect_path(path)
    tensors, find, layout = (_keras_tensors if path.suffix in SUFFIXES else _torch_tensors)(model, path)
    tensors = _without_auxiliary(model, tensors, find, path)
    try:
        assign(model, tensors, find)
    except InputError as error:
        raise InputError(f"{error}\nThat is in {str(path)!r}, of {layout}'s layout.") from None


def _torch_tensors(model, path):
    """(tensors, the rule that finds their places, the layout's name) of another package's checkpoint."""
    tensors = read_checkpoint(path)
    layouts = [(family, with_segmentation(layout)) for family in FAMILIES.values() for layout in family.sources]
    layouts = [each for each in layouts if each[1]]
    recognised = recognise(tensors, layouts)
    if recognised is None:
        known = (f"{family.name} ({layout.name})" for family, layout in layouts)
        raise InputError(
            f"Expected a checkpoint of a segmenter on one of these: {', '.join(known)}. Received: {str(path)!r}, with "
            f"keys such as {', '.join(list(tensors)[:3])}. Get another file."
        )
    family, layout = recognised
    if other := attention_mismatch(model, family):
        raise InputError(
            f"Expected a backbone with attention={family.attention!r}, as {str(path)!r} was trained. Received: one "
            f"with {other}."
        )
    return tensors, layout.find, layout.name


def _keras_tensors(model, path):
    """(tensors, the rule that finds their places, the layout's name) of a model that Keras saved."""
    saved = load_model(path)
    expect_same_attention(model, saved, path)
    return {name: each.numpy() for name, each in variables_of(saved).items()}, same_name, "Keras"


def _without_auxiliary(model, tensors, find, path):
    """Those of `tensors` that are not the auxiliary head's; all, if the model has one."""
    if any(_is_auxiliary(layer.name) for layer in model.layers):
        return tensors
    kept = {key: tensor for key, tensor in tensors.items() if not any(map(_is_auxiliary, (find(key) or ((),))[0]))}
    if len(kept) < len(tensors):
        # 5: to whoever called the model function, which called `with_weights`, `load_segmenter` and this.
        warnings.warn(
            f"{str(path)!r} was loaded without its auxiliary head, which {model.name} does not have: only training "
            "needs it.",
            UserWarning,
            stacklevel=5,
        )
    return kept


def _is_auxiliary(name):
    return name.startswith(f"{AUXILIARY}_")
