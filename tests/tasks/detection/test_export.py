"""Detectors as files: raw outputs with the check, whole on the GPU, in one XNNPACK partition, for the Neural Engine."""

import numpy as np
import pytest

import keras_mobattn
from helpers.cases import FAMILIES
from keras_mobattn import describe, export
from keras_mobattn.catalog import TFLITE_PRECISIONS
from keras_mobattn.data import sample_photos
from keras_mobattn.tasks.detection import SSDLite

SIZE = (64, 128)
STRIDES = {"DeiT": (8, 16, 32, 64)}  # with the transposed convolution


@pytest.fixture(scope="module")
def detectors():
    made = {}

    def detector(family):
        if family not in made:
            backbone = FAMILIES[family](include_top=False, input_shape=(*SIZE, 3))
            model = SSDLite(backbone, 5, strides=STRIDES.get(family, (16, 32, 64, 128, 256)))
            made[family] = keras_mobattn.randomize_weights(model, 1)
        return made[family]

    return detector


@pytest.mark.parametrize("family", FAMILIES)
def test_tflite(family, detectors, tmp_path):
    images = sample_photos(4, SIZE).astype(np.float32)
    path = tmp_path / "detector.tflite"
    report = export.to_tflite(detectors(family), path, check_images=images, form="raw")
    assert report.max_abs_error < 1e-4 * report.spread
    described = describe.describe_tflite(path)
    assert described.xnnpack.partitions == 1
    assert described.gpu.passed


@pytest.mark.slow
@pytest.mark.parametrize("precision", [name for name in TFLITE_PRECISIONS if name != "fp32"])
@pytest.mark.parametrize("family", FAMILIES)
def test_other_precisions(family, precision, detectors, tmp_path):
    images = sample_photos(4, SIZE).astype(np.float32)
    path = tmp_path / "detector.tflite"
    tolerance = export.Tolerance(1e9)  # random weights: the noise of int8 is large
    export.to_tflite(
        detectors(family),
        path,
        precision,
        check_images=images,
        representative_images=images,
        tolerance=tolerance,
        form="raw",
    )
    assert describe.describe_tflite(path).xnnpack.partitions == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_core_ml(family, detectors, tmp_path):
    images = sample_photos(2, SIZE).astype(np.float32)
    path = tmp_path / "detector.mlpackage"
    report = export.to_coreml(detectors(family), path, "fp32", check_images=images)
    assert report.max_abs_error < 2e-5 * report.spread
    assert {name: shape[-1] for name, shape in export.CoreMLModel(path).output_shape.items()} == {
        "boxes": 4,
        "scores": 6,
    }
