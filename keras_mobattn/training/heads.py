"""The heads of a model that starts from an earlier run, which may have its classes in another order."""

import warnings
from pathlib import Path

import numpy as np

from keras_mobattn.names import HEADS
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.tasks.start import in_our_order


def match_heads(model, weights, class_names):
    """Put heads that were loaded from the file `weights` into the order of `class_names`.

    The run that the file lies in tells their order. If its classes are others, the heads start anew, with a warning; so
    they do in loading where the numbers differ. Where no run tells, a head with as many classes stays as it is loaded,
    with a warning.
    """
    run = RunFolder.of(weights) if Path(weights).exists() else None
    theirs, ours = run.labels if run else (), tuple(class_names)
    heads = [layer for layer in model.layers if layer.name in HEADS]
    if Path(weights).is_file() and not theirs and any(np.any(head.bias) for head in heads):  # it begins as zeros
        warnings.warn(in_our_order(weights, ours), stacklevel=3)
    if not heads or not theirs or theirs == ours or len(theirs) != len(ours):
        return
    if set(theirs) == set(ours):
        order = [theirs.index(name) for name in ours]
        for head in heads:
            one = head.units == 1  # the probability of the second class: the other's is that of minus the logit
            head.set_weights([-values if one else values[..., order] for values in head.get_weights()])
        return
    for head in heads:
        head.kernel.assign(head.kernel_initializer(head.kernel.shape))
        head.bias.assign(head.bias_initializer(head.bias.shape))
    other = [name for name in theirs if name not in ours]
    warnings.warn(
        f"{weights} was loaded without its head: that is of other classes, {', '.join(other[:3])} "
        f"({len(other)} of {len(theirs)}), and the model's stays as it was initialised.",
        stacklevel=3,
    )
