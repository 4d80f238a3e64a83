"""A small model with random weights, its images, and one way to convert it."""

import functools

import tf_keras as keras

import keras_mobattn
from keras_mobattn import export
from keras_mobattn.data import sample_photos

SIZE = (24, 40)  # not square, so that a swap shows
CONVERT = {  # kind of file -> precision -> function of (model, path) and to_*'s options
    ".tflite": {p: functools.partial(export.to_tflite, precision=p) for p in export.TFLITE_PRECISIONS},
    ".mlpackage": {p: functools.partial(export.to_coreml, precision=p) for p in export.COREML_PRECISIONS},
}


def photos(count=4, seed=0):
    return sample_photos(count, SIZE, seed)


def small_model(outputs=lambda x: keras.layers.Dense(7, activation="softmax")(x), size=SIZE, seed=0):
    """A convolution or two with random weights: what the tests need, in a second or two per conversion."""
    image = keras.Input((*size, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    x = keras.layers.Conv2D(8, 3, 2, "same", activation="swish", name="first")(x)
    x = keras.layers.DepthwiseConv2D(3, padding="same")(x)
    x = keras.layers.BatchNormalization()(x)
    model = keras.Model(image, outputs(keras.layers.GlobalAveragePooling2D()(x)))
    return keras_mobattn.randomize_weights(model, seed)


@functools.cache
def shared_model():
    return small_model()


def convert(suffix, precision, model, path, **options):
    """Convert with the images that the precision may need."""
    if precision == "int8":
        options.setdefault("representative_images", photos(16, seed=1))
    return CONVERT[suffix][precision](model, path, check_images=options.pop("check_images", photos()), **options)
