"""Textures for the backgrounds of scenes that are drawn."""

import numpy as np

TEXTURE_GRAINS = ((4, 14.0), (12, 7.0), (48, 4.0))  # (cells a side, deviation in grey levels) of the noise


def texture(rng, side):
    """A canvas of tinted mid grey with coloured noise in several grains and one grating: float [side, side, 3]."""
    canvas = np.full((side, side, 3), rng.uniform(95, 160)) + rng.normal(0, 12, 3)
    for cells, deviation in TEXTURE_GRAINS:
        canvas += enlarge(rng.normal(0, deviation, (cells, cells, 3)), side)
    waves, direction, phase = rng.uniform(2, 12), rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:side, :side] / side
    grating = np.sin(2 * np.pi * waves * (x * np.cos(direction) + y * np.sin(direction)) + phase)
    return canvas + rng.uniform(0, 12) * grating[..., None]


def enlarge(grid, size):
    """Bilinear resize of [n, n, C] to [size, size, C] with pixel centres aligned, the edge pixels repeated outwards."""
    n = len(grid)
    at = ((np.arange(size) + 0.5) * n / size - 0.5).clip(0, n - 1)
    weights = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(n)))  # [size, n], rows sum to 1
    return (weights @ grid.transpose(2, 0, 1) @ weights.T).transpose(1, 2, 0)  # faster than np.einsum
