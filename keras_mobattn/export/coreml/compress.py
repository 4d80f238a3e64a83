"""Smaller weights and activations for Core ML: quantized, palettized or pruned, by coremltools' own algorithms.

Weights are stored compressed; Core ML computes with them in the package's precision, or in int8 where activations are
int8, too. Nothing of it trains, so that none reaches what training with the compression in the loop would. What is on
record of the Neural Engine decides between coremltools' forms: docs/neural_engine.md.
"""

import dataclasses
import warnings
from collections.abc import Callable

from keras_mobattn._quiet import coremltools_messages
from keras_mobattn.catalog import COREML_COMPRESSIONS
from keras_mobattn.export.check import Tolerance
from keras_mobattn.export.coreml.calibrate import quantize_activations


@dataclasses.dataclass(frozen=True)
class Step:
    """A function of coremltools.optimize.coreml and the settings of an operation that it takes.

    `joint`: what an earlier step compressed is compressed again.
    """

    run: str
    settings: Callable  # coremltools.optimize.coreml -> settings
    joint: bool = False

    def __call__(self, optimize, model, images):
        config = optimize.OptimizationConfig(global_config=self.settings(optimize))
        return getattr(optimize, self.run)(model, config, **({"joint_compression": True} if self.joint else {}))


@dataclasses.dataclass(frozen=True)
class CoreMLCompression:
    """Steps, the oldest system that reads what they make, and how far the result may be from Keras."""

    description: str
    since: str  # a name of COREML_TARGETS
    tolerance: Tolerance
    steps: tuple[Callable, ...]  # of coremltools.optimize.coreml, the MLModel, and images; the next MLModel

    @property
    def takes_images(self):
        """Whether it looks at images."""
        return quantize_activations in self.steps


def _quantized(dtype, joint=False):
    settings = {"mode": "linear_symmetric", "dtype": dtype, "granularity": "per_channel"}
    return Step("linear_quantize_weights", lambda optimize: optimize.OpLinearQuantizerConfig(**settings), joint)


def _palettized(nbits, joint=False):
    return Step("palettize_weights", lambda optimize: optimize.OpPalettizerConfig(mode="kmeans", nbits=nbits), joint)


def _pruned(target_sparsity):
    settings = {"target_sparsity": target_sparsity}
    return Step("prune_weights", lambda optimize: optimize.OpMagnitudePrunerConfig(**settings))


# Weights of 2048 values or fewer stay as they are (coremltools' default). Tolerances as in export/tflite: they catch
# gross faults; whether the accuracy suffices, the report's figures and your own images tell.
ROUGH, ROUGHER = Tolerance(0.5), Tolerance(1.0)
INT8 = CoreMLCompression(  # unsigned: signed ones, before iOS 18, are on record for infinity
    "int8, a scale for each channel", "iOS16", ROUGH, (_quantized("uint8"),)
)
INT4 = CoreMLCompression(  # with a scale for each block of channels the Neural Engine is on record to refuse them
    "int4, a scale for each channel", "iOS18", ROUGHER, (_quantized("int4"),)
)
W8A8 = CoreMLCompression(
    "int8, a scale for each channel, and activations in int8",
    "iOS18",
    ROUGH,
    (quantize_activations, _quantized("int8")),
)
PALETTIZED8 = CoreMLCompression("256 values for each layer, by k-means", "iOS16", ROUGH, (_palettized(8),))
PALETTIZED6 = CoreMLCompression("64 values for each layer, by k-means", "iOS16", ROUGH, (_palettized(6),))
PALETTIZED4 = CoreMLCompression("16 values for each layer, by k-means", "iOS16", ROUGHER, (_palettized(4),))
PALETTIZED6_A8 = CoreMLCompression(
    "64 values for each layer, by k-means, and activations in int8",
    "iOS17",
    ROUGH,
    (quantize_activations, _palettized(6)),
)
PRUNED50 = CoreMLCompression("the smaller half of each layer's weights set to 0", "iOS16", ROUGHER, (_pruned(0.5),))
PRUNED50_INT8 = CoreMLCompression(
    "the smaller half of each layer's weights set to 0, the others int8", "iOS18", ROUGHER,
    (_pruned(0.5), _quantized("int8", joint=True)),
)  # fmt: skip
PRUNED50_PALETTIZED6 = CoreMLCompression(
    "the smaller half of each layer's weights set to 0, the others of 64 values", "iOS18", ROUGHER,
    (_pruned(0.5), _palettized(6, joint=True)),
)  # fmt: skip


def compress(model, name, images=None):
    """Return the coremltools MLModel compressed by COREML_COMPRESSIONS[name].

    `images` are what the program takes, {input: array} of each, for a compression that looks at some. Warns when
    weights stay as they are because the compression doesn't fit their shape.
    """
    import coremltools.optimize.coreml as optimize

    settings = COREML_COMPRESSIONS[name]
    with coremltools_messages() as messages:
        for step in settings.steps:
            model = step(optimize, model, images)
    skipped = sum("Skipped this op" in message for message in messages)
    if skipped:
        warnings.warn(f"{skipped} weights were not compressed: {settings.description} doesn't fit them.", stacklevel=3)
    if not any(op.op_type.startswith("constexpr") for op in model._mil_program.functions["main"].operations):
        warnings.warn("Nothing was compressed: no weight has more than 2048 values.", stacklevel=3)
    return model
