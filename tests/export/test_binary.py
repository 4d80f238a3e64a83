"""Binary classifiers, which give one probability: files have both classes in the labels' order, or one on request."""

import numpy as np
import pytest
import tf_keras as keras

import keras_mobattn
from helpers.small_models import CONVERT, convert, photos, small_model
from keras_mobattn import export
from keras_mobattn.errors import InputError
from keras_mobattn.formats.coreml.package import read_mlprogram

FILES = [(suffix, precision) for suffix, precisions in CONVERT.items() for precision in precisions]
LABELS = ("cat", "dog")


def binary_model():
    return small_model(lambda x: keras.layers.Dense(1, activation="sigmoid")(4 * x))


@pytest.fixture(scope="module")
def model():
    return binary_model()


@pytest.fixture(scope="module")
def expected(model):
    """p of the photographs: some above a half and some below, or the tests could not tell classes apart."""
    p = model(np.float32(photos())).numpy()
    model.layers[-1].bias.assign_sub([float(np.median(np.log(p / (1 - p))))])
    p = model(np.float32(photos())).numpy()
    assert 0 < (p > 0.5).sum() < len(p)
    return p


@pytest.mark.parametrize("labels", [(), LABELS])
@pytest.mark.parametrize(("suffix", "precision"), FILES)
def test_files_have_both_classes_in_the_labels_order(suffix, precision, labels, model, expected, tmp_path):
    path = tmp_path / f"model{suffix}"
    report = convert(suffix, precision, model, path, labels=labels)
    file = export.FILE_MODELS[suffix](path)
    assert file.output_shape == (None, 2)
    assert file.labels == labels
    limit = {"fp32": 1e-5, "fp16": 5e-3}.get(precision, 0.1)
    received = file.predict_on_batch(np.float32(photos()))
    np.testing.assert_allclose(received, np.concatenate([1 - expected, expected], -1), atol=limit)
    assert report.agreement == np.mean(received.argmax(-1) == (expected > 0.5)[:, 0])


def test_the_check_counts_answers_of_both_classes(model, expected, tmp_path, monkeypatch):
    """A file that gives the other class is caught, where one output of "one class" always agreed."""
    monkeypatch.setattr(export.tflite.model, "dequantize", lambda values, detail: 1 - values)
    anything = export.Tolerance(10.0, min_agreement=0.5)
    with pytest.raises(export.VerificationError, match="same top-1 from 50.0%.* 0.0%"):
        convert(".tflite", "fp32", model, tmp_path / "model.tflite", tolerance=anything)


@pytest.mark.parametrize("suffix", CONVERT)
@pytest.mark.parametrize("labels", [(), LABELS])
def test_one_output_on_request(suffix, labels, model, expected, tmp_path):
    path = tmp_path / f"model{suffix}"
    report = convert(suffix, "fp32", model, path, labels=labels, single_output=True)
    file = export.FILE_MODELS[suffix](path)
    assert file.output_shape == (None, 1)
    assert file.labels == ()
    np.testing.assert_allclose(file.predict_on_batch(np.float32(photos())), expected, atol=1e-5)
    assert report.agreement == 1.0


def test_core_ml_has_a_classifier_of_both_names(model, expected, tmp_path):
    path = tmp_path / "model.mlpackage"
    export.to_coreml(model, path, "fp32", photos(), input_type="image", labels=LABELS)
    package = export.CoreMLModel(path)
    assert package.labels == LABELS
    assert package.label == "classLabel"
    received = package.predict_on_batch(np.float32(photos()))
    np.testing.assert_allclose(received, np.concatenate([1 - expected, expected], -1), atol=1e-5)
    export.to_coreml(model, path, "fp32", photos(), input_type="image", labels=LABELS, single_output=True)
    description = read_mlprogram(path).description
    assert description.predictedFeatureName == ""
    assert description.output[0].shortDescription == "The probability of dog, 0..1; that of cat is the rest."


@pytest.mark.parametrize("output_dtype", ["uint8", "int8"])
def test_bytes_out(output_dtype, model, expected, tmp_path):
    path = tmp_path / "model.tflite"
    export.to_tflite(model, path, check_images=photos(), output_dtype=output_dtype, labels=LABELS)
    received = export.TFLiteModel(path).predict_on_batch(np.float32(photos()))
    np.testing.assert_allclose(received, np.concatenate([1 - expected, expected], -1), atol=1.01 / 256)


def test_mediapipe_names_both(model, expected, tmp_path):
    mediapipe = pytest.importorskip("mediapipe", reason="mediapipe is not installed")
    vision = mediapipe.tasks.vision
    path = tmp_path / "model.tflite"
    export.to_tflite(model, path, check_images=photos(), labels=LABELS)
    options = vision.ImageClassifierOptions(mediapipe.tasks.BaseOptions(model_asset_path=str(path)))
    with vision.ImageClassifier.create_from_options(options) as task:
        for pixels, p in zip(photos(), expected[:, 0], strict=True):
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
            scores = {each.category_name: each.score for each in task.classify(image).classifications[0].categories}
            assert scores == pytest.approx({"cat": 1 - p, "dog": p}, abs=1e-5)


@pytest.mark.parametrize("suffix", CONVERT)
def test_what_is_no_binary_classifier(suffix, model, tmp_path):
    path = tmp_path / f"model{suffix}"
    with pytest.raises(InputError, match="one label for each of the model's 2 classes. Received: 1, cat"):
        convert(suffix, "fp32", model, path, labels=("cat",))
    with pytest.raises(InputError, match="Expected a binary classifier.*for single_output"):
        convert(suffix, "fp32", small_model(), path, single_output=True)
    number = small_model(keras.layers.Dense(1))  # a regression, or a logit: nobody knows
    with pytest.raises(InputError, match="isn't a classifier. Received: 2"):
        convert(suffix, "fp32", number, path, labels=LABELS)
    convert(suffix, "fp32", number, path)
    assert export.FILE_MODELS[suffix](path).output_shape == (None, 1)


@pytest.mark.parametrize("family", ["MobileViTv2", "DeiT"])
def test_our_models_with_one_class(family, tmp_path):
    model = keras_mobattn.families.FAMILIES[family].build(
        variant="test", input_shape=(32, 32, 3), classes=1, classifier_activation="sigmoid"
    )
    source = export.load(keras_mobattn.randomize_weights(model), LABELS)
    assert source.task.is_binary
    images = keras_mobattn.data.sample_photos(4, (32, 32))
    p = model(np.float32(images)).numpy()
    np.testing.assert_allclose(source.predict(images)["probabilities"], np.concatenate([1 - p, p], -1), atol=1e-6)
