"""Compressions of Core ML packages as they once were, in forms that are on record against the Neural Engine."""

import dataclasses

from keras_mobattn.catalog import COREML_COMPRESSIONS
from keras_mobattn.export.coreml import compress


def per_block(patch):
    """int4 with a scale for each 32 input channels; return the options of to_coreml that ask for it."""
    _quantize(patch, "int4", dtype="int4", granularity="per_block", block_size=32)
    return {"compression": "int4", "minimum_deployment_target": "iOS18"}


def signed(patch):
    """int8 with a sign; likewise."""
    _quantize(patch, "int8", dtype="int8")
    return {"compression": "int8"}


def _quantize(patch, name, **settings):
    def config(optimize):
        return optimize.OpLinearQuantizerConfig(mode="linear_symmetric", **settings)

    changed = dataclasses.replace(COREML_COMPRESSIONS[name], steps=(compress.Step("linear_quantize_weights", config),))
    patch.setitem(COREML_COMPRESSIONS.data, name, changed)
