"""What stands in for a Mac with Core ML."""

import pytest

from helpers import apple


@pytest.fixture
def mac(monkeypatch):
    """The Log of what is asked of Core ML, on the Mac or on a phone."""
    return apple.install_mac(monkeypatch)
