"""How far a converted file's numbers are from what half precision holds, and in which layer."""

import dataclasses

from keras_mobattn.errors import InputError
from keras_mobattn.export.layer_names import innermost, layers_by_path
from keras_mobattn.formats.float16 import HALF_MAX
from keras_mobattn.half import evaluate_half


@dataclasses.dataclass(frozen=True)
class Headroom:
    """How many times larger the values of a file, and the sums behind them, may get before float16 overflows.

    `value` is None where it could not be computed, and `text` then says why; else it says where it is tightest: "MEAN
    in layer 'norm' sums up to 2e+05". `limit`: where such values end.
    """

    value: float | None
    text: str
    limit: float = HALF_MAX


def headroom_of(path, inputs, model):
    """Run a file of the Keras model `model` once, in float32; return its Headroom, None if nothing in it is float16."""
    try:
        return headroom_in(evaluate_half(path, inputs, "float32").tensors, model)
    except InputError as error:
        return headroom_in((), model, problem=str(error).replace(repr(str(path)), "the file"))


def headroom_in(tensors, model, problem=None):
    """The Headroom of the TensorReports of a run; with a `problem` one without a value, which says why."""
    if problem:
        return Headroom(None, problem)
    if not tensors:
        return None
    place = min(range(len(tensors)), key=lambda index: tensors[index].headroom)
    tensor, sums = tensors[place], (tensors[place].running_sum or 0.0) > tensors[place].largest
    operator = operator_in_words(tensors, place, model)
    text = f"{operator} {'sums' if sums else 'goes'} up to {tensor.reached:.3g}"
    return Headroom(tensor.headroom, text, tensor.limit)


def operator_in_words(tensors, place, model):
    """ "MEAN in layer 'norm'" of the tensor at `place`; the name of an input."""
    tensor = tensors[place]
    return f"{tensor.operator} in {_layer(model, tensors, place)}" if tensor.operator else repr(tensor.name)


def _layer(model, tensors, place):
    """The layer of a tensor; of one whose name tells none, which a converter made, the next that has one."""
    order = (*tensors[place:], *reversed(tensors[:place]))
    paths = layers_by_path(model)
    layers = (innermost(paths, model.name, tensor.name) for tensor in order if tensor.operator)
    layer = next(filter(None, layers), None)
    return f"layer {layer!r}" if layer else repr(tensors[place].name)
