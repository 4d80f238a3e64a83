"""A detector that starts from another one's file: classes go by their names, all else has to fit."""

import json
import warnings
import zipfile
from pathlib import Path

from keras_mobattn.errors import InputError
from keras_mobattn.layers import JoinLevels
from keras_mobattn.models import load_model
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.tasks.detection.ssdlite import maps_and_sizes

SUFFIX = ".keras"  # the one format that tells its layers without running code


def is_detector_file(path):
    """Whether `path` is a .keras file of an SSDLite."""
    path = Path(path)
    if path.suffix != SUFFIX or not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            layers = json.loads(archive.read("config.json"))["config"]["layers"]
        return any(layer["class_name"].split(">")[-1] == JoinLevels.__name__ for layer in layers)
    except (zipfile.BadZipFile, KeyError, TypeError, AttributeError, ValueError):
        return False  # whoever reads it says what is wrong


def sizes_of_file(path):
    """The sizes of the anchors of a detector's file."""
    return maps_and_sizes(load_model(path))[1]


def start_from(model, path, class_names):
    """Fill the SSDLite `model` from the .keras file of another one.

    The run that the file lies in tells the names of its classes. Of classes that both have, the logits are taken over
    by name; those of new ones start as they were initialised, which is said. Without such a run the numbers of classes
    have to be the same, and so are the classes.

    Raises:
        InputError: another backbone, attention or other levels.
    """
    earlier, run = load_model(path), RunFolder.of(path)
    theirs, ours = run.labels if run else (), tuple(class_names)
    weights = {layer.name: layer.get_weights() for layer in earlier.layers}
    # Of the logits of the background and of each class, (ours, theirs) of those that both have.
    pairs = [(0, 0)] + [(ours.index(name) + 1, place + 1) for place, name in enumerate(theirs) if name in ours]
    filled = []
    for layer in model.layers:
        given = weights.get(layer.name, [])
        if theirs and layer.name.startswith("head") and layer.name.endswith("_scores"):
            given = [
                _by_class(own, other, pairs, len(theirs) + 1, len(ours) + 1)
                for own, other in zip(layer.get_weights(), given, strict=True)
            ]
        shapes = [[value.shape for value in each] for each in (layer.get_weights(), given)]
        if shapes[0] != shapes[1]:
            raise InputError(
                f"Expected weights of {model.name} with {len(ours)} classes. Received: {str(path)!r}, whose layer "
                f"{layer.name!r} has {shapes[1] or 'none'} in place of {shapes[0]}. Take its settings: model, width, "
                "variant, attention, finest_stride."
            )
        filled.append((layer, given))
    for layer, given in filled:
        layer.set_weights(given)
    new = [name for name in ours if name not in theirs]
    if theirs and new:
        warnings.warn(
            f"{path} knows {len(ours) - len(new)} of the {len(ours)} classes: {', '.join(new[:3])} "
            f"{'starts' if len(new) == 1 else 'start'} anew.",
            stacklevel=4,
        )


def _by_class(own, other, pairs, theirs, ours):
    """`own` [.., anchors * ours] with the logits of `pairs` out of `other` [.., anchors * theirs]."""
    if other.shape[-1] % theirs or own.shape[-1] // ours != other.shape[-1] // theirs:
        return other  # other anchors: the shapes tell
    if own.shape[:-1] != other.shape[:-1]:
        return other  # another width of the level: likewise
    own = own.reshape(*own.shape[:-1], -1, ours).copy()
    other = other.reshape(*other.shape[:-1], -1, theirs)
    to, source = zip(*pairs, strict=True)
    own[..., list(to)] = other[..., list(source)]
    return own.reshape(*own.shape[:-2], -1)
