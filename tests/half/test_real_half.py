"""The evaluator against real float16, that of Mesa's llvmpipe under LiteRT's accelerator: operators, sums, models.

What it shows: the accelerator keeps float32 inside sums, means, pools and the softmax, and cuts (rounds toward zero)
what it stores, so that these are the mode "stored" to one unit. Convolutions and matrix products it adds up in
float16, as the mode "products" does, in orders of its own. A unit is float16's last place at an output's largest value.
"""

import numpy as np
import pytest
import tensorflow as tf

from helpers.cases import TWO_STYLES, tiny_model
from helpers.half_agreement import REFUSED, WRONG, agreements, cut_to_half
from helpers.half_cases import CASES, conv
from keras_mobattn import export, gpu
from keras_mobattn.data import sample_photos
from keras_mobattn.describe.difference import max_error
from keras_mobattn.half import evaluate_half

pytestmark = [pytest.mark.usefixtures("needs_llvmpipe"), pytest.mark.sampled]

CUT = {"AVERAGE_POOL_2D", "AVERAGE_POOL_2D same", "GELU tanh", "MEAN", "SOFTMAX", "SUM", "TANH"}  # float32 inside
# Added up in float16 -> the number of additions. Each is wrong by half a unit at most, as long as no sum on the way is
# larger than the largest result.
ADDED = {
    "BATCH_MATMUL": 5,
    "BATCH_MATMUL left": 7,
    "CONV_2D": 30,
    "CONV_2D valid": 30,
    "DEPTHWISE_CONV_2D": 9,
    "FULLY_CONNECTED": 5,
}
# Computed in float16 in several steps -> how many units these may cost.
STEPS = {
    "ELU": 1,  # the exponential's below 1, where the largest value is 3
    "EXP": 4,  # of x log2(e) up to 5, half a unit of which, 2^-9, is .7 * 2^-9 of the result: 3 units, and its own
    "GELU": 2,
    "HARD_SWISH": 2,  # x + 3, / 6, * x
    "LOG": 2,  # log2, * ln 2
    "LOGISTIC": 3,  # the exponential near 0, + 1, 1 /
    "POW": 4,  # as EXP
    "QUANTIZE": 8,  # a step of 1/64, where a tie is rounded the other way
    "RESIZE_BILINEAR": 8,  # places up to 11 are off by 2^-8, times the difference of two neighbours
    "RESIZE_BILINEAR corners": 2,
    "RSQRT": 2,
    "SQUARED_DIFFERENCE": 2,  # the difference's half unit twice, and its own
}
EXACT = CASES.keys() - REFUSED - WRONG - CUT - ADDED.keys() - STEPS.keys()


@pytest.fixture(scope="session")
def needs_llvmpipe(needs_real_float16):
    adapter = gpu.gpu_adapter(real_float16=True)
    if "llvmpipe" not in adapter:
        pytest.skip(f"The bounds are llvmpipe's, and here is {adapter}; tests/on_a_gpu.py is for a GPU.")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return agreements(tmp_path_factory.mktemp("agreement"))


def test_what_is_refused(found):
    assert {name for name, each in found.items() if isinstance(each, gpu.GpuError)} == REFUSED


def test_what_is_wrong_in_float32_already(found):
    ran = {name: each for name, each in found.items() if name not in REFUSED}
    errors = {name: np.abs(each.float32 - each.modes["float32"]).max() for name, each in ran.items()}
    assert {name for name, error in errors.items() if error > 1e-4} == WRONG


@pytest.mark.parametrize("name", sorted(EXACT))
def test_one_rounding_is_the_evaluators(name, found):
    np.testing.assert_array_equal(found[name].half, found[name].modes["stored"])


@pytest.mark.parametrize("name", sorted(CUT))
def test_float32_inside_is_cut_when_stored(name, found):
    np.testing.assert_array_equal(found[name].half, found[name].modes["cut"])
    assert found[name].units("stored") <= 1


@pytest.mark.parametrize("name", ADDED)
def test_products_are_added_up_in_float16(name, found):
    each = found[name]
    assert each.units("products") <= ADDED[name] / 2
    assert each.units("stored") <= ADDED[name] / 2
    assert each.equal("products") == 1 or name not in ("BATCH_MATMUL", "FULLY_CONNECTED")  # five terms: one order


@pytest.mark.parametrize("name", STEPS)
def test_steps_in_float16_cost_units(name, found):
    assert found[name].units("stored") <= STEPS[name]
    assert (found[name].half == np.float16(found[name].half)).all()


N = 512
ONES = {"kernel": np.ones((1, 1, N, 4), np.float32), "taps": np.ones((16, 32, 1, 1), np.float32)}
LONG = {  # operator -> sums of 512 terms, of z over channels or of m over a map
    "SUM": (lambda z: tf.reduce_sum(z, 3), None),
    "MEAN": (lambda m: tf.reduce_mean(m, (1, 2)), None),
    "AVERAGE_POOL_2D": (lambda m: tf.nn.avg_pool2d(m, (16, 32), 1, "VALID"), None),
    "CONV_2D": (lambda z: conv(z, ONES["kernel"]), None),
    "DEPTHWISE_CONV_2D": (lambda m: tf.nn.depthwise_conv2d(m, ONES["taps"], (1, 1, 1, 1), "VALID"), None),
    "FULLY_CONNECTED": (lambda z: tf.reshape(z, (1, N)) @ ONES["kernel"][0, 0], None),
    "BATCH_MATMUL": (lambda z, o: tf.matmul(z, o), None),
}
IN_FLOAT32 = ("SUM", "MEAN", "AVERAGE_POOL_2D")
TERMS = {  # sums of 102400 and 2303.5
    "beyond float16": np.full(N, 200, np.float32),
    "small to large": np.float32([2048, *[0.5] * (N - 1)]),
}


@pytest.fixture(scope="module")
def long_sums(tmp_path_factory):
    """{terms: {operator: Agreement}}"""
    shapes, found = {"z": (1, 1, 1, N), "m": (1, 16, 32, 1), "o": (1, 1, N, 4)}, {}
    for name, terms in TERMS.items():
        given = {"z": terms.reshape(shapes["z"]), "m": terms.reshape(shapes["m"]), "o": np.ones(shapes["o"])}
        given["o"] = given["o"].astype(np.float32)
        found[name] = agreements(tmp_path_factory.mktemp("sums"), LONG, shapes, given)
    return found


@pytest.mark.parametrize("name", LONG)
def test_where_long_sums_are_float16(name, long_sums):
    """Means of 512 numbers don't overflow on the way; products' sums do, and lose small terms."""
    large, small = (long_sums[terms][name] for terms in TERMS)
    if name in IN_FLOAT32:
        np.testing.assert_array_equal(large.half, cut_to_half(large.modes["float32"]))
        np.testing.assert_array_equal(small.half, cut_to_half(small.modes["float32"]))
        assert np.isinf(large.modes["reductions"]).all()  # which is stricter
    else:
        assert np.isinf(large.half).all()
        assert np.isinf(large.modes["products"]).all()
        assert (small.half < 2302.5).all()
        assert (small.half >= 2048).all()
        assert (small.modes["products"] < 2303).all()


MODELS = [(family, style) for family, styles in TWO_STYLES.items() for style in styles]


@pytest.mark.slow
@pytest.mark.parametrize(("family", "style"), MODELS)
def test_models_are_as_wrong_as_predicted(family, style, tmp_path):
    """Largest error over four photographs, random weights: cutting doubles what rounding costs, and another order of
    sums has other errors of the same size, so a factor of 4 either way."""
    images = sample_photos(4, (64, 64)).astype(np.float32)
    path = tmp_path / "model.tflite"
    export.to_tflite(tiny_model(family, style), path, check_images=images, tolerance=export.Tolerance(1e-3))
    inputs = [{"image": image[None]} for image in images]
    outputs = gpu.run_on_gpu(path, inputs, float16=True, real_float16=True)
    predicted, errors = {"stored": [], "products": []}, []
    for given, received in zip(inputs, outputs, strict=True):
        for mode, found in predicted.items():
            report = evaluate_half(path, given, mode)
            found.append(max_error([report.outputs], [report.expected]))
        errors.append(max_error([received], [report.expected]))
    print(f"{family} {style}: {max(errors):.2g}, predicted", {mode: f"{max(e):.2g}" for mode, e in predicted.items()})
    assert min(map(max, predicted.values())) / 4 <= max(errors) <= 4 * max(map(max, predicted.values()))
