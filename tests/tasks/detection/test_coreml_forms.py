"""Detectors as packages that Vision returns recognised objects of: the network and Core ML's suppression behind it."""

import numpy as np
import pytest
import tensorflow as tf

import keras_mobattn
from helpers.detectors import IMAGES, NAMES, SIDES, detector, expected_objects
from keras_mobattn import InputError, describe, export
from keras_mobattn.formats.coreml.package import read_mlpackage
from keras_mobattn.formats.coreml.program import read_program
from keras_mobattn.mil import suppression as mil_suppression
from keras_mobattn.tasks.detection import Detection, forms as detection_forms
from keras_mobattn.tasks.detection.forms import CLASSES_AT_ONCE, FORMS, VISION_RULES

FLOAT32 = 65568  # ArrayFeatureType's, in FeatureTypes.proto


@pytest.fixture(scope="module")
def model():
    return detector()


def convert(model, path, precision="fp32", **options):
    given = {"check_images": IMAGES, "labels": NAMES, "input_type": "image"} | options
    return export.to_coreml(model, path, precision, **given)


@pytest.fixture(scope="module")
def package(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("package") / "model.mlpackage"
    report = convert(model, path)
    assert report.agreement >= 0.98
    assert report.output in FORMS["vision"].computed
    return path


def test_the_evaluator_finds_what_keras_does(model, package):
    """By the suppression's own rules: a box has its most likely class alone, and is compared with its class."""
    file = export.CoreMLModel(package)
    assert file.labels == NAMES
    task = Detection().for_file(file)
    assert task.recognises_file(file)
    outputs = file.predict_on_batch(IMAGES)
    assert {name: value.shape[2] for name, value in outputs.items()} == {
        "confidence": CLASSES_AT_ONCE,
        "coordinates": 4,
    }
    for image, *found in zip(IMAGES, *task.find(outputs), strict=True):
        wanted = expected_objects(model, image, VISION_RULES)
        boxes, labels, scores = (each.numpy() for each in found)
        assert (labels >= 0).sum() == len(wanted) > 20
        np.testing.assert_allclose(scores[: len(wanted)], [score for _, score, _ in wanted], atol=1e-4)
        same = [
            label == labels[place] and np.abs(np.clip(corners, 0, 1) - boxes[place]).max() < 1e-3
            for place, (label, _, corners) in enumerate(wanted)
        ]
        assert np.mean(same) > 0.95


def test_what_vision_reads(package):
    """A pipeline of two, arrays of float32, optional thresholds, a name for each column."""
    spec = read_mlpackage(package)
    assert [each.WhichOneof("Type") for each in spec.pipeline.models] == ["mlProgram", "nonMaximumSuppression"]
    network, second = spec.pipeline.models
    assert spec.specificationVersion == network.specificationVersion >= second.specificationVersion
    image, *thresholds = spec.description.input
    assert (image.type.imageType.height, image.type.imageType.width) == SIDES
    assert [(each.name, each.type.isOptional) for each in thresholds] == [
        ("iouThreshold", True),
        ("confidenceThreshold", True),
    ]
    found = second.nonMaximumSuppression
    assert [feature.name for feature in second.description.input] == [
        found.confidenceInputFeatureName,
        found.coordinatesInputFeatureName,
    ]
    for described in (network.description.output, second.description.input, second.description.output):
        assert {feature.type.multiArrayType.dataType for feature in described} == {FLOAT32}
    assert {feature.name for feature in network.description.output} == {each.name for each in second.description.input}
    assert [feature.name for feature in spec.description.output] == ["confidence", "coordinates"]
    labels = list(found.stringClassLabels.vector)
    assert tuple(labels[: len(NAMES)]) == NAMES
    assert len(labels) == len(set(labels)) == CLASSES_AT_ONCE
    assert (found.iouThreshold, found.confidenceThreshold) == (0.5, pytest.approx(0.3))
    assert found.pickTop.perClass
    rows, columns = second.description.output[0].type.multiArrayType.shapeRange.sizeRanges
    assert (rows.lowerBound, rows.upperBound, columns.lowerBound, columns.upperBound) == (0, -1, 80, 80)


def test_probabilities_of_a_row(model, package):
    """Vision takes their sum for the confidence that there is any object."""
    computed = export.CoreMLModel(package).computed(IMAGES[:1])
    sums = computed["all_confidence"].sum(-1)
    assert (sums <= 1 + 1e-6).all()
    assert (computed["all_confidence"][..., len(NAMES) :] == 0).all()


def test_describe(package):
    described = describe.describe_coreml(package)
    assert [(each.name, each.kind) for each in described.inputs] == [
        ("image", "image"),
        ("iouThreshold", "double"),
        ("confidenceThreshold", "double"),
    ]
    assert [each.name for each in described.outputs] == ["confidence", "coordinates"]
    assert described.max_rank <= 4
    assert described.classes == CLASSES_AT_ONCE


@pytest.mark.sampled
def test_half_precision(model, tmp_path):
    report = convert(model, tmp_path / "model.mlpackage", "fp16")
    assert report.agreement > 0.9
    assert report.headroom > 4
    program = read_program(tmp_path / "model.mlpackage")
    assert {result.dtype for result in program.results} == {"float32"}


@pytest.mark.sampled
def test_raw_outputs_for_arrays(model, tmp_path):
    """With an array as input, which Vision takes none of, a package gives what the Keras model does."""
    path = tmp_path / "model.mlpackage"
    convert(model, path, input_type="tensor", check_images=IMAGES[:1])
    assert set(export.CoreMLModel(path).output_shape) == {"boxes", "scores"}


def _order(offsets, probabilities, anchors):
    return KEPT(offsets, probabilities, anchors[::-1])


def _format(offsets, probabilities, anchors):
    found = KEPT(offsets, probabilities, anchors)
    return found | {"all_coordinates": found["all_coordinates"][..., ::-1]}


def _classes(offsets, probabilities, anchors):
    found = KEPT(offsets, probabilities, anchors)
    last, others = found["all_confidence"][..., -1:], found["all_confidence"][..., :-1]
    return found | {"all_confidence": tf.concat([last, others], -1)}


KEPT = detection_forms.vision_outputs
CHANGES = {"order of anchors": _order, "box format": _format, "classes": _classes}


@pytest.mark.sampled
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_check_sees_wrong_objects(change, model, tmp_path, monkeypatch):
    path = tmp_path / "model.mlpackage"
    monkeypatch.setattr("keras_mobattn.tasks.detection.task.vision_outputs", change)
    with pytest.raises(export.VerificationError, match="same objects from 95.0%. Received"):
        convert(model, path)
    assert not path.exists()


@pytest.mark.sampled
def test_the_check_sees_another_threshold(model, tmp_path, monkeypatch):
    from keras_mobattn.export.coreml import vision

    rules = detection_forms.Rules(candidates=VISION_RULES.candidates, max_overlap=0.1, one_class=True)
    form = detection_forms.DetectorForm(**vars(FORMS["vision"]) | {"rules": rules})
    monkeypatch.setattr(vision, "FORMS", FORMS | {"vision": form})
    with pytest.raises(export.VerificationError, match="same objects"):
        convert(model, tmp_path / "model.mlpackage")


@pytest.mark.parametrize("by_class", [True, False])
def test_suppression_by_hand(by_class):
    """Two boxes that share 81 of 119 parts, of one class and of two, and one apart."""
    boxes = np.array([[0.5, 0.5, 0.2, 0.2], [0.52, 0.5, 0.2, 0.2], [0.1, 0.1, 0.1, 0.1]])
    alike = np.array([[0.9, 0.0], [0.8, 0.1], [0.2, 0.6]])
    kept, places = mil_suppression.suppress(alike, boxes, 0.5, 0.3, by_class)
    np.testing.assert_array_equal(kept, alike[[0, 2]])
    np.testing.assert_array_equal(places, boxes[[0, 2]])
    apart = np.array([[0.9, 0.0], [0.1, 0.8], [0.2, 0.2]])
    kept, _ = mil_suppression.suppress(apart, boxes, 0.5, 0.3, by_class)
    np.testing.assert_array_equal(kept, apart[[0, 1]] if by_class else apart[[0]])
    assert len(mil_suppression.suppress(apart, boxes, 0.5, 0.95, by_class)[0]) == 0


def test_bad_options(model, tmp_path):
    path = tmp_path / "model.mlpackage"
    with pytest.raises(InputError, match="Expected input_type 'image' for form 'vision'"):
        convert(model, path, input_type="tensor", form="vision")
    with pytest.raises(InputError, match="one of 'vision', 'raw'. Received: 'nms'"):
        convert(model, path, form="nms")
    with pytest.raises(InputError, match="whose outputs are for one image size"):
        convert(model, path, input_sizes=[(128, 128)])


@pytest.mark.sampled
def test_a_name_is_not_taken_by_an_unused_class(tmp_path):
    backbone = keras_mobattn.MobileViTv2(variant="test", width=0.25, include_top=False, input_shape=(64, 64, 3))
    model = keras_mobattn.randomize_weights(keras_mobattn.SSDLite(backbone, 2), 1)
    path = tmp_path / "model.mlpackage"
    convert(model, path, labels=("unused 2", "unused 3"), check_images=None, tolerance=export.Tolerance(1e-3))
    labels = read_program(path).suppression.labels
    assert len(set(labels)) == len(labels) == CLASSES_AT_ONCE
