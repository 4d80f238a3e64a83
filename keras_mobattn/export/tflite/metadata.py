"""TFLite metadata: what Android's Task Library and MediaPipe's ImageClassifier must know to feed and read a file.

Own code, since no library fits: mediapipe 1.2.2's metadata writers fail on import (its wheel lacks tasks.cc), and
tflite-support, the last to have them, asks for protobuf below 4 and Python below 3.12.
"""

import importlib.metadata
import io
import zipfile

import numpy as np

from keras_mobattn.about import About
from keras_mobattn.formats.tflite.flatbuffer import pack, unpack

LABELS = "labels.txt"  # the name inside the file

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
_FEATURE, _IMAGE = np.uint8(1), np.uint8(2)  # ContentProperties
_COLOR_SPACES = {1: np.uint8(2), 3: np.uint8(1)}  # channels -> GRAYSCALE, RGB
_NORMALIZATION = np.uint8(1)  # ProcessUnitOptions
_AXIS_LABELS = np.uint8(2)  # AssociatedFileType


def default_description(source, how):
    """One sentence on what an Exportable is and how it was converted, e.g. in "int8"."""
    return f"{source.task.title} in {how}, converted by keras_mobattn {importlib.metadata.version('keras_mobattn')}."


def with_metadata(content, source, precision, about=About(), input_scale=1.0):  # noqa: B008
    """Return the .tflite file `content` (bytes) with TFLite metadata of the Exportable `source`.

    A float32 image is declared as (RGB 0..255 - 0) / (1 / input_scale); a quantized one takes the bytes as they are.
    Labels go into a zip behind the flatbuffer, as the format has it. Comes last: a rewrite would drop them.
    """
    model = unpack(content)
    _add(model, "TFLITE_METADATA", _packed(_describe(model, source, precision, about, input_scale)))
    file = io.BytesIO(pack(model))
    if source.labels:
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr(zipfile.ZipInfo(LABELS), "".join(f"{label}\n" for label in source.labels))  # dated 1980
    return file.getvalue()


def embedded_labels(file):
    """The class names that `with_metadata` put into a .tflite file; () if there are none."""
    try:
        with zipfile.ZipFile(file) as archive:
            text = archive.read(LABELS).decode("utf-8")
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError):
        return ()
    return tuple(text.strip("\n").split("\n"))


def _describe(model, source, precision, about, input_scale):
    graph = model.subgraphs[0]
    height, width, channels = source.input_shape
    dtype = graph.tensors[graph.inputs[0]].type
    in_range = f"times {input_scale:g}" if input_scale != 1 else "as they are"
    image = _table(
        "TensorMetadata",
        name="image",
        description=f"Image of {height} x {width} pixels, {channels} channels, 0..255 {in_range}.",
        content=_table(
            "Content",
            content_properties_type=_IMAGE,
            content_properties=_table("ImageProperties", color_space=_COLOR_SPACES.get(channels, np.uint8(0))),
        ),
        process_units=[_normalization(input_scale)] if dtype == 0 else [],  # TensorType.FLOAT32
    )
    labels = _table(
        "AssociatedFile", name=LABELS, description="Class names, in the order of the output.", type=_AXIS_LABELS
    )
    outputs = [
        _table(
            "TensorMetadata",
            name=name,
            description=source.task.describe_output(name, source.model) if source.labels else "",
            content=_table("Content", content_properties_type=_FEATURE, content_properties=_table("FeatureProperties")),
            associated_files=[labels] if source.labels else [],
        )
        for name in _output_names(model)
    ]
    return _table(
        "ModelMetadata",
        name=about.name or source.model.name,
        description=about.description or default_description(source, precision),
        version=about.version,
        author=about.author,
        license=about.license,
        subgraph_metadata=[_table("SubGraphMetadata", input_tensor_metadata=[image], output_tensor_metadata=outputs)],
        min_parser_version="1.0.0",  # everything used is in the format's first version
    )


def _normalization(input_scale):
    options = _table("NormalizationOptions", mean=np.float32([0]), std=np.float32([1 / input_scale]))
    return _table("ProcessUnit", options_type=_NORMALIZATION, options=options)


def _output_names(model):
    """The signature's names in the order of the graph's outputs, which may be another than the signature's."""
    names = {entry.tensorIndex: entry.name.decode() for entry in model.signatureDefs[0].outputs}
    return [names[index] for index in model.subgraphs[0].outputs]


def _add(model, name, data):
    """Put `data` into a buffer of a ModelT, and name it among its metadata."""
    from ai_edge_litert import schema_py_generated as schema

    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(data, np.uint8)
    entry.name, entry.buffer = name, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]


def _table(table, **fields):
    """A flatbuffer table as {slot: value}, without its empty fields."""
    slots = {name: slot for slot, name in enumerate(_FIELDS[table])}
    return {slots[name]: value for name, value in fields.items() if not (isinstance(value, str | list) and not value)}


def _packed(table):
    import flatbuffers

    builder = flatbuffers.Builder()
    builder.Finish(_write(builder, table), file_identifier=b"M001")
    return bytes(builder.Output())


def _write(builder, value):
    """Write text, an array, a list of these or a table, and what is in it first; return its offset."""
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
    parts = {slot: part if isinstance(part, np.generic) else _write(builder, part) for slot, part in value.items()}
    builder.StartObject(max(parts, default=-1) + 1)
    for slot, part in parts.items():
        if isinstance(part, np.generic):
            builder.PrependUint8Slot(slot, int(part), 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, part, 0)
    return builder.EndObject()
