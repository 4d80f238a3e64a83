"""Small models with random weights, and the loading of a file into one that was made before."""

import functools

import numpy as np

from helpers.cases import FAMILIES, RECORDS
from keras_mobattn import randomize_weights
from keras_mobattn.attention import SoftmaxAttention
from keras_mobattn.weights import load

SMALL = {"input_shape": (32, 32, 3), "classes": 10}


def build(family="MobileViTv2", attention=None, **options):
    return FAMILIES[family](attention=attention or RECORDS[family].attention, **{**SMALL, **options})


@functools.cache
def trained(family="MobileViTv2", attention=None):
    return randomize_weights(build(family, attention), seed=1)


@functools.cache
def victim(family="MobileViTv2", attention=None, **options):
    """A model for `attempt`: making one takes longer than what is tested."""
    return build(family, attention, **options)


def attempt(path, *arguments, skip=None, **options):
    """`load_weights` into a model that was made before, and whose weights are all 9."""
    model, (family, *_) = victim(*arguments, **options), arguments or ("MobileViTv2",)
    model.set_weights([np.full_like(value, 9) for value in model.get_weights()])
    load.load_weights(model, path, RECORDS[family], model.name, skip)
    return model


# Softmax attention's variables have the names and shapes of all these, and its numbers mean something else in them.
LOOK_ALIKES = ["mobile", "flow", "linear", functools.partial(SoftmaxAttention, num_heads=2)]
