"""For tools that ask for this file; the package's metadata is in pyproject.toml."""

from setuptools import setup

setup()
