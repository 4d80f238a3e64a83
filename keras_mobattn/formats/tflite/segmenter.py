"""What a .tflite file of a segmenter tells MediaPipe's ImageSegmenter (image_segmenter_metadata_schema.fbs)."""

import numpy as np

from keras_mobattn.formats.tflite.metadata_tables import pack_table, table

NAME = "SEGMENTER_METADATA"  # of the custom metadata
_IDENTIFIER = b"V001"
ACTIVATIONS = {"NONE": np.uint8(0), "SIGMOID": np.uint8(1), "SOFTMAX": np.uint8(2)}


def segmenter_table(activation):
    """The CustomMetadata table of a segmenter whose scores one of ACTIVATIONS makes probabilities of."""
    options = table("ImageSegmenterOptions", activation=ACTIVATIONS[activation], min_parser_version="1.0.0")
    return table("CustomMetadata", name=NAME, data=pack_table(options, _IDENTIFIER))
