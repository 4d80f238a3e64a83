"""What a .tflite file of a detector tells MediaPipe's ObjectDetector: anchors, how boxes are made of offsets, the least
score (object_detector_metadata_schema.fbs)."""

import numpy as np

from keras_mobattn.formats.tflite.graph import text
from keras_mobattn.formats.tflite.metadata_tables import METADATA, pack_table, read_table, table

NAME = "DETECTOR_METADATA"  # of the custom metadata
_IDENTIFIER = b"V001"
_SCALES = ("y_scale", "x_scale", "h_scale", "w_scale")  # in the order of offsets: (y, x, height, width)
_ANCHOR = ("x_center", "y_center", "width", "height")
_CLASSES = {"num_classes": "int32", "num_boxes": "int32", "num_coords": "int32"}
_WHERE = {  # the score's threshold, and the custom metadata, in a ModelMetadata
    "subgraph_metadata": [
        (
            "SubGraphMetadata",
            {
                "output_tensor_metadata": [
                    (
                        "TensorMetadata",
                        {
                            "name": "text",
                            "process_units": [
                                (
                                    "ProcessUnit",
                                    {"options": ("ScoreThresholdingOptions", {"global_score_threshold": "float32"})},
                                )
                            ],
                        },
                    )
                ],
                "custom_metadata": [("CustomMetadata", {"name": "text", "data": "bytes"})],
            },
        )
    ]
}
_OPTIONS = {
    "ssd_anchors_options": (
        "SsdAnchorsOptions",
        {
            "fixed_anchors_schema": (
                "FixedAnchorsSchema",
                {"anchors": [("FixedAnchor", dict.fromkeys(_ANCHOR, "float32"))]},
            )
        },
    ),
    "tensors_decoding_options": ("TensorsDecodingOptions", dict.fromkeys(_SCALES, "float32") | _CLASSES),
}


def detector_table(anchors, scales, classes):
    """The CustomMetadata table of a detector of `classes` with these anchors [A, 4], (center x, center y, width,
    height), whose offsets (y, x, height, width) are divided by `scales`; sizes are exponentials, scores probabilities.
    """
    fixed = [table("FixedAnchor", **dict(zip(_ANCHOR, np.float32(anchor), strict=True))) for anchor in anchors]
    decoding = table(
        "TensorsDecodingOptions",
        num_classes=np.int32(classes),
        num_boxes=np.int32(len(anchors)),
        num_coords=np.int32(4),
        num_values_per_keypoint=np.int32(2),  # there are none; MediaPipe stops the app for another number
        **dict(zip(_SCALES, np.float32(scales), strict=True)),
        apply_exponential_on_box_size=np.bool_(True),
    )
    options = table(
        "ObjectDetectorOptions",
        min_parser_version="1.0.0",
        ssd_anchors_options=table("SsdAnchorsOptions", fixed_anchors_schema=table("FixedAnchorsSchema", anchors=fixed)),
        tensors_decoding_options=decoding,
    )
    return table("CustomMetadata", name=NAME, data=pack_table(options, _IDENTIFIER))


def read_detector(graph):
    """{"anchors": float32 [A, 4], "scales": (y, x, height, width), "min_score": float} of a Graph; None of most."""
    buffers = (entry.buffer for entry in graph.model.metadata or () if text(entry.name) == METADATA)
    data = next((graph.model.buffers[buffer].data for buffer in buffers), None)
    if data is None:
        return None
    subgraph = read_table(bytes(data), "ModelMetadata", _WHERE)["subgraph_metadata"][0]
    found = [each["data"] for each in subgraph.get("custom_metadata", ()) if each.get("name") == NAME]
    if not found:
        return None
    options = read_table(found[0], "ObjectDetectorOptions", _OPTIONS)
    anchors = options["ssd_anchors_options"]["fixed_anchors_schema"]["anchors"]
    score = next(each for each in subgraph["output_tensor_metadata"] if each["name"] == "score")
    thresholds = [unit["options"] for unit in score.get("process_units", ()) if "options" in unit]
    return {
        "anchors": np.float32([[anchor.get(name, 0.0) for name in _ANCHOR] for anchor in anchors]),
        "scales": tuple(options["tensors_decoding_options"].get(name, 0.0) for name in _SCALES),
        "min_score": max((each.get("global_score_threshold", 0.0) for each in thresholds), default=0.0),
    }
