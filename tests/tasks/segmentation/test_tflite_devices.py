"""Segmenters as .tflite files: whole on the GPU, one XNNPACK partition, nothing that phones are on record to fail."""

import pytest

from helpers.cases import FAMILIES, QUICK_FAMILIES
from helpers.segmenters import IMAGES, segmenter
from keras_mobattn import describe, export
from keras_mobattn.formats.tflite.contents import read_contents
from keras_mobattn.tasks.segmentation.task import HEADS

pytestmark = pytest.mark.sampled

OF_HEADS = ("aspp", "psp", "lraspp", "pixel_classifier")
# A scale for each channel is repeated along the map: one Mali device is on record; attention's products have it too.
KNOWN = {"lraspp_scaled": "a computed factor that is repeated along axis 1: its first lane alone is"}
CASES = [
    pytest.param(family, head, marks=[pytest.mark.slow] * (family not in QUICK_FAMILIES or head == "lraspp"))
    for family in FAMILIES
    for head in HEADS
]


@pytest.mark.parametrize(("family", "head"), CASES)
def test_devices(family, head, tmp_path):
    path = tmp_path / "model.tflite"
    report = export.to_tflite(segmenter(head, family), path, check_images=IMAGES)
    assert report.max_abs_error < 2e-5 * report.spread
    assert report.agreement > 0.999  # of 32,768 pixels some lie as near to two classes as float32 rounds
    described = describe.describe_tflite(path)
    assert described.xnnpack.partitions == 1
    assert described.gpu.passed
    for finding in described.gpu.record:
        layer = next((part for part in finding.tensor.split("/")[1:] if part.startswith(OF_HEADS)), None)
        assert layer is None or KNOWN.get(layer) == finding.reason
    kinds = {operator.kind for operator in read_contents(path).operators}
    assert not kinds & {"SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"}  # what dilation may become
    dilated = [operator for operator in read_contents(path).operators if operator.options.get("dilationHFactor", 1) > 1]
    assert (head == "deeplabv3") <= bool(dilated)
