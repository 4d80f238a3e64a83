"""Loading what `weights=` takes: "imagenet", a tag, or a file. It fits, or it is an error that says why."""

import warnings
from pathlib import Path

import tf_keras as keras

from keras_mobattn.errors import InputError
from keras_mobattn.families import FAMILIES, Family
from keras_mobattn.names import ATTENTION, HEAD, HEAD_BIAS
from keras_mobattn.weights.checkpoint_file import READERS, read_checkpoint
from keras_mobattn.weights.hub import download
from keras_mobattn.weights.keras_file import SUFFIXES, load_keras_file
from keras_mobattn.weights.port import assign, attention_mismatch, head_to_skip, recognise
from keras_mobattn.weights.tags import find_tag, imagenet_tag

SKIPS = {None: (), "attention": (ATTENTION,)}  # weights_skip -> the parts of the model that it keeps as they are


def load_weights(
    model: keras.Model, weights: str | Path, family: Family, architecture: str, skip: str | None = None
) -> None:
    """Fill `model` with pretrained weights: all of it, but its head where the classes differ; or nothing.

    `weights` is "imagenet" (the best published checkpoint of `architecture` at its default size), a tag of TAGS, or a
    file: .safetensors, .pt, .pth or .bin as timm, apple/ml-cvnets or transformers write it, recognised by its keys, or
    Keras's own .keras or .h5. `family` is the model's Family and `architecture` its default name, such as
    "mobilevitv2_100". With skip="attention" the attention layers keep the values that they were initialised with.

    Warns, once, of a head that was not loaded, since the model has none or another number of classes.

    Raises:
        InputError: no such tag or file; one that can't be downloaded or read; one for another architecture or another
            attention; tensors left over on either side, or of other shapes.
    """
    if skip not in SKIPS:
        raise InputError(f"Expected weights_skip to be None or 'attention'. Received: {skip!r}.")
    path, name = _find(weights, architecture)
    if path.suffix in SUFFIXES:
        head = load_keras_file(model, path, name, SKIPS[skip])
    else:
        head = _load_checkpoint(model, path, name, family, architecture, SKIPS[skip])
    if head:
        # 4: to whoever called the model function, which called `application`, which called this.
        warnings.warn(f"{name} was loaded without its head: {head}.", UserWarning, stacklevel=4)


def _find(weights, architecture):
    """The file to read, and what to call it."""
    suffixes = (*READERS, *SUFFIXES)
    if not isinstance(weights, str | Path):
        raise InputError(f"Expected weights to be None, 'imagenet', a tag or a path. Received: {weights!r}.")
    path = Path(weights)
    if path.is_file() and path.suffix in suffixes:
        return path, str(path)
    if path.suffix in suffixes or path.is_file() or isinstance(weights, Path):
        problem = f"which is none of {', '.join(suffixes)}" if path.exists() else "which does not exist"
        raise InputError(
            f"Expected weights to be None, 'imagenet', a tag or the path of a file. Received: {str(path)!r}, {problem}."
        )
    tag = imagenet_tag(architecture) if weights == "imagenet" else find_tag(weights)
    if tag.architecture != architecture:
        raise InputError(
            f"Expected weights of {architecture}. Received: {weights!r}, which is for keras_mobattn.{tag.call}."
        )
    return download(tag), tag.repository


def _load_checkpoint(model, path, name, family, architecture, skip):
    """Load another package's checkpoint; return why the head was left out, or None."""
    tensors = read_checkpoint(path)
    recognised = recognise(tensors)
    if recognised is None:
        known = (f"{each.name} ({', '.join(layout.name for layout in each.sources)})" for each in FAMILIES.values())
        raise InputError(
            f"Expected a classification checkpoint of one of these, as the packages beside it write it: "
            f"{', '.join(known)}. Received: {name}, with keys such as {', '.join(list(tensors)[:3])}. Get another file."
        )
    trained, layout = recognised
    if trained is not family:
        raise InputError(f"Expected weights of {architecture}. Received: {name}, a checkpoint of {trained.name}.")
    attention = None if ATTENTION in skip else attention_mismatch(model, family)
    if attention:
        raise InputError(
            f"Expected a model with attention={family.attention!r}, as {name} was trained. Received: one with "
            f"{attention}. weights_skip='attention' loads all but the attention layers, for fine-tuning."
        )
    sizes = {found[0]: len(tensors[key]) for key in tensors if (found := layout.find(key)) and found[0]}
    reason = head_to_skip(model, sizes.get((HEAD_BIAS,)))
    try:
        assign(model, tensors, layout.find, (*skip, HEAD) if reason else skip)
    except InputError as error:
        raise InputError(f"{error}\nThat is in {name}, of {layout.name}'s layout, for {architecture}.") from None
    return reason
