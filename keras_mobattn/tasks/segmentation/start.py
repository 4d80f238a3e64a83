"""A segmenter that starts from another one, a file or a published one: classes go by their names, all else has to
fit."""

import functools

from keras_mobattn.models import load_model
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.tasks.segmentation.checkpoint import VOC
from keras_mobattn.tasks.segmentation.deeplabv3 import DeepLabV3
from keras_mobattn.tasks.segmentation.heads import AUXILIARY, CLASSIFIER
from keras_mobattn.tasks.start import fill_from, layers_of_file
from keras_mobattn.weights.tags import published_segmenter

BY_CLASS = (CLASSIFIER, f"{CLASSIFIER}_fine", f"{AUXILIARY}_classifier")


def is_segmenter_file(path):
    """Whether `path` is a .keras file of a segmenter, or the name of a published one."""
    if published_segmenter(path):
        return True
    return any(layer["config"]["name"] == CLASSIFIER for layer in layers_of_file(path))


def start_from(model, path, class_names, skip=None):
    """Fill the segmenter `model` from the .keras file of another one, or from a published one by its name.

    The run that the file lies in tells the names of its classes. Of classes that both have, the logits are taken over
    by name; those of new ones start as they were initialised, which is said. Without such a run the numbers of classes
    have to be the same, and so are the classes. An auxiliary head that the file lacks starts anew. With
    `skip` "attention" the attention stays as it was initialised.

    Raises:
        InputError: another backbone, attention, head or output stride.
    """
    ours = tuple(class_names)
    if published_segmenter(path):
        earlier, theirs = DeepLabV3(weights=str(path)), VOC
    else:
        earlier, run = load_model(path), RunFolder.of(path)
        theirs = run.labels if run else ()
    pairs = [(ours.index(name), place) for place, name in enumerate(theirs) if name in ours]
    by_class = dict.fromkeys(BY_CLASS, functools.partial(_by_class, pairs=pairs))
    settings = "model, width, variant, attention, head, head_width"
    fill_from(model, earlier, path, (ours, theirs), by_class=by_class, settings=settings, skip=skip, anew=AUXILIARY)


def _by_class(own, other, pairs):
    """`own` [.., ours] with the logits of `pairs` out of `other` [.., theirs]; other shapes tell of themselves."""
    if own.shape[:-1] != other.shape[:-1]:
        return other
    own = own.copy()
    to, source = zip(*pairs, strict=True) if pairs else ((), ())
    own[..., list(to)] = other[..., list(source)]
    return own
