"""Rounding and the order of sums, against numpy's float16 added term by term."""

import numpy as np
import pytest

from keras_mobattn.half import HALF_MAX, MODES, round_to_half
from keras_mobattn.half.arithmetic import running_sums

RANDOM = np.random.default_rng(0)


def halves(*shape):
    return RANDOM.normal(size=shape).astype(np.float16).astype(np.float32)


def added(terms):
    """Blocks of four, each one after the other, then the blocks: every addition in float16."""
    total = np.float16(0)
    for start in range(0, len(terms), 4):
        block = np.float16(terms[start])
        for term in terms[start + 1 : start + 4]:
            block = block + np.float16(term)
        total = total + block
    return total


def same(received, expected):
    """Bit by bit, but for the payloads of NaN."""
    np.testing.assert_array_equal(received, expected)
    np.testing.assert_array_equal(np.signbit(received), np.signbit(expected))


def test_rounding_is_that_of_ieee():
    """All float16, all ties between neighbours and what lies beside them, and float32 of all exponents."""
    every = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32)
    every = every[~np.isnan(every)]
    positive = np.sort(every[np.isfinite(every) & (every >= 0)])
    ties = np.append((positive[1:] + positive[:-1]) / 2, np.float32(65520))
    beside = [np.nextafter(ties, np.float32(way)) for way in (np.inf, -np.inf)]
    bits = RANDOM.integers(0, 2**32, 300_001, np.uint64).astype(np.uint32).view(np.float32)
    bits = bits[~np.isnan(bits)]
    with np.errstate(all="ignore"):
        for values in (every, ties, -ties, *beside, *(-each for each in beside), bits):
            same(round_to_half(values), values.astype(np.float16).astype(np.float32))
        assert np.isnan(round_to_half(np.float32([np.nan]))).all()
    assert round_to_half(np.float32(HALF_MAX)).shape == ()


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 13, 37, 997])
def test_sums_have_the_stated_order(size):
    terms = halves(3, size)
    received = running_sums(terms, np.float16)[:, -1]
    assert received.tolist() == [added(row) for row in terms]


def test_sums_over_any_axes():
    x = halves(2, 7, 3, 5)
    received = MODES["reductions"]().total(x, (1, -1))
    assert received.shape == (2, 1, 3, 1)
    for n in range(2):
        for w in range(3):
            assert received[n, 0, w, 0] == added(x[n, :, w].reshape(-1))


def test_the_largest_running_sum_is_kept():
    arithmetic = MODES["float32"]()
    arithmetic.total(np.float32([40000] * 4 + [-40000] * 8), (0,))
    assert arithmetic.running_sum == 160000
    products = MODES["products"]()
    products.matmul(np.float32([[300, 300, 300, 300, 1]]), np.float32([[300]] * 4 + [[1]]))
    assert products.running_sum == 360001


@pytest.mark.parametrize(("a", "b"), [((3, 5), (5, 7)), ((2, 3, 11), (11, 2)), ((2, 1, 1, 13), (1, 3, 13, 5))])
def test_products_have_the_stated_order(a, b):
    a, b = halves(*a), halves(*b)
    received = MODES["products"]().matmul(a, b)
    shape = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    left, right = (np.broadcast_to(each, (*shape, *each.shape[-2:])) for each in (a, b))
    assert received.shape == (*shape, a.shape[-2], b.shape[-1])
    for place in np.ndindex(received.shape):
        row, column = left[place[:-1]], right[place[:-2]][:, place[-1]]
        assert received[place] == added(row.astype(np.float16) * column.astype(np.float16))


def test_products_in_parts_are_the_whole():
    """Rows and batches are computed some at a time."""
    whole = MODES["products"]()
    a, b = halves(401, 3, 7), halves(401, 7, 61)
    expected = np.stack([whole.matmul(x, y) for x, y in zip(a, b, strict=True)])
    np.testing.assert_array_equal(whole.matmul(a, b), expected)
    a, b = halves(16411, 5), halves(5, 3)
    expected = np.concatenate([whole.matmul(part, b) for part in (a[:100], a[100:])])
    np.testing.assert_array_equal(whole.matmul(a, b), expected)
