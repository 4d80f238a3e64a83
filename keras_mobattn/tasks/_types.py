"""Types of what tasks take and give."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import tensorflow as tf

Array: TypeAlias = tf.Tensor | np.ndarray
NamedArrays: TypeAlias = dict[str, Array]
Arrays: TypeAlias = Array | NamedArrays  # labels or outputs
Tensors: TypeAlias = tf.Tensor | dict[str, tf.Tensor]
Shape: TypeAlias = tuple[int | None, ...]
Shapes: TypeAlias = Shape | dict[str, Shape]
Result: TypeAlias = dict[str, Any]  # of a tally
Record: TypeAlias = dict[str, Any]  # of an answer, for JSON
Bad: TypeAlias = tuple[int, str, Callable[[np.ndarray], np.ndarray | Sequence[np.ndarray]] | None]  # see Task.worst


class Tally(Protocol):
    """What adds up an evaluation."""

    def add(self, learned: Any, outputs: Any, /) -> None:
        """Add a batch."""

    def result(self) -> Result:
        """The figures of all that was added."""


class File(Protocol):
    """What tasks read of an exported file: see `export.FileModel`."""

    @property
    def name(self) -> str: ...

    @property
    def labels(self) -> Sequence[str]: ...

    @property
    def input_shape(self) -> Shape: ...

    @property
    def output_shape(self) -> Shapes: ...

    @property
    def given_names(self) -> Sequence[str]: ...

    @property
    def detector(self) -> dict[str, Any] | None: ...
