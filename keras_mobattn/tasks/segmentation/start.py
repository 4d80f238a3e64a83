"""A segmenter that starts from another one, a file or a published one: classes go by their names, all else has to
fit."""

import json
import warnings
import zipfile
from pathlib import Path

from keras_mobattn.errors import InputError
from keras_mobattn.families.family import SegmenterCheckpoint
from keras_mobattn.models import load_model
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.tasks.segmentation.checkpoint import VOC
from keras_mobattn.tasks.segmentation.deeplabv3 import DeepLabV3
from keras_mobattn.tasks.segmentation.heads import AUXILIARY, CLASSIFIER
from keras_mobattn.weights.tags import SEGMENTERS

SUFFIX = ".keras"  # the one format that tells its layers without running code
BY_CLASS = (CLASSIFIER, f"{CLASSIFIER}_fine", f"{AUXILIARY}_classifier")


def is_segmenter_file(path):
    """Whether `path` is a .keras file of a segmenter, or the name of a published one."""
    if published_segmenter(path):
        return True
    path = Path(path)
    if path.suffix != SUFFIX or not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            layers = json.loads(archive.read("config.json"))["config"]["layers"]
        return any(layer["config"]["name"] == CLASSIFIER for layer in layers)
    except (zipfile.BadZipFile, KeyError, TypeError, AttributeError, ValueError):
        return False  # whoever reads it says what is wrong


def published_segmenter(name):
    """The SegmenterCheckpoint of this name; None for what is none."""
    return SEGMENTERS.get(str(name).removeprefix(f"{SegmenterCheckpoint.owner}/"))


def start_from(model, path, class_names):
    """Fill the segmenter `model` from the .keras file of another one, or from a published one by its name.

    The run that the file lies in tells the names of its classes. Of classes that both have, the logits are taken over
    by name; those of new ones start as they were initialised, which is said. Without such a run the numbers of classes
    have to be the same, and so are the classes. An auxiliary head that the file lacks starts anew.

    Raises:
        InputError: another backbone, attention, head or output stride.
    """
    ours = tuple(class_names)
    if published_segmenter(path):
        earlier, theirs = DeepLabV3(weights=str(path)), VOC
    else:
        earlier, run = load_model(path), RunFolder.of(path)
        theirs = run.labels if run else ()
    weights = {layer.name: layer.get_weights() for layer in earlier.layers}
    pairs = [(ours.index(name), place) for place, name in enumerate(theirs) if name in ours]
    filled = []
    for layer in model.layers:
        if layer.name.startswith(AUXILIARY) and layer.name not in weights:
            continue
        given = weights.get(layer.name, [])
        if theirs and layer.name in BY_CLASS:
            given = [_by_class(*both, pairs) for both in zip(layer.get_weights(), given, strict=True)]
        shapes = [[value.shape for value in each] for each in (layer.get_weights(), given)]
        if shapes[0] != shapes[1]:
            raise InputError(
                f"Expected weights of {model.name} with {len(ours)} classes. Received: {str(path)!r}, whose layer "
                f"{layer.name!r} has {shapes[1] or 'none'} in place of {shapes[0]}. Take its settings: model, width, "
                "variant, attention, head, head_width."
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


def _by_class(own, other, pairs):
    """`own` [.., ours] with the logits of `pairs` out of `other` [.., theirs]; other shapes tell of themselves."""
    if own.shape[:-1] != other.shape[:-1]:
        return other
    own = own.copy()
    to, source = zip(*pairs, strict=True) if pairs else ((), ())
    own[..., list(to)] = other[..., list(source)]
    return own
