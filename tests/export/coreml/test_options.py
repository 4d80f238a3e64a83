"""What to_coreml offers besides precisions: image input, classifiers, compression, sizes, and Core ML's own run."""

import inspect
import json
import logging
from unittest.mock import create_autospec

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_mobattn
from keras_mobattn import export, mil
from keras_mobattn._quiet import import_coremltools
from keras_mobattn.data import sample_photos
from keras_mobattn.describe import describe_coreml
from keras_mobattn.errors import InputError
from keras_mobattn.export.coreml import convert as coreml
from keras_mobattn.formats.coreml.package import read_mlprogram
from keras_mobattn.formats.coreml.program import read_program

SIZE = (64, 128)  # not square, so that a swap shows
LABELS = ("ash", "birch", "cedar", "elm", "fir", "oak", "pine")
PIXELS = sample_photos(3, SIZE).astype(np.float32)


def make(size=SIZE, preprocessing=True, channels=3, activation="softmax"):
    """Random weights, two of them large enough to be compressed (more than 2048 values)."""
    image = x = keras.Input((*size, channels))
    if preprocessing:
        x = keras.layers.Rescaling(1 / 255)(x)
    x = keras.layers.Conv2D(64, 3, 2, "same", activation="swish")(x)
    x = keras.layers.Conv2D(64, 1, activation="swish", name="wide")(x)
    x = keras.layers.Dense(7, activation=activation)(keras.layers.GlobalAveragePooling2D()(x))
    return keras_mobattn.randomize_weights(keras.Model(image, x, name="small"))


@pytest.fixture(scope="module")
def model():
    return make()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.mlpackage"


def test_pixels_in_and_an_array_out(model, path):
    export.to_coreml(model, path, "fp32", input_type="image")
    package = export.CoreMLModel(path)
    assert package.takes_pixels
    for image in PIXELS:
        np.testing.assert_allclose(package.run(image[None])["probabilities"], model(image[None]), atol=1e-6)
    assert read_mlprogram(path).description.input[0].type.imageType.colorSpace == 20  # RGB, in FeatureTypes.proto


@pytest.mark.parametrize("bias", [0.0, -1.0, (-1.0, 0.5, 0.25)])
def test_scale_and_bias_are_inside(bias, path):
    """For a model that takes what other code makes of pixels."""
    bare = make(preprocessing=False)
    report = export.to_coreml(bare, path, "fp32", input_type="image", input_scale=1 / 127.5, input_bias=bias)
    assert report.max_abs_error < 1e-6
    expected = bare(PIXELS / 127.5 + np.float32(bias))
    package = export.CoreMLModel(path)
    received = np.concatenate([package.run(image[None])["probabilities"] for image in PIXELS])
    np.testing.assert_allclose(received, expected, atol=1e-6)


def test_grey_images(path):
    grey = make(channels=1)
    images = PIXELS[..., :1]
    export.to_coreml(grey, path, "fp32", images, input_type="image")
    np.testing.assert_allclose(export.CoreMLModel(path).run(images[:1])["probabilities"], grey(images[:1]), atol=1e-6)
    with pytest.raises(InputError, match="1 or 3 channels for input_type 'image'. Received: a model of 4"):
        export.to_coreml(make(channels=4), path, check_images=np.repeat(images, 4, -1), input_type="image")


def test_a_classifier_for_vision_and_xcode(model, path):
    about = export.About(name="Trees", author="A. Author", license="Apache-2.0", version="1.2")
    export.to_coreml(model, path, input_type="image", labels=LABELS, about=about)
    description = read_mlprogram(path).description
    assert [feature.name for feature in description.output] == ["classLabel", "probabilities"]
    assert description.predictedFeatureName == "classLabel"
    assert description.predictedProbabilitiesName == "probabilities"
    metadata = description.metadata
    assert (metadata.author, metadata.license, metadata.versionString) == ("A. Author", "Apache-2.0", "1.2")
    assert metadata.shortDescription.startswith("Trees: image classifier in fp16")
    assert metadata.userDefined["com.apple.coreml.model.preview.type"] == "imageClassifier"
    assert description.input[0].shortDescription == "Image of 64 x 128 pixels (height x width), RGB."
    outputs = mil.evaluate(read_program(path), {"image": PIXELS[:1].transpose(0, 3, 1, 2)})
    expected = model(PIXELS[:1])[0].numpy()
    assert outputs["classLabel"] == LABELS[expected.argmax()]
    assert list(outputs["probabilities"]) == list(LABELS)


def test_labels_of_a_tensor_package_are_in_its_metadata(model, path):
    export.to_coreml(model, path, labels=LABELS)
    description = read_mlprogram(path).description
    assert json.loads(description.metadata.userDefined["labels"]) == list(LABELS)
    assert [feature.name for feature in description.output] == ["probabilities"]


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
    """The report and the description of the package that compressions are compared with."""
    path = tmp_path_factory.mktemp("whole") / "model.mlpackage"
    return export.to_coreml(model, path), describe_coreml(path)


@pytest.mark.parametrize("name", export.COREML_COMPRESSIONS)
def test_compression(name, model, path, whole):
    compression = export.COREML_COMPRESSIONS[name]
    target = max(compression.since, "iOS17")
    report = export.to_coreml(model, path, compression=name, minimum_deployment_target=target)
    described = describe_coreml(path)
    assert report.precision == f"fp16 {name}"
    # 1728 + 4096 + 448 weights and some biases: the second alone is compressed.
    bits = {"int8": 8, "int4": 4, "palettized8": 8, "palettized6": 6, "palettized4": 4, "pruned50": 9}[name]
    assert sum(described.compression.values()) == 1
    assert described.weights_bytes <= whole[1].weights_bytes - 4096 * (16 - bits) / 8 + 1200
    decibels = {"int8": 40, "int4": 18, "palettized8": 40, "palettized6": 30, "palettized4": 18, "pruned50": 5}[name]
    assert decibels < report.snr_db < whole[0].snr_db
    assert compression.description in described.description


def test_compressions_that_a_target_can_not_read(model, path):
    for name, target in (("int8", "iOS15"), ("pruned50", "macOS12"), ("int4", "iOS17"), ("int4", "macOS14")):
        with pytest.raises(InputError, match=f"or newer for compression '{name}'.*Received: '{target}'"):
            export.to_coreml(model, path, compression=name, minimum_deployment_target=target)
    assert not path.exists()


def test_weights_that_are_not_compressed_are_told(path):
    image = keras.Input((*SIZE, 3))
    x = keras.layers.Conv2D(240, 1)(image)
    x = keras.layers.DepthwiseConv2D(3)(x)  # 2160 weights, one input channel each: no blocks of 32
    model = keras_mobattn.randomize_weights(keras.Model(image, keras.layers.GlobalAveragePooling2D()(x)))
    options = dict(
        compression="int4", minimum_deployment_target="iOS18", input_scale=1, tolerance=export.Tolerance(1.0)
    )
    with pytest.warns(UserWarning, match="1 weights were not compressed") as caught:
        export.to_coreml(model, path, **options)
    assert any("Nothing was compressed" in str(warning.message) for warning in caught)


def test_several_sizes(model, path):
    """At each the package computes what the same layers built for that size compute."""
    report = export.to_coreml(model, path, "fp32", input_sizes=((96, 64), SIZE, (128, 192)))
    assert report.num_images == 3 * 8
    package = export.CoreMLModel(path)
    for size in (SIZE, (96, 64), (128, 192)):
        other = make(size)
        other.set_weights(model.get_weights())
        images = sample_photos(2, size).astype(np.float32)
        for image in images:
            np.testing.assert_allclose(package.run(image[None])["probabilities"], other(image[None]), atol=1e-6)


@pytest.mark.slow
def test_sizes_of_our_models(path):
    """All of them: tests/export/coreml/test_operations.py, slow."""
    own = keras_mobattn.MobileViT(variant="test", attention="separable", input_shape=(64, 64, 3), classes=7)
    keras_mobattn.randomize_weights(own)
    with pytest.raises(InputError, match="Received: 96 x 72, where 'layer3_1_resize' would make 12 x 10 of 12 x 9"):
        export.to_coreml(own, path, input_sizes=((96, 72),))
    export.to_coreml(own, path, "fp32", input_sizes=((128, 64),), input_type="image", labels=LABELS)
    described = describe_coreml(path)
    assert described.inputs[0].kind == "image"
    assert described.max_rank == 4
    assert described.gathers == described.non_zeros == 0


WRONG = {
    "input_type": ("jpeg", "one of 'tensor', 'image'. Received: 'jpeg'"),
    "input_scale": (0, r"input_scale above 0.* Received: \[0.0\]"),
    "input_bias": ((1, 2), "one number, or one for each of 3 channels"),
    "input_sizes": (((64,),), r"input_sizes as \(height, width\) pairs"),
    "compression": ("int2", "one of 'int8', 'int4'"),
    "minimum_deployment_target": ("iOS12", "one of 'iOS15'"),
    "labels": (("a", "b"), "each of the model's 7 classes"),
}


@pytest.mark.parametrize("option", WRONG)
def test_wrong_options_are_named(option, model, path):
    value, message = WRONG[option]
    with pytest.raises(InputError, match=message):
        export.to_coreml(model, path, **{option: value})
    assert not path.exists()


def test_check_images_must_be_pixels_for_image_input(model, path):
    with pytest.raises(InputError, match="whole pixels 0..255"):
        export.to_coreml(model, path, check_images=PIXELS / 2, input_type="image")


def test_a_layer_that_core_ml_lacks_is_named(path):
    image = keras.Input((*SIZE, 3))
    odd = keras.layers.Lambda(lambda x: tf.math.erfinv(x / 300), name="odd_one")(image)
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(odd), name="strange")
    path.mkdir()
    (path / "Manifest.json").write_text("stays")
    with pytest.raises(InputError, match="'strange': .*Erfinv.* not implemented .layer 'odd_one', a Lambda"):
        export.to_coreml(model, path, input_scale=1)
    assert (path / "Manifest.json").read_text() == "stays"


def test_real_warnings_are_shown(model, path, monkeypatch):
    ct = import_coremltools()
    convert = ct.convert

    def warn(*args, **kwargs):
        logging.getLogger("coremltools").warning("this one matters")
        return convert(*args, **kwargs)

    monkeypatch.setattr(ct, "convert", warn)
    with pytest.warns(UserWarning, match="coremltools: this one matters"):
        export.to_coreml(model, path)


def test_probabilities_have_an_absolute_limit_too(model, path):
    strict = export.Tolerance(1.0, max_probability_error=1e-9)
    with pytest.raises(export.VerificationError, match=r"up to 1.00e-09 .* and 1e-09 for probabilities"):
        export.to_coreml(model, path, check_images=PIXELS, tolerance=strict)
    limits = {
        name: (p.tolerance.max_probability_error, p.tolerance.min_agreement)
        for name, p in export.COREML_PRECISIONS.items()
    }
    assert limits == {"fp32": (1e-5, None), "fp16": (5e-3, None)}


def on_a_mac(monkeypatch, deviation):
    """Core ML's own MLModel, on paths, replaced by one of the same signatures that runs our evaluator."""
    ct = import_coremltools()
    real, units_seen = ct.models.MLModel, []

    def load(model, *args, **kwargs):
        if kwargs.get("skip_model_load"):
            return real(model, *args, **kwargs)  # what conversions end with: nothing is loaded to run
        inspect.signature(real).bind(model, *args, **kwargs)
        units_seen.append(kwargs["compute_units"])
        evaluated = export.CoreMLModel(model)

        def predict(data, state=None):
            image = data["image"]
            image = np.asarray(image, np.float32)[None] if evaluated.takes_pixels else image
            return {name: shifted(value) for name, value in evaluated._run(image).items()}

        def shifted(value):
            if isinstance(value, dict):
                return {name: score + deviation for name, score in value.items()}
            return value if isinstance(value, str) else value + deviation

        loaded = create_autospec(real, instance=True)
        loaded.predict.side_effect = predict
        return loaded

    monkeypatch.setattr(ct.models, "MLModel", load)
    monkeypatch.setattr(coreml, "on_mac", lambda: True)
    return units_seen


@pytest.mark.parametrize("options", [{}, {"input_type": "image", "labels": LABELS}], ids=["tensor", "classifier"])
def test_on_a_mac_core_ml_itself_is_asked(options, model, path, monkeypatch):
    ct = import_coremltools()
    units = on_a_mac(monkeypatch, deviation=1e-3)
    report = export.to_coreml(model, path, check_images=PIXELS, **options)
    assert units == [ct.ComputeUnit.CPU_ONLY, ct.ComputeUnit.ALL]
    assert report.device_errors == {name: pytest.approx(1e-3, rel=1e-3) for name in ("CPU_ONLY", "ALL")}
    assert report.precision == "fp16"


def test_on_a_mac_a_device_that_differs_fails(model, path, monkeypatch):
    on_a_mac(monkeypatch, deviation=6e-3)
    with pytest.raises(export.VerificationError, match="Expected the fp16 CPU_ONLY Core ML model to agree with Keras"):
        export.to_coreml(model, path, check_images=PIXELS)
    assert not path.exists()


def test_elsewhere_it_is_not(model, path):
    assert export.to_coreml(model, path, check_images=PIXELS).device_errors == {}
