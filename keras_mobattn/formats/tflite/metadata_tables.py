"""The tables of TFLite metadata as bytes: a flatbuffer of its own, kept in a buffer of the .tflite file.

Own code, since no library fits: mediapipe 1.2.2's metadata writers fail on import (its wheel lacks tasks.cc), and
tflite-support, the last to have them, asks for protobuf below 4 and Python below 3.12.
"""

import numpy as np

METADATA = "TFLITE_METADATA"  # the name by which readers find it among a file's metadata
# metadata_schema.fbs of TensorFlow Lite, as far as it is used here: table -> its fields in order. A union takes two,
# its type first.
_FIELDS = {
    "ModelMetadata": (
        *("name", "description", "version", "subgraph_metadata", "author", "license", "associated_files"),
        "min_parser_version",
    ),
    "SubGraphMetadata": ("name", "description", "input_tensor_metadata", "output_tensor_metadata"),
    "TensorMetadata": (
        *("name", "description", "dimension_names", "content", "process_units", "stats", "associated_files"),
    ),
    "Content": ("content_properties_type", "content_properties", "range"),
    "FeatureProperties": (),
    "ImageProperties": ("color_space", "default_size"),
    "ProcessUnit": ("options_type", "options"),
    "NormalizationOptions": ("mean", "std"),
    "AssociatedFile": ("name", "description", "type", "locale", "version"),
}
# Its enums and union types, each one byte.
FEATURE, IMAGE = np.uint8(1), np.uint8(2)  # ContentProperties
COLOR_SPACES = {1: np.uint8(2), 3: np.uint8(1)}  # channels -> GRAYSCALE, RGB
NORMALIZATION = np.uint8(1)  # ProcessUnitOptions
AXIS_LABELS = np.uint8(2)  # AssociatedFileType


def table(kind, **fields):
    """Return a table as {number of the field: value}, without its empty fields.

    A value is text, a byte (np.uint8), a numpy array, a table, or a list of these.
    """
    numbers = {name: number for number, name in enumerate(_FIELDS[kind])}
    return {numbers[name]: value for name, value in fields.items() if not (isinstance(value, str | list) and not value)}


def pack_table(root):
    """Return a ModelMetadata table, and what is in it, as bytes."""
    import flatbuffers

    builder = flatbuffers.Builder()
    builder.Finish(_write(builder, root), file_identifier=b"M001")
    return bytes(builder.Output())


def _write(builder, value):
    """Write a value, and what is in it first; return its offset."""
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, np.ndarray):
        return builder.CreateNumpyVector(value)
    if isinstance(value, list):
        offsets = [_write(builder, each) for each in value]
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()
    parts = {number: part if isinstance(part, np.generic) else _write(builder, part) for number, part in value.items()}
    builder.StartObject(max(parts, default=-1) + 1)
    for number, part in parts.items():
        if isinstance(part, np.generic):
            builder.PrependUint8Slot(number, int(part), 0)
        else:
            builder.PrependUOffsetTRelativeSlot(number, part, 0)
    return builder.EndObject()
