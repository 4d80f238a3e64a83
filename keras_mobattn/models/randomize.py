"""Random weights that hide nothing: for timing, for conversion, for parity."""

import contextlib
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import tf_keras as keras

from keras_mobattn.errors import InputError, expect_kind, expect_range
from keras_mobattn.layers import ImageRange
from keras_mobattn.models.input_range import input_range_of
from keras_mobattn.models.input_shape import input_shape_of
from keras_mobattn.names import DEPTHWISE, DISTANCE, SCALE, SHIFT, role_of

LayerOrModel = TypeVar("LayerOrModel", bound=keras.layers.Layer)
# What a variable is for -> how to draw it, given the generator and the shape. Freshly initialised scales of one, zero
# biases and zero means let converters fold whole branches away, and let a wrong operator go unnoticed.
DRAWS: dict[str | None, Callable[..., np.ndarray]] = {
    SCALE: lambda rng, shape: rng.uniform(0.5, 1.5, shape),
    SHIFT: lambda rng, shape: rng.normal(0, 0.1, shape),
    DISTANCE: lambda rng, shape: rng.normal(0, 1, shape),  # beside scores of unit scale
    DEPTHWISE: lambda rng, shape: rng.normal(0, shape[0] ** -1.0, shape),  # fan-in kh * kw
}
BATCH = 4  # images that batch norm's statistics are taken from
ANY_SIDE = 64  # where the model takes any size


def _kernel(rng, shape):
    return rng.normal(0, np.prod(shape[:-1], dtype=float) ** -0.5 if len(shape) > 1 else 0.1, shape)


def randomize_weights(model: LayerOrModel, seed: int = 0) -> LayerOrModel:
    """Give every weight of a layer or model a random value that keeps activations near unit scale; return the model.

    Batch norm gets the statistics of a batch of random images, varied by up to a factor of two. With statistics from
    nowhere the signal would fade from block to block, and all images end in the same output.
    """
    expect_kind("model", model, keras.layers.Layer, "a layer or a keras.Model")
    if not model.built:
        raise InputError(
            f"Expected a layer or model with weights. Received: {model.name!r}, which is not built yet. Call it "
            "once, or model.build(input_shape)."
        )
    rng = np.random.default_rng(expect_range("seed", seed, 0, whole=True))
    for variable in model.weights:
        variable.assign(DRAWS.get(role_of(variable.name), _kernel)(rng, tuple(variable.shape)))
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    if norms:
        _calibrate(model, norms, rng)
    return model


def _calibrate(model, norms, rng):
    with contextlib.ExitStack() as stack:
        for norm in norms:
            norm.moving_mean.assign(np.zeros(norm.moving_mean.shape))  # for one that the model does not call
            norm.moving_variance.assign(np.ones(norm.moving_variance.shape))
            stack.enter_context(_measuring(norm))
        model(_images(model, rng), training=False)  # no dropout: a seed is a seed
    for norm in norms:
        deviation = np.sqrt(norm.moving_variance.numpy())
        norm.moving_mean.assign_add(deviation * rng.normal(0, 0.1, deviation.shape))
        norm.moving_variance.assign(np.square(deviation) * rng.uniform(0.5, 2.0, deviation.shape) + 1e-3)


@contextlib.contextmanager
def _measuring(norm):
    """In this block the batch norm makes each batch's statistics its own, even where it is frozen, or called with
    training=False, as in transfer learning."""
    momentum, trainable, call = norm.momentum, norm.trainable, norm.call

    def measure(inputs, *_, **__):
        return call(inputs, training=True)

    norm.momentum, norm.trainable = 0.0, True
    object.__setattr__(norm, "call", measure)  # Keras would track it as a part of the layer
    try:
        yield
    finally:
        norm.__dict__.pop("call")
        norm.momentum, norm.trainable = momentum, trainable


def _images(model, rng):
    """Random images with coarse and fine structure, in the range that the model takes."""
    height, width, channels = (side or ANY_SIDE for side in input_shape_of(model)[1:])
    coarse = rng.uniform(0, 1, (BATCH, 3, 3, channels))
    rows, columns = (np.arange(side) * 3 // side for side in (height, width))
    images = 0.7 * coarse[:, rows][:, :, columns] + 0.3 * rng.uniform(0, 1, (BATCH, height, width, channels))
    input_range = input_range_of(model) or ImageRange(1 / 255)
    return input_range.from_pixels(255 * images) if input_range.is_image else images.astype("float32")
