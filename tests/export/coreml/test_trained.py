"""What Core ML's compressions and the Neural Engine cost a model that has learnt something, by the evaluator."""

import numpy as np
import pytest

from helpers.trained_models import RUNS, expect_no_loss, expect_same_answers, train_small
from keras_mobattn import export
from keras_mobattn.catalog import COREML_COMPRESSIONS
from keras_mobattn.half import evaluate_half

ANYTHING = export.Tolerance(1e9)
# Share of the answers that may be lost beside chance. Half of the weights away, or 16 values left, without training
# after it, may cost anything; measured in docs/measurements.md.
LOSSES = dict.fromkeys(COREML_COMPRESSIONS, 0.01) | dict.fromkeys(
    ("int4", "palettized4", "pruned50", "pruned50_int8", "pruned50_palettized6"), 1.0
)
NUM_IMAGES, HALF_IMAGES = 100, 50  # .1 and .5 s each


@pytest.fixture(scope="module")
def trained(request, tmp_path_factory):
    """A model of full depth, 0.5 wide: tiny ones have no weights that coremltools compresses."""
    return train_small(request.param, tmp_path_factory, variant="standard", width=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("trained", ["digits, mobile", "fashion"], indirect=True)
def test_compressed_models_keep_their_accuracy(trained, tmp_path):
    model, representative, images, labels = trained
    images, labels, path = images[:NUM_IMAGES], labels[:NUM_IMAGES], tmp_path / "model.mlpackage"
    before = model.predict(images, verbose=0).argmax(-1) == labels
    sizes = {}
    for name, compression in COREML_COMPRESSIONS.items():
        target = max(compression.since, "iOS17", key=export.COREML_TARGETS.get)
        options = {
            "check_images": np.float32(images[:2]),
            "compression": name,
            "minimum_deployment_target": target,
            "tolerance": ANYTHING,
        }
        report = export.to_coreml(model, path, representative_images=representative, **options)
        outputs = export.CoreMLModel(path).predict_on_batch(np.float32(images))
        expect_no_loss(before, outputs.argmax(-1) == labels, LOSSES[name], name)
        sizes[name] = report.size_bytes
    assert sizes["int4"] < sizes["int8"] < 0.7 * model.count_params() * 2
    assert sizes["pruned50_int8"] < sizes["pruned50"]


@pytest.mark.slow
@pytest.mark.parametrize("trained", RUNS, indirect=True)
def test_the_neural_engine_keeps_the_answers(trained, tmp_path):
    """By the record: every answer that is none between two classes, with four times the room, and with tables for
    activations 98 % of them."""
    model, _, images, _ = trained
    report = export.to_coreml(model, tmp_path / "model.mlpackage", check_images=np.float32(images[:8]))
    assert report.headroom >= 4
    assert report.neural_engine == ""
    path = tmp_path / "model.mlpackage"
    package = export.CoreMLModel(path)
    for mode, share in (("neural_engine", 1.0), ("neural_engine_tables", 0.98)):
        runs = [evaluate_half(path, package.given(image[None]), mode) for image in np.float32(images[:HALF_IMAGES])]
        assert all(run.first_overflow is None for run in runs), mode
        (received,), (expected,) = (
            {name: [getattr(run, side)[name] for run in runs] for name in runs[0].outputs}.values()
            for side in ("outputs", "expected")
        )
        expect_same_answers(np.concatenate(received), np.concatenate(expected), share, mode)
