"""What Core ML's NonMaximumSuppression gives, in numpy, as its proto describes it."""

import numpy as np


def suppress(confidence, coordinates, overlap, score, by_class):
    """The rows of probabilities [A, K] and boxes [A, 4], (center x, center y, width, height), that remain, best first.

    A box has its most likely class. Those below `score` are none; of the others one is left out where a better one,
    with `by_class` of the same class, overlaps it by more than `overlap` (intersection over union).
    """
    best, labels = confidence.max(1), confidence.argmax(1)
    order = [row for row in np.argsort(-best, kind="stable") if best[row] >= score]
    halves = coordinates[:, 2:] / 2
    low, high = coordinates[:, :2] - halves, coordinates[:, :2] + halves
    areas = np.prod(high - low, 1)
    kept = []
    for row in order:
        others = np.array([other for other in kept if not by_class or labels[other] == labels[row]], int)
        shared = np.prod(np.maximum(np.minimum(high[row], high[others]) - np.maximum(low[row], low[others]), 0), 1)
        if (shared <= overlap * (areas[row] + areas[others] - shared)).all():
            kept.append(row)
    return confidence[kept], coordinates[kept]
