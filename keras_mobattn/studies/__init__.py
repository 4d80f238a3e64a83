"""Comparisons, sweeps and the demo: what puts the rest of the package together to find something out or to show it."""
