"""A seeded part of tests/helpers/fuzz_folders.py, which tries 300 by itself."""

import pytest

from helpers import fuzz_folders

pytestmark = pytest.mark.sampled


def test_folders_made_at_random_are_read_whole_or_refused():
    ends = fuzz_folders.run(0, 40, print)
    assert ends["read"] >= 20
    assert ends["refused"] >= 4
