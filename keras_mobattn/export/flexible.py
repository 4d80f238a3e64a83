"""A model for several input sizes: the same layers and weights, with height and width left open."""

import dataclasses

import tf_keras as keras

from keras_mobattn.attention import TalkingHeadAttention
from keras_mobattn.errors import InputError
from keras_mobattn.families import FAMILIES
from keras_mobattn.layers import EmbedTokens, Resize, ResizeLike

RESIZES = (Resize, ResizeLike)
ONE_SIZE = (EmbedTokens, TalkingHeadAttention)  # hold a position for each place of a map
ADVICE = "Leave out input_sizes, and convert once for each size."


def at_any_size(source, sizes):
    """Return the Exportable with a copy of its model that takes images of any size, without its resizes.

    A resize to a size that is known only at run time is what coremltools can't express (MobileViT) or makes arithmetic
    on shapes of (MobileViTv2). So `sizes`, (height, width) each, must be such that no map has to be resized, which in
    EfficientFormerV2's stage 3 it always is. Positions for another size are resampled, and can't be either.

    Raises:
        InputError: a size at which a map has to be resized, or that the model can't take; a detector or segmenter; a
            model with positions (DeiT, EfficientFormerV2 with its own attention).
    """
    if source.form is not None:
        raise InputError(
            f"Expected no input_sizes for a {source.task.title.lower()}, whose outputs are for one image size. "
            f"Received: {len(sizes)}. {ADVICE}"
        )
    for layer in source.model.layers:
        if isinstance(layer, ONE_SIZE):
            raise InputError(
                f"Expected a model without learnt positions for input_sizes. Received: {source.model.name!r}, whose "
                f"{layer.name!r} has one for each place of a map. {ADVICE}"
            )
    for size in sizes:
        own = " (the model's own)" if tuple(size) == source.input_shape[:2] else ""
        _expect_no_resize(_copy(source, size), f"{_text(size)}{own}")
    model = _copy(source, (None, None), without_resizes=True)
    model.set_weights(source.model.get_weights())
    return dataclasses.replace(source, model=model)


def _copy(source, size, without_resizes=False):
    """The model's layers once more, with new weights, for images of another size."""
    image = keras.Input((*size, source.input_shape[2]))

    def clone(layer):
        if without_resizes and isinstance(layer, RESIZES):
            return keras.layers.Lambda(_first, name=layer.name)
        return type(layer).from_config(layer.get_config())

    try:
        return keras.models.clone_model(source.model, input_tensors=image, clone_function=clone)
    except ValueError as error:
        raise InputError(
            f"Expected a model that takes images of {_text(size)}. Received: {source.model.name!r}: {error}. {ADVICE}"
        ) from error


def _first(inputs):
    """The map itself: ResizeLike takes the one to resize and the one to be like."""
    return inputs[0] if isinstance(inputs, list | tuple) else inputs


def _expect_no_resize(model, what):
    for layer in model.layers:
        if isinstance(layer, RESIZES):
            before = layer.input_shape[0] if isinstance(layer.input_shape, list) else layer.input_shape
            if before[1:3] != layer.output_shape[1:3]:
                multiples = (f"{each.size_multiple or 'none'} for {each.name}" for each in FAMILIES.values())
                raise InputError(
                    f"Expected input sizes at which no map has to be resized, multiples of: {', '.join(multiples)}. "
                    f"Received: {what}, where {layer.name!r} would make {_text(layer.output_shape[1:3])} of "
                    f"{_text(before[1:3])}. {ADVICE}"
                )


def _text(size):
    return " x ".join("any" if side is None else str(side) for side in size)
