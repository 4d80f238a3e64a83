"""A seeded part of tests/helpers/fuzz_functions.py, which tries 300 by itself; and what it found, case by case."""

import pytest

from helpers import fuzz_functions


def test_calls_made_at_random_work_or_are_refused():
    ends = fuzz_functions.run(0, 40, print)
    assert ends["refused"] >= 8
    assert ends["done"] >= 8


def test_a_new_public_function_must_have_values_or_a_reason():
    for given in ({}, {"export.to_tflite.path": ([], [])}):
        missing = fuzz_functions.unknown(given)
        assert "export.to_coreml(path)" in missing
        assert ("export.to_tflite(path)" in missing) is (not given)


@pytest.mark.parametrize("name", fuzz_functions.LEFT_OUT)
def test_what_is_left_out_is_public(name):
    assert name in fuzz_functions.public()
