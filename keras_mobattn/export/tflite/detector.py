"""What makes a detector's .tflite file one that MediaPipe's ObjectDetector and Android's Task Library take.

Form "anchors" has the two outputs that MediaPipe makes objects of by the anchors in the file; form "nms" the four of
TensorFlow Lite's operator TFLite_Detection_PostProcess, which both take.
"""

import numpy as np

from keras_mobattn.formats.tflite.detector import detector_table
from keras_mobattn.formats.tflite.labels import LABELS
from keras_mobattn.formats.tflite.metadata_tables import (
    AXIS_LABELS,
    BOUNDARIES,
    BOUNDING_BOX,
    FEATURE,
    RATIO,
    SCORE_THRESHOLDING,
    VALUE_LABELS,
    table,
)

OPERATOR = "TFLite_Detection_PostProcess"
NUMBER = "number of detections"  # what readers look for; the others are called as in the signature
CORNERS = np.array([1, 0, 3, 2], np.uint32)  # places of xmin, ymin, xmax, ymax in a box


def add_post_process(graph, decoding, rules):
    """Add the operator to a Graph with the outputs "location" and "score": "location" [1, n, 4] corners, "category" [1,
    n], "score" [1, n] and "number" [1] of the n = `rules.max_objects` best, each class by itself."""
    names = dict(zip(graph.output_names(), graph.subgraph.outputs, strict=True))
    scores = names["score"]
    centers = decoding.anchors[:, [1, 0, 3, 2]]  # (center y, center x, height, width)
    anchors = graph.add_values("anchors", np.ascontiguousarray(centers))
    count = rules.max_objects
    shapes = {"location": (1, count, 4), "category": (1, count), "score": (1, count), "number": (1,)}
    for name in ("location", "score"):
        graph.tensors[names[name]].name = f"{graph.name(names[name])}_raw"
    outputs = {name: graph.add_tensor(name, shape, "float32") for name, shape in shapes.items()}
    y, x, height, width = decoding.scales
    options = {
        "max_detections": count,
        "max_classes_per_detection": 1,
        "detections_per_class": count,
        "use_regular_nms": True,
        "nms_score_threshold": float(rules.min_score),
        "nms_iou_threshold": float(rules.max_overlap),
        "num_classes": graph.shape(scores)[-1],
        "y_scale": float(y),
        "x_scale": float(x),
        "h_scale": float(height),
        "w_scale": float(width),
    }
    corners = graph.add_tensor("corners", shapes["location"], "float32")
    made = [corners, *(outputs[name] for name in ("category", "score", "number"))]
    graph.add_custom_operator(OPERATOR, [names["location"], scores, anchors], made, options)
    # Cut off what is beyond the image: MediaPipe would move a box that begins there, not cut it off.
    inside = graph.add_tensor("corners_inside", shapes["location"], "float32")
    bounds = [graph.add_values("bound", np.float32(bound)) for bound in (0, 1)]
    graph.add_operator(len(graph.operators), "MAXIMUM", [corners, bounds[0]], [inside])
    graph.add_operator(len(graph.operators), "MINIMUM", [inside, bounds[1]], [outputs["location"]])
    graph.set_outputs(outputs)


def output_tables(graph, source):
    """(TensorMetadata of each output, further fields of the SubGraphMetadata) of a Graph in either form.

    MediaPipe shows objects from the task's `min_score` on, unless an app says another.
    """
    names = graph.output_names()
    final = len(names) == 4
    kind = VALUE_LABELS if final else AXIS_LABELS
    labels = table("AssociatedFile", name=LABELS, description="Class names, in the order of their numbers.", type=kind)
    boxes = table("BoundingBoxProperties", index=CORNERS, type=BOUNDARIES, coordinate_type=RATIO)
    threshold = table("ScoreThresholdingOptions", global_score_threshold=np.float32(source.task.min_score))
    contents = {"location": table("Content", content_properties_type=BOUNDING_BOX, content_properties=boxes)}
    feature = table("Content", content_properties_type=FEATURE, content_properties=table("FeatureProperties"))
    units = {"score": [table("ProcessUnit", options_type=SCORE_THRESHOLDING, options=threshold)]}
    named = "category" if final else "score"
    outputs = [
        table(
            "TensorMetadata",
            name=NUMBER if name == "number" else name,
            description=source.describe_output(name),
            content=contents.get(name, feature),
            process_units=units.get(name, []),
            associated_files=[labels] if source.labels and name == named else [],
        )
        for name in names
    ]
    if final:
        group = table("TensorGroup", name="detection_result", tensor_names=["location", "category", "score"])
        return outputs, {"output_tensor_groups": [group]}
    decoding = source.task.decoding
    classes = graph.shape(graph.subgraph.outputs[names.index("score")])[-1]
    return outputs, {"custom_metadata": [detector_table(decoding.anchors, decoding.scales, classes)]}
