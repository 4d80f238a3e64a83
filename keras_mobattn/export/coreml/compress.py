"""Smaller weights for Core ML: quantized, palettized or pruned, by coremltools' own algorithms.

Weights are stored compressed; Core ML computes with them in the package's precision. None of these looks at data, so
none reaches what training with the compression in the loop would.
"""

import dataclasses
import warnings
from collections.abc import Callable

from keras_mobattn._quiet import coremltools_messages
from keras_mobattn.catalog import COREML_COMPRESSIONS
from keras_mobattn.export.check import Tolerance


@dataclasses.dataclass(frozen=True)
class CoreMLCompression:
    """How weights are compressed, the oldest system that reads them, and how far the result may be from Keras."""

    description: str
    since: str  # a name of COREML_TARGETS
    tolerance: Tolerance
    settings: Callable  # coremltools.optimize.coreml -> the settings of an operation
    run: str  # the function of coremltools.optimize.coreml


def _quantized(dtype, **granularity):
    return lambda optimize: optimize.OpLinearQuantizerConfig(mode="linear_symmetric", dtype=dtype, **granularity)


def _palettized(nbits):
    return lambda optimize: optimize.OpPalettizerConfig(mode="kmeans", nbits=nbits)


def _pruned(target_sparsity):
    return lambda optimize: optimize.OpMagnitudePrunerConfig(target_sparsity=target_sparsity)


# Weights of 2048 values or fewer stay as they are (coremltools' default). Tolerances as in export/tflite: they catch
# gross faults; whether the accuracy suffices, the report's figures and your own images tell.
ROUGH, ROUGHER = Tolerance(0.5), Tolerance(1.0)
INT8 = CoreMLCompression(
    "int8, a scale for each channel", "iOS16", ROUGH, _quantized("int8"), "linear_quantize_weights"
)
INT4 = CoreMLCompression(
    "int4, a scale for each 32 input channels",
    "iOS18",
    ROUGHER,
    _quantized("int4", granularity="per_block", block_size=32),
    "linear_quantize_weights",
)
PALETTIZED8 = CoreMLCompression(
    "256 values for each layer, by k-means", "iOS16", ROUGH, _palettized(8), "palettize_weights"
)
PALETTIZED6 = CoreMLCompression(
    "64 values for each layer, by k-means", "iOS16", ROUGH, _palettized(6), "palettize_weights"
)
PALETTIZED4 = CoreMLCompression(
    "16 values for each layer, by k-means", "iOS16", ROUGHER, _palettized(4), "palettize_weights"
)
PRUNED50 = CoreMLCompression(
    "the smaller half of each layer's weights set to 0", "iOS16", ROUGHER, _pruned(0.5), "prune_weights"
)


def compress(model, name):
    """Return the coremltools MLModel with the weights compressed by COREML_COMPRESSIONS[name].

    Warns when weights stay as they are because the compression doesn't fit their shape.
    """
    import coremltools.optimize.coreml as optimize

    settings = COREML_COMPRESSIONS[name]
    with coremltools_messages() as messages:
        config = optimize.OptimizationConfig(global_config=settings.settings(optimize))
        model = getattr(optimize, settings.run)(model, config)
    skipped = sum("Skipped this op" in message for message in messages)
    if skipped:
        warnings.warn(f"{skipped} weights were not compressed: {settings.description} doesn't fit them.", stacklevel=3)
    if not any(op.op_type.startswith("constexpr") for op in model._mil_program.functions["main"].operations):
        warnings.warn("Nothing was compressed: no weight has more than 2048 values.", stacklevel=3)
    return model
