"""The model functions by name, and a published checkpoint as a model."""

import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

import tf_keras as keras

from keras_mobattn.errors import expect_name
from keras_mobattn.families import FAMILIES, DerivedMapping
from keras_mobattn.weights.tags import find_tag

ModelFunction: TypeAlias = Callable[..., keras.Model]
# Name -> function
MODELS: DerivedMapping[ModelFunction] = DerivedMapping(lambda: FAMILIES, lambda family: family.build)
# The papers' models by name -> (function, its arguments)
PUBLISHED: DerivedMapping[tuple[ModelFunction, dict[str, Any]]] = DerivedMapping(
    lambda: {family.title(name): (family, name) for family in FAMILIES.values() for name in family.variants},
    lambda entry: (entry[0].build, dict(entry[0].variants[entry[1]].arguments)),
)


def published_name(family: str, **options: Any) -> str:
    """The name of the published model that a family's function makes with `options`: "mobilevitv2_100", "" for none.

    An option that is left out or None has the function's default.

    Raises:
        InputError: an unknown family.
    """
    expect_name(FAMILIES, family, "family")
    defaults = {name: each.default for name, each in inspect.signature(MODELS[family]).parameters.items()}
    made = defaults | {name: value for name, value in options.items() if name in defaults and value is not None}
    variants = FAMILIES[family].variants.items()
    return next((name for name, variant in variants if defaults | dict(variant.arguments) == made), "")


def pretrained_model(name: str, **options: Any) -> keras.Model:
    """The model with the weights and the input size of the published checkpoint `name`.

    `options` are further arguments of the model function, or other values of these.

    Raises:
        InputError: no such checkpoint, or weights that can't be had.
    """
    tag = find_tag(name)
    options = {"weights": tag.repository, "input_shape": (tag.input_size, tag.input_size, 3)} | options
    return tag.family.build(**tag.arguments, **options)
