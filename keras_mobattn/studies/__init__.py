"""Comparisons, sweeps and the demo: what puts the rest of the package together to find something out or to show it."""

import keras_mobattn._tensorflow  # noqa: F401  first: quietly
