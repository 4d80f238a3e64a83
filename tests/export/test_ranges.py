"""Files take pixels 0..255, whatever the Keras model takes; images of another range than the model's are refused."""

import numpy as np
import pytest
import tf_keras as keras

import keras_mobattn
from helpers.small_models import CONVERT, SIZE, convert, photos
from keras_mobattn import export
from keras_mobattn.data import batches, open_source, sample_photos
from keras_mobattn.errors import InputError
from keras_mobattn.layers import ImageRange
from keras_mobattn.training import evaluate

FILES = [(suffix, precision) for suffix, precisions in CONVERT.items() for precision in precisions]
RANGES = {  # which numbers a model takes -> its ImageRange
    "pixels": ImageRange(),
    "0..1": ImageRange(1 / 255),
    "-1..1": ImageRange(1 / 127.5, -1),
    "by channel": ImageRange([0.0171, 0.0175, 0.0174], [-2.12, -2.04, -1.80]),
}
NORMALISED = [name for name in RANGES if name != "pixels"]


def model_of(name, classes=7):
    """A small classifier whose layers don't tell that it takes this range."""
    image = keras.Input((*SIZE, 3))
    x = keras.layers.Conv2D(8, 3, 2, "same", activation="swish", name="first")(image)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dense(classes, "softmax")(keras.layers.GlobalAveragePooling2D()(x))
    model = keras_mobattn.randomize_weights(keras.Model(image, x, name="foreign"))
    if name == "pixels":  # the random kernel was calibrated to 0..1
        first = model.get_layer("first")
        first.set_weights([first.kernel.numpy() / 255, first.bias.numpy()])
    return model


def told(name):
    return {"input_scale": RANGES[name].scale, "input_bias": RANGES[name].bias}


def taken(name, images):
    return RANGES[name].from_pixels(np.asarray(images))


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize(("suffix", "precision"), FILES)
def test_the_file_takes_pixels(suffix, precision, name, tmp_path):
    model, path = model_of(name), tmp_path / f"model{suffix}"
    options = {"representative_images": taken(name, photos(16, seed=1))} if precision == "int8" else {}
    report = convert(suffix, precision, model, path, check_images=taken(name, photos()), **options, **told(name))
    file = export.FILE_MODELS[suffix](path)
    received = file.predict_on_batch(np.float32(photos(3, seed=2)))
    expected = model(taken(name, photos(3, seed=2))).numpy()
    limit = {"fp32": 1e-5, "fp16": 5e-3}.get(precision, 0.1)
    np.testing.assert_allclose(received, expected, atol=limit)
    # Classes of random weights may be nearly equal: by 2 % of the spread, int8 takes one for another.
    assert report.agreement == 1.0 or (precision == "int8" and report.snr_db >= 30)
    if precision == "fp32":  # by the photographs that every check has, too
        assert convert(suffix, "fp32", model, path, check_images=None, **told(name)).num_images == 8


@pytest.mark.parametrize("name", NORMALISED)
@pytest.mark.parametrize("interface", ["uint8", "image"])
def test_pixels_of_a_camera(interface, name, tmp_path):
    model, path = model_of(name), tmp_path / ("m.tflite" if interface == "uint8" else "m.mlpackage")
    if interface == "uint8":
        export.to_tflite(model, path, check_images=taken(name, photos()), input_dtype="uint8", **told(name))
    else:
        export.to_coreml(model, path, "fp32", taken(name, photos()), input_type="image", **told(name))
    received = export.FILE_MODELS[path.suffix](path).predict_on_batch(np.float32(photos()))
    np.testing.assert_allclose(received, model(taken(name, photos())).numpy(), atol=1e-5)


def own(include_preprocessing):
    model = keras_mobattn.DeiT(
        variant="test", input_shape=(32, 32, 3), classes=5, include_preprocessing=include_preprocessing
    )
    return keras_mobattn.randomize_weights(model)


@pytest.mark.sampled
@pytest.mark.parametrize("suffix", CONVERT)
def test_our_models_say_it_themselves_also_after_saving(suffix, tmp_path):
    model, images = own(False), sample_photos(4, (32, 32))
    model.save(tmp_path / "model.keras")
    path = tmp_path / f"model{suffix}"
    CONVERT[suffix]["fp32"](tmp_path / "model.keras", path, tolerance=export.Tolerance(1e-4))
    received = export.FILE_MODELS[suffix](path).predict_on_batch(np.float32(images))
    np.testing.assert_allclose(received, model(keras_mobattn.preprocess_input(images, "DeiT")).numpy(), atol=1e-5)


@pytest.mark.parametrize("suffix", CONVERT)
@pytest.mark.parametrize("load", [True, False])
def test_nobody_is_left_to_guess(suffix, load, tmp_path):
    model = model_of("0..1")
    with pytest.raises(InputError, match="Expected to know which numbers the model takes. Received: 'foreign'"):
        if load:
            export.load(model)
        convert(suffix, "fp32", model, tmp_path / f"model{suffix}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wanted", RANGES)
@pytest.mark.parametrize("given", RANGES)
@pytest.mark.parametrize("argument", ["check_images", "representative_images"])
def test_images_of_another_range_are_refused(argument, given, wanted, tmp_path):
    """All but values of -1..1 for a model of a wider range, within which they lie."""
    if given == wanted or (given, wanted) == ("-1..1", "by channel"):
        return
    images = {"check_images": photos(), "representative_images": photos(16, seed=1)}
    images = {name: taken(given if name == argument else wanted, each) for name, each in images.items()}
    source = export.load(model_of(wanted), **told(wanted))
    with pytest.raises(InputError, match=f"Expected {argument} in the range that the model takes"):
        export.to_tflite(source, tmp_path / "model.tflite", "int8", **images)
    if argument == "check_images":
        with pytest.raises(InputError, match=f"Expected {argument} in the range that the model takes"):
            export.to_coreml(source, tmp_path / "model.mlpackage", check_images=images["check_images"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", NORMALISED)
def test_evaluation_gives_the_model_its_range(name):
    source, model = open_source("digits").first("test", 20), model_of(name, classes=10)
    with pytest.raises(InputError, match="Expected to know which numbers"):
        evaluate(model, source)
    received = evaluate(model, source, **told(name))["probabilities"]
    images = np.concatenate([images for images, _ in batches(source, "test", batch_size=20, image_size=SIZE)])
    np.testing.assert_allclose(received, model(taken(name, images)).numpy(), atol=1e-5)


@pytest.mark.sampled
@pytest.mark.parametrize("suffix", CONVERT)
def test_a_file_refuses_what_is_normalised(suffix, tmp_path):
    path = tmp_path / f"model{suffix}"
    convert(suffix, "fp32", model_of("0..1"), path, check_images=taken("0..1", photos()), **told("0..1"))
    file = export.FILE_MODELS[suffix](path)
    for name in NORMALISED:
        with pytest.raises(InputError, match="Expected image in the range that the model takes, pixels 0..255"):
            file.predict_on_batch(taken(name, photos(1)))
