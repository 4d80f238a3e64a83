"""Types of arguments that functions in many rooms take, read without TensorFlow."""

import os
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np

PathLike: TypeAlias = str | os.PathLike[str]
Size: TypeAlias = tuple[int, int]  # (height, width) in pixels
Images: TypeAlias = np.ndarray | Iterable[np.ndarray]  # [N, H, W, C], or N of [H, W, C]
