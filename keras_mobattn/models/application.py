"""The arguments of keras.applications, written once for all models."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias, TypedDict, TypeVar

import tensorflow as tf
import tf_keras as keras

from keras_mobattn.errors import InputError, expect_kind, expect_name
from keras_mobattn.families import Family
from keras_mobattn.layers import InputRange
from keras_mobattn.models.top import Top, check_activation, check_classes
from keras_mobattn.weights.load import load_weights

MIN_SIDE = 32  # the stride of the deepest map
POOLINGS = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}
Activation: TypeAlias = str | Callable[[tf.Tensor], tf.Tensor] | None
ModelFunction = TypeVar("ModelFunction", bound=Callable[..., keras.Model])


class Options(TypedDict, total=False):
    """The keywords of `application`, for type checkers: a model function hands them on as its **options."""

    include_top: bool
    include_preprocessing: bool
    weights: str | Path | None
    weights_skip: str | None
    input_tensor: tf.Tensor | None
    input_shape: Sequence[int | None] | None
    pooling: str | None
    classes: int
    classifier_activation: Activation
    name: str | None


def application(
    body: Callable[[tf.Tensor], tf.Tensor | tuple[tf.Tensor, list[tf.Tensor]]],
    family: Family,
    default_name: str,
    top: Top = Top(),  # noqa: B008  it is frozen
    *,
    include_top: bool = True,
    include_preprocessing: bool = True,
    weights: str | Path | None = None,
    weights_skip: str | None = None,
    input_tensor: tf.Tensor | None = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Activation = "softmax",
    name: str | None = None,
) -> keras.Model:
    """Build a keras.Model around `body`, a function from an image tensor to the last map [B, h, w, C].

    `body` returns the map, or the map and a list with the vector [B, C] that each head sees; by default all heads see
    the map's mean. `family` is the model's Family: size and normalisation of its images, and its checkpoints.
    `default_name` is the model's name, and the key of a published model in `family.variants`. `top` makes the
    classifier. The keywords are those of `keras.applications`, for every model of this package:
        include_top: end in pooling, dropout and a Dense layer `predictions`; else `pooling` (None, "avg" or "max")
            holds.
        include_preprocessing: the model takes RGB 0..255 (uint8 or float) and normalises it itself; else it takes the
            result of `keras_mobattn.preprocess_input(images, model)`, and a layer `input_range` says so.
        weights: None; "imagenet", the best published checkpoint of this architecture at its default size; a tag that
            `keras_mobattn.list_weights()` prints, such as "timm/mobilevitv2_100.cvnets_in1k"; or a file: .safetensors,
            .pt, .pth or .bin as timm, apple/ml-cvnets or transformers write it, or Keras's own .keras or .h5. With
            other `classes`, or without a head, all but the head is loaded, with a warning. An .h5 file of weights
            alone doesn't tell its attention, and nothing checks that it is the model's.
        weights_skip: None, or "attention": the attention layers keep their initial values, so that weights trained with
            one attention start another.
        input_shape: (height, width, channels), sides from 32 up or None; the default is the family's own size: 256
            pixels for MobileViT and MobileViTv2, 224 for the others.

    Raises:
        InputError: an argument out of range, or weights that can't be got or do not fit.
    """
    _check(include_top, pooling, classes, classifier_activation, weights, weights_skip)
    image = _input(input_tensor, input_shape, family.input_size)
    x = body(_normalised(image, family, include_preprocessing))
    x, seen = x if isinstance(x, tuple) else (x, None)
    if include_top:
        x = top(x, seen, classes, classifier_activation)
    elif pooling:
        x = POOLINGS[pooling](name="pool")(x)
    source = image if input_tensor is None else keras.utils.get_source_inputs(input_tensor)
    model = keras.Model(source, x, name=name or default_name)
    if weights is not None:
        load_weights(model, weights, family, default_name, weights_skip)
    return model


def application_model(build: ModelFunction) -> ModelFunction:
    """Decorate a model function that hands its **options on to `application`: its signature shows their keywords."""
    signature = inspect.signature(build)
    own, shared = signature.parameters.values(), inspect.signature(application).parameters.values()
    parameters = [each for each in own if each.kind is not each.VAR_KEYWORD]
    parameters += [each for each in shared if each.kind is each.KEYWORD_ONLY]
    build.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return build


def _normalised(image, family, include_preprocessing):
    """RGB 0..255 -> (RGB / 255 - mean) / std, by one number where the channels agree. Without preprocessing the image
    itself, and a layer that says so where it has the family's channels."""
    scale = [1 / (255 * std) for std in family.std]
    bias = [0 - mean / std for mean, std in zip(family.mean, family.std, strict=True)]
    scale, bias = (each[0] if len(set(each)) == 1 else each for each in (scale, bias))
    if include_preprocessing:
        return keras.layers.Rescaling(scale, bias, name="preprocessing")(image)
    return InputRange(scale, bias, name="input_range")(image) if image.shape[-1] == len(family.std) else image


def _check(include_top, pooling, classes, activation, weights, weights_skip):
    if pooling is not None:
        expect_name(POOLINGS, pooling, "pooling")
    if include_top:
        check_classes(classes)
        check_activation(activation)
    if weights is None and weights_skip is not None:
        raise InputError(f"Expected weights beside weights_skip. Received: {weights_skip!r} and weights=None.")


def _input(input_tensor, input_shape, default_size):
    if input_tensor is not None:
        kinds = (type(keras.Input(())), tf.Tensor)
        expect_kind("input_tensor", input_tensor, kinds, "a tensor [B, H, W, C]")
        image = input_tensor if keras.backend.is_keras_tensor(input_tensor) else keras.layers.Input(tensor=input_tensor)
        _check_shape(tuple(image.shape[1:]), "input_tensor")
        return image
    shape = (default_size, default_size, 3) if input_shape is None else input_shape
    _check_shape(shape, "input_shape")
    return keras.layers.Input(tuple(shape), name="image")


def _check_shape(shape, what):
    sides = shape[:2] if isinstance(shape, (tuple, list)) and len(shape) == 3 else ()
    fits = all(side is None or (isinstance(side, int) and side >= MIN_SIDE) for side in sides)
    if not sides or not fits or not isinstance(shape[2], int):
        raise InputError(
            f"Expected {what} to be (height, width, channels) with height and width from {MIN_SIDE} up, or None for "
            f"any size. Received: {shape!r}."
        )
