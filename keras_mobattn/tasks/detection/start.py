"""A detector that starts from another one's file: classes go by their names, all else has to fit."""

import functools

from keras_mobattn.layers import JoinLevels
from keras_mobattn.models import load_model
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.tasks.detection.ssdlite import maps_and_sizes
from keras_mobattn.tasks.start import fill_from, layers_of_file


def is_detector_file(path):
    """Whether `path` is a .keras file of an SSDLite."""
    return any(layer["class_name"].split(">")[-1] == JoinLevels.__name__ for layer in layers_of_file(path))


def sizes_of_file(path):
    """The sizes of the anchors of a detector's file."""
    return maps_and_sizes(load_model(path))[1]


def start_from(model, path, class_names, skip=None):
    """Fill the SSDLite `model` from the .keras file of another one.

    The run that the file lies in tells the names of its classes. Of classes that both have, the logits are taken over
    by name; those of new ones start as they were initialised, which is said. Without such a run the numbers of classes
    have to be the same, and so are the classes. With `skip` "attention" the attention stays as it was initialised.

    Raises:
        InputError: another backbone, attention or other levels.
    """
    earlier, run = load_model(path), RunFolder.of(path)
    theirs, ours = run.labels if run else (), tuple(class_names)
    # Of the logits of the background and of each class, (ours, theirs) of those that both have.
    pairs = [(0, 0)] + [(ours.index(name) + 1, place + 1) for place, name in enumerate(theirs) if name in ours]
    matched = functools.partial(_by_class, pairs=pairs, theirs=len(theirs) + 1, ours=len(ours) + 1)
    names = (layer.name for layer in model.layers)
    by_class = {name: matched for name in names if name.startswith("head") and name.endswith("_scores")}
    settings = "model, width, variant, attention, finest_stride"
    fill_from(model, earlier, path, (ours, theirs), by_class=by_class, settings=settings, skip=skip)


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
