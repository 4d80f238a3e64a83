"""A seeded part of tests/helpers/fuzz_arguments.py, which tries 300 by itself."""

import pytest

from helpers import fuzz_arguments


@pytest.mark.sampled
def test_command_lines_made_at_random_work_or_are_refused():
    ends = fuzz_arguments.run(0, 40, print)
    assert ends[2] >= 15
    assert ends[0] >= 2
