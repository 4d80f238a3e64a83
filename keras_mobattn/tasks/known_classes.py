"""A refusal of predictions whose classes have no name."""

import numpy as np

from keras_mobattn.errors import InputError


def expect_known(numbers, class_names):
    """Raise InputError where one of a model's `numbers` of classes has no name: the model has more classes than the
    images, and which of its own these are, nobody says."""
    if np.size(numbers) and (most := int(np.max(numbers))) >= len(class_names):
        raise InputError(
            f"Expected a model of the images' {len(class_names)} classes. Received: one that finds class number "
            f"{most}, counted from 0. Put the file into the folder of its run, or convert it with --labels FILE: "
            "classes go by their names."
        )
