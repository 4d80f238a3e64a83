"""What half precision leaves of this package's models: every tensor and every sum far from float16's end.

Random weights, a photograph of the package. Models of full size are slow tests; helpers/half_headroom.py makes the
table of docs/measurements.md of the same.
"""

import numpy as np
import pytest

import keras_mobattn
from helpers.cases import FAMILIES, FAMILY_CASES, RECORDS, STYLE_CASES, tiny_model
from helpers.half_headroom import computed, full_size, largest_residual, reports_of, with_residual
from keras_mobattn.half import HALF_MAX

LEAST_HEADROOM = 8
MODES = ("stored", "reductions", "products")


@pytest.mark.parametrize(("family", "style"), STYLE_CASES)
def test_tiny_models(family, style):
    """In all modes, that of products too, which takes minutes for a large model."""
    expect_room(reports_of(tiny_model(family, style, side=32), MODES))


@pytest.mark.slow
@pytest.mark.parametrize(("family", "style"), [case.values for case in STYLE_CASES])
def test_full_size(family, style):
    expect_room(reports_of(full_size(family, style), MODES[:2]))


@pytest.mark.slow
@pytest.mark.parametrize("style", ["separable", "mobile"])
def test_a_side_of_1024(style):
    expect_room(reports_of(full_size("MobileViTv2", style, side=1024, width=0.5), MODES[:2]))


def expect_room(reports):
    for report in reports:
        # 1 / sqrt of what vanished is infinite, and then cut off by a minimum.
        assert not [t for t in report.tensors if t.error == np.inf and t.operator != "RSQRT"]
        assert all(np.isfinite(values).all() for values in report.outputs.values())
        tightest = min(computed(report), key=lambda tensor: tensor.headroom)
        assert tightest.headroom >= LEAST_HEADROOM, tightest


RESIDUAL = 1000.0


@pytest.mark.sampled
@pytest.mark.parametrize("family", FAMILY_CASES)
def test_residuals_of_1000(family):
    """Finite, though what the norms get is a hundred times larger than it should be."""
    model = FAMILIES[family](attention=RECORDS[family].quick_styles[0], input_shape=(32, 32, 3), classes=10)
    for report in reports_of(with_residual(keras_mobattn.randomize_weights(model, 1), RESIDUAL), MODES[:2]):
        assert RESIDUAL <= largest_residual(report) < HALF_MAX
        assert report.first_overflow is None, report.first_overflow
