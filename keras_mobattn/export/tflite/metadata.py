"""TFLite metadata: what Android's Task Library and MediaPipe must know to feed and read a file."""

import numpy as np

from keras_mobattn.about import About
from keras_mobattn.export.exportable import default_description
from keras_mobattn.export.tflite import detector, segmenter
from keras_mobattn.formats.tflite.labels import LABELS
from keras_mobattn.formats.tflite.metadata_tables import (
    AXIS_LABELS,
    COLOR_SPACES,
    FEATURE,
    IMAGE,
    METADATA,
    NORMALIZATION,
    pack_table,
    table,
)


def add_metadata(graph, source, precision, about=About()):  # noqa: B008
    """Add TFLite metadata of the Exportable `source` to a Graph.

    A float32 image is declared as (pixels 0..255 - 0) / 1; a quantized one takes the bytes as they are.
    The labels that it names are appended to the file itself (`formats.tflite.labels`).
    """
    graph.add_metadata(METADATA, pack_table(_describe(graph, source, precision, about)))


def _describe(graph, source, precision, about):
    height, width, channels = source.input_shape
    values = ", 0..255" if source.input_range.is_image else ""
    dtype = graph.dtype(graph.subgraph.inputs[0])
    image = table(
        "TensorMetadata",
        name="image",
        description=f"Image of {height} x {width} pixels, {channels} channels{values}.",
        content=table(
            "Content",
            content_properties_type=IMAGE,
            content_properties=table("ImageProperties", color_space=COLOR_SPACES.get(channels, np.uint8(0))),
        ),
        process_units=[_normalization()] if dtype == "float32" else [],
    )
    outputs, more = OUTPUTS.get(source.form, _outputs)(graph, source)
    subgraph = table("SubGraphMetadata", input_tensor_metadata=[image], output_tensor_metadata=outputs, **more)
    return table(
        "ModelMetadata",
        name=about.name or source.model.name,
        description=about.description or default_description(source, precision),
        version=about.version,
        author=about.author,
        license=about.license,
        subgraph_metadata=[subgraph],
        min_parser_version="1.0.0",  # everything used is in the format's first version
    )


def _outputs(graph, source):
    """(TensorMetadata of each output, further fields of the SubGraphMetadata)."""
    labels = table(
        "AssociatedFile", name=LABELS, description="Class names, in the order of the output.", type=AXIS_LABELS
    )
    named = source.axis_labels and source.scores_classes
    return [
        table(
            "TensorMetadata",
            name=name,
            description=source.describe_output(name) if source.labels else "",
            content=table("Content", content_properties_type=FEATURE, content_properties=table("FeatureProperties")),
            associated_files=[labels] if named else [],
        )
        for name in graph.output_names()
    ], {}


OUTPUTS = dict.fromkeys(("anchors", "nms"), detector.output_tables)  # by the form
OUTPUTS |= dict.fromkeys(("logits", "probabilities", "full_size"), segmenter.output_tables)


def _normalization():
    options = table("NormalizationOptions", mean=np.float32([0]), std=np.float32([1]))
    return table("ProcessUnit", options_type=NORMALIZATION, options=options)
