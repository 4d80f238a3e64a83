"""The Neural Engine by the record: the first table of docs/neural_engine.md, on numbers on either side of each line."""

import numpy as np
import pytest
import scipy.special

from keras_mobattn.half import HALF_MAX
from keras_mobattn.mil import OPS, NeuralEngine

INF = np.inf
ENGINE, TABLES = NeuralEngine(), NeuralEngine(tables=True)


def row(*values):
    return np.float32([values])


def kernel(*values):
    """A 1x1 convolution's weights [1, C, 1, 1]."""
    return np.float32(values).reshape(1, -1, 1, 1)


def pixels(*values):
    """[1, C, 1, 1]."""
    return np.float32(values).reshape(1, -1, 1, 1)


PRODUCTS = {  # kind -> operands for two terms
    "matmul": lambda a, b: {"x": row(a, b), "y": row(1, 1).T},
    "linear": lambda a, b: {"x": row(a, b), "weight": row(1, 1)},
    "conv": lambda a, b: {"x": pixels(a, b), "weight": kernel(1, 1)},
    "conv_transpose": lambda a, b: {"x": pixels(a, b), "weight": kernel(1, 1).reshape(2, 1, 1, 1)},
}


@pytest.mark.parametrize("kind", PRODUCTS)
@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ((32000, 752), 32752),  # the last float16 that passes
        ((32000, 768), INF),
        ((-32000, -768), -INF),
        ((60000, -59000), 1000),  # the sum on its way is kept in float32
    ],
)
def test_products_end_at_32768(kind, terms, expected):
    assert ENGINE.compute(kind, PRODUCTS[kind](*terms)).item() == expected


def test_a_convolution_of_one_weight_ends_where_float16_does():
    operands = {"x": pixels(600), "weight": kernel(100)}
    assert ENGINE.compute("conv", operands).item() == 60000
    assert ENGINE.compute("conv", operands | {"weight": kernel(110)}).item() == INF


def test_sums_end_at_65504():
    operands = {"x": row(40000, 20000), "axes": np.int32([1])}
    assert ENGINE.compute("reduce_sum", operands).item() == 60000
    assert ENGINE.compute("reduce_sum", operands | {"x": row(40000, 26000)}).item() == INF


WITHOUT_NAN = {  # -> operation, operands, what comes out
    "inf - inf": ("sub", {"x": row(INF), "y": row(INF)}, 0),
    "0 * inf": ("mul", {"x": row(0), "y": row(INF)}, 0),
    "root of -1": ("rsqrt", {"x": row(-1), "epsilon": np.float32(0)}, 0),
    "NaN that comes in": ("relu", {"x": row(np.nan)}, INF),
    "square of 256": ("square", {"x": row(256)}, INF),
    "square of 255.8": ("square", {"x": row(255.75)}, np.float16(255.75**2)),
    "exp of 11.1": ("exp", {"x": row(11.1)}, INF),
    "exp of 11.08": ("exp", {"x": row(11.08)}, np.float32(np.float16(np.exp(np.float32(11.08))))),
    "softplus of 10.3": ("softplus", {"x": row(10.3)}, np.float32(np.float16(np.logaddexp(10.3, 0)))),
    "softplus of 10.5": ("softplus", {"x": row(10.5)}, 0),
    "NaN in a list": ("concat", {"values": [row(np.nan)], "axis": np.int32(0)}, INF),
    "a number below 6e-5 in a product": ("matmul", {"x": row(5e-5, 1), "y": row(1000, 1).T}, 1),
    "a number below 6e-5 elsewhere": ("mul", {"x": row(2**-15), "y": row(2**14)}, 0.5),
}


@pytest.mark.parametrize("case", WITHOUT_NAN)
def test_single_numbers(case):
    kind, operands, expected = WITHOUT_NAN[case]
    assert ENGINE.compute(kind, operands).item() == expected


def test_softmax_of_infinities_ties():
    result = ENGINE.compute("softmax", {"x": row(INF, 1, INF, -INF), "axis": np.int32(1)})
    np.testing.assert_array_equal(result, row(0.5, 0, 0.5, 0))
    large = ENGINE.compute("softmax", {"x": row(60000, 59999), "axis": np.int32(1)})
    np.testing.assert_allclose(large, scipy.special.softmax(np.float64([[1, 0]]), 1), atol=1e-3)


@pytest.mark.parametrize(("kind", "worst"), [("sigmoid", 0.0034), ("gelu", 0.0059), ("tanh", 0.0034), ("silu", 0.0059)])
def test_tables_are_as_far_off_as_on_record(kind, worst):
    x = np.linspace(-12, 12, 24001, dtype=np.float32)[None]
    error = np.abs(TABLES.compute(kind, {"x": x}) - OPS[kind](x)).max()
    assert worst - 2e-4 < error < worst + 3e-4  # float16 rounds up to 2.4e-4 below 1
    assert np.abs(ENGINE.compute(kind, {"x": x}) - OPS[kind](x)).max() < 5e-3  # 12's float16, no more


@pytest.mark.parametrize("seed", range(5))
def test_ordinary_numbers_are_float16s(seed):
    """Where nothing of the record applies, the result is the one that MIL's text gives, rounded."""
    x = np.random.default_rng(seed).normal(size=(1, 50), scale=100).astype(np.float32)
    for kind, operands in {
        "add": {"x": x, "y": x[:, ::-1]},
        "linear": {"x": x, "weight": np.ones((1, x.size), np.float32)},
        "reduce_mean": {"x": x, "axes": np.int32([1])},
        "softmax": {"x": x, "axis": np.int32(1)},
        "relu": {"x": x},
    }.items():
        expected = np.float16(OPS[kind](**operands))
        np.testing.assert_array_equal(ENGINE.compute(kind, operands), np.float32(expected), err_msg=kind)
        assert np.abs(expected).max() <= HALF_MAX
