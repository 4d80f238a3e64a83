"""How far a converted file's numbers are from what half precision holds: a warning, or a refusal."""

import dataclasses
import warnings

from keras_mobattn.errors import InputError
from keras_mobattn.export.layer_names import layer_of
from keras_mobattn.half import HALF_MAX, evaluate_half

ENOUGH = 4.0  # times the largest number on an image: other images have larger ones


@dataclasses.dataclass(frozen=True)
class Headroom:
    """How many times larger the values of a file, and the sums behind them, may get before float16 overflows.

    `value` is None where it could not be computed, and `text` then says why; else it says where it is tightest: "MEAN
    in layer 'norm' sums up to 2e+05".
    """

    value: float | None
    text: str


def headroom_of(path, inputs, model):
    """Run a file of the Keras model `model` once, in float32; return its Headroom, None if nothing in it is float16."""
    try:
        tensors = evaluate_half(path, inputs, "float32").tensors
    except InputError as error:
        return Headroom(None, str(error))
    if not tensors:
        return None
    place = min(range(len(tensors)), key=lambda index: tensors[index].headroom)
    tensor, sums = tensors[place], (tensors[place].running_sum or 0.0) > tensors[place].largest
    operator = f"{tensor.operator} in {_layer(model, tensors, place)}" if tensor.operator else repr(tensor.name)
    return Headroom(tensor.headroom, f"{operator} {'sums' if sums else 'goes'} up to {tensor.reached:.3g}")


def expect_headroom(headroom, least, advice):
    """Return what is wrong with a Headroom for a Tolerance that asks for `least`, or "". Warn below ENOUGH.

    `advice` says what to do about it.
    """
    if headroom.value is None:
        return f"Expected a file whose headroom can be computed. Received: {headroom.text}" if least else ""
    found = f"{headroom.text} on an image, and float16 ends at {HALF_MAX:g}"
    room = f"{headroom.value:.2g}"
    if headroom.value < least:
        return f"Expected headroom from {least:g} in half precision. Received: {room}, since {found}. {advice}."
    if headroom.value < ENOUGH:
        warnings.warn(f"Headroom of {room} in half precision: {found}. {advice}.", stacklevel=4)
    return ""


def _layer(model, tensors, place):
    """The layer of a tensor; of one whose name tells none, which a converter made, the next that has one."""
    order = (*tensors[place:], *reversed(tensors[:place]))
    layers = (layer_of(model, tensor.name) for tensor in order if tensor.operator)
    layer = next(filter(None, layers), None)
    return f"layer {layer!r}" if layer else repr(tensors[place].name)
