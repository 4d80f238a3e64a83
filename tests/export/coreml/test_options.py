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
from helpers.older_compressions import per_block
from keras_mobattn import export, mil
from keras_mobattn._quiet import import_coremltools
from keras_mobattn.data import sample_photos
from keras_mobattn.describe import describe_coreml
from keras_mobattn.errors import InputError
from keras_mobattn.export.coreml import convert as coreml
from keras_mobattn.export.coreml.calibrate import activation_ranges
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


def test_a_notebook_shows_no_progress_bars(model, path, capsys):
    """There sys.stderr is a stream of its own, as under capsys."""
    export.to_coreml(model, path, "fp32")
    assert capsys.readouterr().err == ""


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


def test_scores_are_in_the_order_of_the_labels(model, path, monkeypatch):
    """Core ML gives a dictionary in an order of its own, another one for each image if it likes."""
    export.to_coreml(model, path, "fp32", input_type="image", labels=LABELS)
    package = export.CoreMLModel(path)
    computed = package._run

    def in_another_order(image):
        given = computed(image)
        return given | {"probabilities": dict(sorted(given["probabilities"].items(), key=lambda pair: pair[1]))}

    monkeypatch.setattr(package, "_run", in_another_order)
    np.testing.assert_allclose(package.run(PIXELS[:1])["probabilities"], model(PIXELS[:1]), atol=1e-6)
    assert package.labels == LABELS


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


COMPRESSED = {  # name -> (bits a weight takes, least SNR in dB, type of the weights)
    "int8": (8, 40, "uint8"),
    "int4": (4, 18, "int4"),
    "w8a8": (8, 18, "int8"),
    "palettized8": (8, 40, "uint8"),
    "palettized6": (6, 30, "uint8"),
    "palettized4": (4, 18, "uint8"),
    "palettized6_a8": (6, 18, "uint8"),
    "pruned50": (9, 5, "float16"),
    "pruned50_int8": (5, 5, "int8"),
    "pruned50_palettized6": (4, 5, "uint6"),
}


@pytest.mark.sampled
@pytest.mark.parametrize("name", export.COREML_COMPRESSIONS)
def test_compression(name, model, path, whole):
    compression, (bits, decibels, dtype) = export.COREML_COMPRESSIONS[name], COMPRESSED[name]
    target = max(compression.since, "iOS17")
    options = {"compression": name, "minimum_deployment_target": target, "representative_images": PIXELS}
    report = export.to_coreml(model, path, **options)
    described = describe_coreml(path)
    assert report.precision == f"fp16 {name}"
    # 1728 + 4096 + 448 weights and some biases: the second alone is compressed.
    assert set(described.compression.values()) == {1}
    weights = next(each for each in described.weights if each.kind != "const")
    assert weights.dtype == dtype
    assert described.weights_bytes <= whole[1].weights_bytes - 4096 * (16 - bits) / 8 + 1200
    assert decibels < report.snr_db < whole[0].snr_db
    assert compression.description in described.description
    assert compression.takes_images == ("quantize" in described.operators)


def test_activations_in_int8_need_images(model, path):
    with pytest.raises(InputError, match="representative_images for compression 'w8a8'.*Received: None"):
        export.to_coreml(model, path, compression="w8a8", minimum_deployment_target="iOS18")
    assert not path.exists()


def test_ranges_are_those_of_all_images(model):
    """coremltools 9.0 keeps those of the last one."""
    ct, pixels = import_coremltools(), PIXELS
    concrete = export.load(model).concrete_function()
    whole = ct.convert([concrete], source="tensorflow", inputs=[ct.TensorType(name="image", shape=(1, *SIZE, 3))],
                       minimum_deployment_target=ct.target.iOS17, skip_model_load=True)  # fmt: skip
    for images in (pixels, pixels[::-1]):
        ranges, _ = activation_ranges(whole, [{"image": image[None]} for image in images])
        assert (ranges["image"]["rmin"], ranges["image"]["rmax"]) == (pixels.min(), pixels.max())
    alone, _ = activation_ranges(whole, [{"image": pixels[:1]}])
    assert all(ranges[name]["rmin"] <= alone[name]["rmin"] for name in ranges)
    assert any(ranges[name]["rmax"] > alone[name]["rmax"] for name in ranges)


def test_compressions_that_a_target_can_not_read(model, path):
    for name, target in (("int8", "iOS15"), ("pruned50", "macOS12"), ("int4", "iOS17"), ("w8a8", "macOS14")):
        with pytest.raises(InputError, match=f"or newer for compression '{name}'.*Received: '{target}'"):
            export.to_coreml(model, path, compression=name, minimum_deployment_target=target)
    assert not path.exists()


def test_weights_that_are_not_compressed_are_told(path, monkeypatch):
    image = keras.Input((*SIZE, 3))
    x = keras.layers.Conv2D(240, 1)(image)
    x = keras.layers.DepthwiseConv2D(3)(x)  # 2160 weights, one input channel each: no blocks of 32
    model = keras_mobattn.randomize_weights(keras.Model(image, keras.layers.GlobalAveragePooling2D()(x)))
    options = {"input_scale": 1, "tolerance": export.Tolerance(1.0), **per_block(monkeypatch)}
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
    "input_type": ("jpeg", "one of 'tensor', 'image', 'channels_first'. Received: 'jpeg'"),
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


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_channels_first(precision, model, path):
    """The same numbers as from [1, H, W, C], by one transpose less."""
    plain = path.with_name("plain.mlpackage")
    for file, kind in ((plain, "tensor"), (path, "channels_first")):
        export.to_coreml(model, file, precision, PIXELS, input_type=kind)
    package, image = export.CoreMLModel(path), PIXELS[:1]
    assert package.input_shape == (None, *SIZE, 3)
    assert package.given(image)["image"].shape == (1, 3, *SIZE)
    np.testing.assert_array_equal(*(export.CoreMLModel(file).predict_on_batch(image) for file in (path, plain)))
    assert [describe_coreml(file).transposes for file in (plain, path)] == [1, 0]
    (feature,) = describe_coreml(path).inputs
    assert feature.shape == (1, 3, *SIZE)
    assert "[1, 3, height, width]" in read_program(path).spec.description.input[0].shortDescription


@pytest.mark.parametrize("kind", ["tensor", "image", "channels_first"])
def test_outputs_in_half_precision(kind, model, path):
    export.to_coreml(model, path, check_images=PIXELS, input_type=kind, output_dtype="float16")
    (feature,) = describe_coreml(path).outputs
    assert feature.dtype == "float16"
    assert read_program(path).operations[-1].kind != "cast"
    received = export.CoreMLModel(path).predict_on_batch(PIXELS)
    np.testing.assert_allclose(received, model.predict(PIXELS, verbose=0), atol=5e-3)


HALF_REFUSED = {  # what has no float16 output -> options, part of the sentence
    "fp32": ({"precision": "fp32"}, "for precision 'fp32'"),
    "iOS 15": ({"minimum_deployment_target": "iOS15"}, "'iOS16' or 'macOS13' or newer for output_dtype 'float16'"),
    "a classifier": ({"input_type": "image", "labels": LABELS}, "for a classifier"),
    "another name": ({"output_dtype": "half"}, "one of 'float32', 'float16'. Received: 'half'"),
}


@pytest.mark.parametrize("name", HALF_REFUSED)
def test_what_has_no_output_in_half_precision(name, model, path):
    options, sentence = HALF_REFUSED[name]
    with pytest.raises(InputError, match=sentence):
        export.to_coreml(model, path, **{"output_dtype": "float16", **options})
    assert not path.exists()


def test_activations_in_int8_beside_float32_layers(model, path):
    """What is computed in float32 stays so, and what is 0 on all images has a range, too."""
    options = {"compression": "w8a8", "minimum_deployment_target": "iOS18", "representative_images": 0 * PIXELS}
    export.to_coreml(model, path, float32_layers=("wide",), tolerance=export.Tolerance(1e9), **options)
    program = read_program(path)
    quantized = [operation for operation in program.operations if operation.kind == "quantize"]
    assert quantized
    dtypes = {value.name: value.dtype for operation in program.operations for value in operation.results}
    assert {dtypes[operation.operands["input"][0].name] for operation in quantized} == {"float16"}
    with pytest.raises(InputError, match="precision 'fp16' for compression 'w8a8'.*Received: 'fp32'"):
        export.to_coreml(model, path, "fp32", **options)
