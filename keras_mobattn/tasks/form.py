"""The form in which a model is exported, of a task that has several."""

import dataclasses

IN_FLOAT32 = "in_float32"  # scope of operations that files in half precision compute in float32


@dataclasses.dataclass(frozen=True)
class Form:
    """One of several forms in which a task's models are exported.

    Attributes:
        outputs: their names, in the order of the file.
        kind: the name of the one kind of file that has it; None for every kind.
        of_pixels: whether the file's input has to be an image, not an array.
        rows: whether outputs are those of one image, without the axis of a batch.
        computed: what the model itself computes, where the file makes `outputs` of it; else the same.
    """

    outputs: tuple[str, ...]
    kind: str | None
    of_pixels: bool = False
    rows: bool = False
    computed: tuple[str, ...] = ()
