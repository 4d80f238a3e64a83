"""Keras to Core ML, checked on any machine: to_coreml."""

import dataclasses
import time
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import ArrayLike

from keras_mobattn._packages import needs
from keras_mobattn._quiet import coremltools_messages, import_coremltools
from keras_mobattn._types import PathLike
from keras_mobattn.about import About
from keras_mobattn.catalog import COREML_COMPRESSIONS, COREML_OUTPUT_DTYPES, COREML_PRECISIONS, COREML_TARGETS
from keras_mobattn.errors import InputError, choose, expect_name
from keras_mobattn.export import check
from keras_mobattn.export.check import CheckReport, Tolerance
from keras_mobattn.export.coreml.about import describe
from keras_mobattn.export.coreml.compress import compress
from keras_mobattn.export.coreml.float32_layers import Float32Layers
from keras_mobattn.export.coreml.inputs import Interface, check_images_of, expect_input, input_of, resized
from keras_mobattn.export.coreml.model import COMPUTE_UNITS, CoreMLModel, on_mac
from keras_mobattn.export.coreml.survival import expect_survival, survival_of
from keras_mobattn.export.coreml.vision import with_suppression
from keras_mobattn.export.exportable import Exportable, expect_suffix, load
from keras_mobattn.export.flexible import at_any_size
from keras_mobattn.export.given_images import GivenImages, as_images
from keras_mobattn.export.layer_names import expect_layers
from keras_mobattn.files import replacing
from keras_mobattn.formats.coreml.package import expect_replaceable
from keras_mobattn.formats.kinds import COREML
from keras_mobattn.tasks.form import IN_FLOAT32


@dataclasses.dataclass(frozen=True)
class CoreMLPrecision:
    """How far a package may be from Keras, and whether it computes in float16."""

    tolerance: Tolerance
    half: bool


# The share of the spread is as in export/tflite; median and worst with random weights: fp32 2e-6, 8e-5 (the second
# worst 9e-6); fp16 .008, .09. On probabilities the absolute error counts as well.
FP32 = CoreMLPrecision(Tolerance(2e-5, min_agreement=None, max_probability_error=1e-5), half=False)
FP16 = CoreMLPrecision(Tolerance(0.2, min_agreement=None, max_probability_error=5e-3), half=True)
ADVICE = "Keep the layer in float32 (float32_layers), or write it so it stays smaller: docs/converting.md, Headroom"


def to_coreml(
    model_or_file: keras.Model | str | Path | Exportable,
    path: PathLike,
    precision: str = "fp16",
    check_images: GivenImages | None = None,
    tolerance: Tolerance | None = None,
    minimum_deployment_target: str = "iOS17",
    *,
    compression: str | None = None,
    representative_images: GivenImages | None = None,
    input_type: str = "tensor",
    input_scale: ArrayLike | None = None,
    input_bias: ArrayLike | None = None,
    input_sizes: Iterable[Sequence[int]] = (),
    output_dtype: str = "float32",
    float32_layers: list[str] | tuple[str, ...] = (),
    single_output: bool = False,
    form: str | None = None,
    labels: Iterable[str] = (),
    about: About = About(),  # noqa: B008  (frozen)
) -> CheckReport:
    """Convert to an .mlpackage (ML program) for one image, check it, and return the CheckReport.

    The input is "image": `input_type` "tensor" takes float32 [1, H, W, C] of pixels 0..255, "channels_first" [1, C, H,
    W] of them, "image" RGB pixels (a CVPixelBuffer, as Vision hands them over). `input_scale`, `input_bias` and
    `single_output` are those of to_tflite. Outputs are named as there, arrays of `output_dtype`: "float32", or
    "float16" of an fp16 package for iOS16 or newer; a class map is int32.

    `labels` are the names of the classes, those of an Exportable by default. With image input they make a classifier,
    which Vision and Xcode's preview understand: outputs "classLabel", the most likely name, and "probabilities",
    {name: probability}; of a segmenter's class map the preview shows them in the colours of `predict`'s masks. With
    tensor input they are kept in the metadata, and the output stays an array.

    `compression` is None or a name in COREML_COMPRESSIONS. Those with activations in int8 look at
    `representative_images`, a hundred or more of the training set, given as to_tflite's. `input_sizes` are further
    (height, width) that the package takes, at which no map has to be resized (multiples of 64 for MobileViT and
    MobileViTv2, of 32 for PVTv2; DeiT and EfficientFormerV2 take one size). Styles other than separable, additive and
    hydra then compute shapes at run time: for the Neural Engine a package for each size is the safer choice.
    `float32_layers` are names of the Keras model's layers that an fp16 package computes in float32, off the Neural
    Engine: where their numbers are too large or too small for float16. A name means the layer, also an inner one, or
    all layers whose names begin with it: "stage4" for "stage4_conv" and "stage4_norm". `about` (an export.About) fills
    in author, licence, version and description.

    `check_images` and `tolerance` are those of to_tflite. The check runs the saved package by our evaluator, on any
    system, at every input size: it sees the converter's mistakes, not a device's own numerics. An fp16 package runs
    once more in float32, as to_tflite's files do, for the report's `headroom`, and once as the Neural Engine is on
    record to compute it, for its `neural_engine`. On macOS the check is repeated by Core ML itself on the CPU and on
    all units, and the report tells how far these are from the evaluator.

    Raises:
        InputError: an unknown precision, target, compression or input type, a target too old for what is asked, a
            model, sizes, labels or images that don't fit, a model that Core ML can't express.
        VerificationError: the check failed; no file is kept.
        OSError: the path can't be written.
    """
    needs("coremltools")
    settings = choose(COREML_PRECISIONS, precision, "precision")
    check.expect_options(tolerance, about)
    expect_suffix(path, COREML.suffix)
    expect_replaceable(path)
    start = time.perf_counter()
    source = load(
        model_or_file, labels, input_scale=input_scale, input_bias=input_bias, single_output=single_output
    ).in_form(COREML.name, form, input_type == "image")  # fmt: skip
    interface = expect_coreml(source, minimum_deployment_target, compression, input_type, input_sizes, float32_layers)
    if tolerance and tolerance.neural_engine and not settings.half:
        raise InputError(
            f"Expected precision 'fp16' for a Tolerance with neural_engine=True. Received: {precision!r}, which the "
            "Neural Engine doesn't compute. Leave it out."
        )
    half_output = expect_output_dtype(source, output_dtype, precision, minimum_deployment_target, interface)
    calibration = _calibration(source, precision, compression, representative_images)
    tolerance = tolerance or (settings if compression is None else COREML_COMPRESSIONS[compression]).tolerance
    by_size = [(source, check_images_of(check_images, source, interface))]
    if interface.sizes:
        source = at_any_size(source, (source.input_shape[:2], *interface.sizes))
        by_size += [(source, resized(by_size[0][1], size)) for size in interface.sizes]
    with replacing(path, folder=True) as beside:
        kept = Float32Layers(source.model, float32_layers) if settings.half and float32_layers else None
        target = COREML_TARGETS[minimum_deployment_target]
        model = _convert(source, settings, kept, target, interface, half_output)
        if compression is not None:
            model = compress(model, compression, [interface.given(image[None]) for image in calibration])
        model = describe(model, source, interface, precision, compression, about)
        model = with_suppression(model, source) if source.form == "vision" else model
        model.save(str(beside))
        name = precision if compression is None else f"{precision} {compression}"
        package, images = CoreMLModel(beside), by_size[0][1]
        given = package.given(images[:1])
        headroom, wrong = survival_of(beside, given, source.model) if settings.half else (None, "")
        check.expect_headroom(headroom, tolerance, ADVICE)
        expect_survival(wrong, tolerance)
        options: dict[str, Any] = dict(path=path, written=beside, format=COREML.name, precision=name, start=start)
        options |= dict(headroom=headroom, neural_engine=wrong)
        return _verify(package, by_size, tolerance, options)


def _calibration(source, precision, compression, images):
    """The images, as pixels [n, H, W, C], that a compression looks at; none for one that doesn't."""
    if compression is None or not COREML_COMPRESSIONS[compression].takes_images:
        return ()
    if precision != "fp16":
        raise InputError(
            f"Expected precision 'fp16' for compression {compression!r}, whose activations are int8 or float16. "
            f"Received: {precision!r}. Take it, or 'int8', which compresses the weights alone."
        )
    if images is None:
        raise InputError(
            f"Expected representative_images for compression {compression!r}: a hundred or more training images [n, H, "
            "W, C] in the range that the model takes, to measure activations by. Received: None. Pass them, or take "
            "'int8'."
        )
    return as_images(images, source, "representative_images")


def expect_coreml(
    source: Exportable,
    minimum_deployment_target: str,
    compression: str | None,
    input_type: str,
    input_sizes: Iterable[Sequence[int]],
    float32_layers: list[str] | tuple[str, ...] = (),
) -> Interface:
    """Return the Interface of a package; raise an InputError for what to_coreml can't make of the Exportable."""
    choose(COREML_TARGETS, minimum_deployment_target, "minimum_deployment_target")
    interface = expect_input(source, input_type, input_sizes)
    expect_layers(source.model, float32_layers, "float32_layers")
    if compression is not None:
        since = choose(COREML_COMPRESSIONS, compression, "compression").since
        _expect_target(since, minimum_deployment_target, f"compression {compression!r}")
    return interface


def expect_output_dtype(source, output_dtype, precision, target, interface):
    """Return whether outputs are float16; raise an InputError where they can't be."""
    expect_name(COREML_OUTPUT_DTYPES, output_dtype, "output_dtype")
    if output_dtype == "float32":
        return False
    _expect_target("iOS16", target, "output_dtype 'float16'")
    form = source.task.forms[source.form] if source.form else None
    other = {
        f"precision {precision!r}": precision != "fp16",
        "a classifier, which gives {name: probability}": interface.is_classifier(source),
        "a class map, which is int32": source.form == "class_map",
        "a detector, whose NonMaximumSuppression takes float32": form is not None and bool(form.computed),
    }
    for what in (what for what, holds in other.items() if holds):
        raise InputError(f"Expected output_dtype 'float32' for {what}. Received: 'float16'. Leave it out.")
    return True


def _expect_target(since, target, what):
    if COREML_TARGETS[target] < COREML_TARGETS[since]:
        same = [name for name, version in COREML_TARGETS.items() if version == COREML_TARGETS[since]]
        raise InputError(
            f"Expected minimum_deployment_target {' or '.join(map(repr, same))} or newer for {what}, which older "
            f"systems can't read. Received: {target!r}."
        )


def _convert(source, settings, kept, target, interface, half_output):
    ct = import_coremltools()
    from keras_mobattn.export.coreml import (
        missing_ops,  # noqa: F401  registers them
        passes,
    )

    concrete = source.concrete_function(interface.channels_first)
    graph_names = [tensor.name.split(":")[0] for tensor in concrete.outputs]
    classifier = interface.is_classifier(source)
    options = {"classifier_config": ct.ClassifierConfig(list(source.axis_labels))} if classifier else {
        # Types are named, since fp16 from iOS16 on would else make the input and the outputs float16 too.
        "outputs": [
            ct.TensorType(name=name, dtype=np.float16 if half_output else tensor.dtype.as_numpy_dtype)
            for name, tensor in zip(graph_names, concrete.outputs, strict=True)
        ]
    }  # fmt: skip
    precision = ct.precision.FLOAT16 if settings.half else ct.precision.FLOAT32
    if settings.half and (kept or source.form == "vision"):
        precision = ct.transform.FP16ComputePrecision(lambda op: not op.name.startswith(IN_FLOAT32) and _half(kept, op))
    with coremltools_messages() as messages:
        try:
            model = ct.convert(
                [concrete],
                source="tensorflow",
                convert_to="mlprogram",
                minimum_deployment_target=ct.target(target),
                compute_precision=precision,
                pass_pipeline=passes.pipeline(),
                inputs=[input_of(source, interface)],
                skip_model_load=True,
                **options,
            )
        except (NotImplementedError, ValueError, KeyError, tf.errors.OpError) as error:
            failure = error
        else:
            failure = None
    if failure:
        raise InputError(
            f"Expected a model of operations that Core ML has. Received: {source.model.name!r}: "
            f"{_reason(failure, source)}."
        ) from failure
    if kept:
        kept.expect_operations()
    for message in messages:
        warnings.warn(f"coremltools: {message}", stacklevel=4)
    spec = model.get_spec()
    names = ["classLabel_probs"] if classifier else graph_names
    for graph_name, name in zip(names, sorted(concrete.structured_outputs), strict=True):
        try:
            ct.utils.rename_feature(spec, graph_name, name)
        except ValueError as error:  # a word that Core ML keeps for itself
            raise InputError(
                f"Expected an output's name that Core ML takes. Received: {name!r} ({error}). Rename the model's last "
                "layer, or the key of the output."
            ) from error
    return ct.models.MLModel(spec, weights_dir=model.weights_dir, skip_model_load=True)


def _half(kept, op):
    """Whether an operation is computed in float16, by the layers that are kept out of it."""
    return kept is None or kept(op)


def _reason(error, source):
    """The first line of what coremltools says, and the Keras layer that it speaks of, where it names a node."""
    text = str(error)
    paths = [part.split('"')[1] for part in text.splitlines() if part.strip().startswith('name: "')]
    layers = {layer.name: layer for layer in source.model.layers}
    known = [layers[part] for path in paths for part in path.split("/") if part in layers]
    where = f" (layer {known[0].name!r}, a {type(known[0]).__name__})" if known else ""
    return text.splitlines()[0].strip(" .") + where


def _verify(model, by_size, tolerance, options):
    """The check with the evaluator at every size, and with Core ML where it is; the report of the worst size."""
    source = by_size[0][0]
    if source.form and source.task.forms[source.form].computed:
        return _verify_whole(model, by_size, tolerance, options)
    report, ours = _verify_with(model, by_size, tolerance, options)
    errors = {}
    for units in COMPUTE_UNITS if on_mac() else ():
        on_units = options | {"precision": f"{options['precision']} {units}"}
        _, theirs = _verify_with(CoreMLModel(options["written"], units), by_size, tolerance, on_units)
        errors[units] = max(
            float(np.abs(mine[name] - other[name]).max())
            for mine, other in zip(ours, theirs, strict=True)
            for name in by_size[0][0].output_names
        )
    return dataclasses.replace(report, device_errors=errors)


def _verify_with(model, by_size, tolerance, options):
    """Check what `model` makes of the package at every size; return (the worst size's report, all outputs in order)."""
    outputs, reports = [], []

    def remembered(image):
        outputs.append(model.run(image))
        return outputs[-1]

    for source, images in by_size:
        reports.append(check.verify(source, remembered, images, tolerance, **options))
    worst = max(reports, key=lambda report: report.max_abs_error / report.spread)
    return dataclasses.replace(worst, num_images=sum(report.num_images for report in reports)), outputs


def _verify_whole(model, by_size, tolerance, options):
    """The check of a package that ends in answers: the numbers that its network computes, and the objects or classes
    made of them, also by Core ML where it is."""
    ((source, images),) = by_size
    report = check.verify(source, model.computed, images, tolerance, whole=model, **options)
    for units in COMPUTE_UNITS if on_mac() else ():
        on_units = options | {"precision": f"{options['precision']} {units}"}
        theirs = CoreMLModel(options["written"], units)
        check.verify(source, model.computed, images, tolerance, whole=theirs, **on_units)
    return report
