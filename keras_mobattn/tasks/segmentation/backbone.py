"""The maps of a backbone on which segmentation heads stand."""

from typing import NamedTuple

import tf_keras as keras

from keras_mobattn.errors import InputError, choose, expect_kind
from keras_mobattn.models import MODELS, at_output_stride
from keras_mobattn.models.pyramid import feature_pyramid
from keras_mobattn.names import LEVELS

SIDE = 512  # of a backbone that is given by its name
FINE, MIDDLE = "P3", "P4"


class Maps(NamedTuple):
    """Maps of a backbone: `last` is the deepest, `middle` the one before, `fine` that of stride 8 or None. DeiT's one
    is `last` and `middle`.
    """

    image: object
    last: object
    middle: object
    fine: object
    name: str  # the backbone's


def maps_of(backbone, output_stride, input_shape=(SIDE, SIDE, 3)):
    """The Maps of a backbone: a model of this package without top, or the name of a family.

    MobileViT and MobileViTv2 get the `output_stride`, as copies with the same weights where they are given with another
    one; other families keep their own.

    Raises:
        InputError: no such backbone, one of an open size, or with sides that its maps do not divide.
    """
    if isinstance(backbone, str):
        backbone = choose(MODELS, backbone, "backbone")(include_top=False, input_shape=input_shape)
    expect_kind("backbone", backbone, keras.Model, "a keras.Model, such as MobileViTv2(include_top=False), or a name")
    present = {layer.name for layer in backbone.layers} & set(LEVELS)
    if MIDDLE not in present or len(backbone.output_shape) != 4:
        raise InputError(
            f"Expected a backbone with a map {MIDDLE} and without top, such as MobileViTv2(include_top=False). "
            f"Received: {backbone.name!r} with {', '.join(sorted(present)) or 'no such maps'} and an output "
            f"{backbone.output_shape}."
        )
    if None in backbone.input_shape[1:]:
        raise InputError(
            f"Expected a backbone of a fixed size. Received: an input of {list(backbone.input_shape)}. Build it with "
            f"input_shape=({SIDE}, {SIDE}, 3), say."
        )
    backbone = at_output_stride(backbone, output_stride)
    pyramid = feature_pyramid(backbone, sorted(present)).output
    maps = Maps(backbone.input, pyramid[max(present)], pyramid[MIDDLE], pyramid.get(FINE), backbone.name)
    for each in maps[1:-1]:
        _expect_divided(backbone, each)
    return maps


def stride_of(maps):
    """The stride of the deepest map."""
    return maps.image.shape[1] // maps.last.shape[1]


def _expect_divided(backbone, x):
    if x is None:
        return
    sides, found = backbone.input_shape[1:3], tuple(x.shape[1:3])
    if any(side % each for side, each in zip(sides, found, strict=True)) or sides[0] * found[1] != sides[1] * found[0]:
        multiple = 2 ** (round(sides[0] / found[0]) - 1).bit_length() * 2
        near = tuple(max(round(side / multiple), 1) * multiple for side in sides)
        raise InputError(
            f"Expected a backbone whose input has sides that its stride divides, so that masks fit. Received: "
            f"{list(sides)} with a map of {list(found)}. The nearest is input_shape=({near[0]}, {near[1]}, 3)."
        )
