"""What makes a segmenter's .tflite file one that MediaPipe's ImageSegmenter and Android's Task Library take.

The Task Library takes form "full_size": it gives masks of the output's own size. Neither reads colours from a file: the
Task Library has Pascal VOC's, as this package, and MediaPipe has none.
"""

from keras_mobattn.formats.tflite.labels import LABELS
from keras_mobattn.formats.tflite.metadata_tables import AXIS_LABELS, FEATURE, table
from keras_mobattn.formats.tflite.segmenter import segmenter_table
from keras_mobattn.tasks.segmentation.forms import FORMS


def output_tables(graph, source):
    """(TensorMetadata of the output, further fields of the SubGraphMetadata) of a Graph in any form."""
    (name,) = graph.output_names()
    labels = table("AssociatedFile", name=LABELS, description="Class names, in their order.", type=AXIS_LABELS)
    output = table(
        "TensorMetadata",
        name=name,
        description=source.describe_output(name),
        content=table("Content", content_properties_type=FEATURE, content_properties=table("FeatureProperties")),
        associated_files=[labels] if source.labels else [],
    )
    return [output], {"custom_metadata": [segmenter_table(FORMS[source.form].activation)]}
