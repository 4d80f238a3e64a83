"""The kinds of exported files, and which of them a path is."""

import dataclasses
from pathlib import Path

from keras_mobattn.formats.coreml.package import read_mlprogram
from keras_mobattn.formats.tflite.flatbuffer import read_tflite


@dataclasses.dataclass(frozen=True)
class Kind:
    """What tables and reports call such files, and how their names end."""

    name: str
    suffix: str


TFLITE, COREML = Kind("TFLite", ".tflite"), Kind("Core ML", ".mlpackage")
KINDS = (TFLITE, COREML)
READERS = {TFLITE: read_tflite, COREML: read_mlprogram}


def kind_of(path: str | Path) -> Kind | None:
    """The Kind of a path by its suffix; None for another file."""
    suffix = Path(path).suffix
    return next((kind for kind in KINDS if kind.suffix == suffix), None)


def expect_readable(path):
    """Refuse a file whose content is not of its Kind.

    Raises:
        InputError: it is something else, or damaged.
        OSError: it can't be read.
    """
    READERS[kind_of(path)](path)
