"""The tables of TFLite metadata as bytes: a flatbuffer of its own, kept in a buffer of the .tflite file.

Own code, since no library fits: mediapipe 1.2.2's metadata writers fail on import (its wheel lacks tasks.cc), and
tflite-support, the last to have them, asks for protobuf below 4 and Python below 3.12.
"""

import numpy as np

METADATA = "TFLITE_METADATA"  # the name by which readers find it among a file's metadata
# metadata_schema.fbs of TensorFlow Lite, and MediaPipe's object_detector_metadata_schema.fbs and
# image_segmenter_metadata_schema.fbs, as far as they are used here: table -> its fields in order. A union takes two,
# its type first.
_FIELDS = {
    "ModelMetadata": (
        *("name", "description", "version", "subgraph_metadata", "author", "license", "associated_files"),
        "min_parser_version",
    ),
    "SubGraphMetadata": (
        *("name", "description", "input_tensor_metadata", "output_tensor_metadata", "associated_files"),
        *("input_process_units", "output_process_units", "input_tensor_groups", "output_tensor_groups"),
        "custom_metadata",
    ),
    "TensorGroup": ("name", "tensor_names"),
    "CustomMetadata": ("name", "data"),
    "TensorMetadata": (
        *("name", "description", "dimension_names", "content", "process_units", "stats", "associated_files"),
    ),
    "Content": ("content_properties_type", "content_properties", "range"),
    "FeatureProperties": (),
    "ImageProperties": ("color_space", "default_size"),
    "BoundingBoxProperties": ("index", "type", "coordinate_type"),
    "ValueRange": ("min", "max"),
    "ProcessUnit": ("options_type", "options"),
    "NormalizationOptions": ("mean", "std"),
    "ScoreThresholdingOptions": ("global_score_threshold",),
    "AssociatedFile": ("name", "description", "type", "locale", "version"),
    "ObjectDetectorOptions": ("min_parser_version", "ssd_anchors_options", "tensors_decoding_options"),
    "SsdAnchorsOptions": ("fixed_anchors_schema",),
    "FixedAnchorsSchema": ("anchors",),
    "FixedAnchor": ("x_center", "y_center", "width", "height"),
    "TensorsDecodingOptions": (
        *("num_classes", "num_boxes", "num_coords", "keypoint_coord_offset", "num_keypoints"),
        *("num_values_per_keypoint", "x_scale", "y_scale", "w_scale", "h_scale"),
        *("apply_exponential_on_box_size", "sigmoid_score"),
    ),
    "ImageSegmenterOptions": ("activation", "min_parser_version"),
}
# Its enums and union types, each one byte.
FEATURE, IMAGE, BOUNDING_BOX = np.uint8(1), np.uint8(2), np.uint8(3)  # ContentProperties
COLOR_SPACES = {1: np.uint8(2), 3: np.uint8(1)}  # channels -> GRAYSCALE, RGB
NORMALIZATION, SCORE_THRESHOLDING = np.uint8(1), np.uint8(3)  # ProcessUnitOptions
AXIS_LABELS, VALUE_LABELS = np.uint8(2), np.uint8(3)  # AssociatedFileType
BOUNDARIES, RATIO = np.uint8(1), np.uint8(0)  # BoundingBoxType, CoordinateType
_ALIGNED = 16  # bytes, of what a CustomMetadata holds


def table(kind, **fields):
    """Return a table as {number of the field: value}, without its empty fields.

    A value is text, bytes, a numpy scalar, a numpy array, a table, or a list of these.
    """
    numbers = {name: number for number, name in enumerate(_FIELDS[kind])}
    return {numbers[name]: value for name, value in fields.items() if not (isinstance(value, str | list) and not value)}


def pack_table(root, identifier=b"M001"):
    """Return a table, and what is in it, as bytes: a ModelMetadata, or that of another file identifier."""
    import flatbuffers

    builder = flatbuffers.Builder()
    builder.Finish(_write(builder, root), file_identifier=identifier)
    return bytes(builder.Output())


def read_table(data, kind, reads):
    """What `reads` names of a table `kind` in bytes: {field: text, number, or what is in a table below it}.

    `reads` is {field: "text", "int32", "float32", "bytes", (kind, reads) of a table, or [(kind, reads)] of a list of
    them}. A field that is not there is left out.
    """
    from flatbuffers import encode, number_types
    from flatbuffers.table import Table

    data = bytes(data)
    position = encode.Get(number_types.UOffsetTFlags.packer_type, data, 0)
    return _read(Table(data, position), kind, reads)


def _read(found, kind, reads):
    from flatbuffers import number_types
    from flatbuffers.table import Table

    scalars = {"int32": number_types.Int32Flags, "float32": number_types.Float32Flags}
    result = {}
    for field, what in reads.items():
        offset = found.Offset(4 + 2 * _FIELDS[kind].index(field))
        if not offset:
            continue
        place = found.Pos + offset
        if what == "text":
            result[field] = found.String(place).decode()
        elif what == "bytes":
            start = found.Vector(offset)
            result[field] = found.Bytes[start : start + found.VectorLen(offset)]
        elif isinstance(what, str):
            result[field] = found.Get(scalars[what], place)
        elif isinstance(what, tuple):
            result[field] = _read(Table(found.Bytes, found.Indirect(place)), *what)
        else:
            start, count = found.Vector(offset), found.VectorLen(offset)
            below = (Table(found.Bytes, found.Indirect(start + 4 * number)) for number in range(count))
            result[field] = [_read(each, *what[0]) for each in below]
    return result


def _write(builder, value):
    """Write a value, and what is in it first; return its offset."""
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, np.ndarray):
        return builder.CreateNumpyVector(value)
    if isinstance(value, bytes):
        builder.StartVector(1, len(value), _ALIGNED)
        for byte in reversed(value):
            builder.PrependByte(byte)
        return builder.EndVector()
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
            slots = {"uint8": builder.PrependUint8Slot, "int32": builder.PrependInt32Slot}
            slots |= {"float32": builder.PrependFloat32Slot, "bool": builder.PrependBoolSlot}
            slots[part.dtype.name](number, part.item(), 0)
        else:
            builder.PrependUOffsetTRelativeSlot(number, part, 0)
    return builder.EndObject()
