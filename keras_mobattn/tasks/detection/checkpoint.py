"""Weights of apple/ml-cvnets' SSDLite into ours: all of them fit, or it is an error that says why."""

from keras_mobattn.errors import InputError, expect_path
from keras_mobattn.families import FAMILIES
from keras_mobattn.weights import read_checkpoint
from keras_mobattn.weights.layouts.ssd import with_ssd
from keras_mobattn.weights.port import assign, attention_mismatch, recognise

SOURCE = "cvnets"


def load_detector(model, path):
    """Fill an SSDLite with the checkpoint of apple/ml-cvnets at `path`: .pt, .pth, .bin or .safetensors.

    Raises:
        InputError: no such file, none of a detector on a backbone of these; another backbone, attention or number of
            classes; tensors left over on either side.
    """
    tensors = read_checkpoint(expect_path(path))
    layouts = [
        (family, with_ssd(layout)) for family in FAMILIES.values() for layout in family.sources if layout.name == SOURCE
    ]
    recognised = recognise(tensors, layouts)
    if recognised is None:
        known = " or ".join(family.name for family, _ in layouts)
        raise InputError(
            f"Expected a checkpoint of apple/ml-cvnets' SSDLite on {known}. Received: {str(path)!r}, "
            f"with keys such as {', '.join(list(tensors)[:3])}. Get another file."
        )
    family, layout = recognised
    if other := attention_mismatch(model, family):
        raise InputError(
            f"Expected a backbone with attention={family.attention!r}, as {str(path)!r} was trained. Received: one "
            f"with {other}."
        )
    try:
        assign(model, tensors, layout.find)
    except InputError as error:
        raise InputError(f"{error}\nThat is in {str(path)!r}, of {layout.name}'s layout.") from None
