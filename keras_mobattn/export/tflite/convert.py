"""Keras to TFLite, checked: to_tflite."""

import dataclasses
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import tensorflow as tf
import tf_keras as keras
from numpy.typing import ArrayLike

from keras_mobattn._packages import needs
from keras_mobattn._quiet import quiet_stderr
from keras_mobattn._types import PathLike
from keras_mobattn.about import About
from keras_mobattn.catalog import TFLITE_PRECISIONS
from keras_mobattn.errors import InputError, choose
from keras_mobattn.export import check
from keras_mobattn.export.check import CheckReport, Tolerance
from keras_mobattn.export.exportable import Exportable, expect_suffix, load
from keras_mobattn.export.given_images import GivenImages, as_images
from keras_mobattn.export.headroom import headroom_of
from keras_mobattn.export.pixels import expect_bytes, expect_io
from keras_mobattn.export.tflite.detector import add_post_process
from keras_mobattn.export.tflite.device_forms import rewrite_for_devices
from keras_mobattn.export.tflite.fuse import fuse
from keras_mobattn.export.tflite.io import PROBABILITY, set_io
from keras_mobattn.export.tflite.metadata import add_metadata
from keras_mobattn.export.tflite.model import TFLiteModel
from keras_mobattn.export.tflite.quantize import quantize_dynamic, quantize_fp16, quantize_int8
from keras_mobattn.files import replacing
from keras_mobattn.formats.kinds import TFLITE
from keras_mobattn.formats.tflite.graph import Graph
from keras_mobattn.formats.tflite.labels import with_labels
from keras_mobattn.tasks.detection.forms import OPERATOR_RULES


@dataclasses.dataclass(frozen=True)
class TFLitePrecision:
    """How a float32 file is quantized, how far the result may be from Keras, and whether it is for GPUs."""

    tolerance: Tolerance
    for_gpus: bool = False
    quantize: Callable | None = None  # Graph of the float32 file [, images] -> Graph
    takes_images: bool = False  # by which activations are measured


# Errors as a share of the outputs' spread, over both test-size models with every attention (22; random weights, 16
# photographs at 64 pixels), median and worst: fp32 3e-6, 8e-5; fp16 .008, .07; dynamic .12, .81; int8 .38, .84.
# fp32 proves that the graph is right. 21 of the 22 stay below 1e-5, and the smallest of twelve kinds of damage
# (tests/mil/test_evaluator.py) made 2e-3, or 4e-5 in a model whose outputs hardly depend on the image: the
# tolerance lies between. "focused" attention with random weights lies above it; pass a Tolerance there. The others ask
# whether the precision suffices and catch gross faults only. Random weights are the hard case: each layer adds noise,
# and even float16 weights leave no more than 40 to 47 dB, int8 3 to 19. Trained on digits, int8 has .02 to .07 and 29
# to 46 dB. No top-1 is asked for, since random weights make classes nearly equal; for a trained classifier pass a
# Tolerance with min_agreement.
FP32 = TFLitePrecision(Tolerance(2e-5, min_agreement=None), for_gpus=True)
FP16 = TFLitePrecision(Tolerance(0.2), for_gpus=True, quantize=quantize_fp16)
DYNAMIC = TFLitePrecision(Tolerance(0.5), quantize=quantize_dynamic)
INT8 = TFLitePrecision(Tolerance(0.5), quantize=quantize_int8, takes_images=True)
ADVICE = "For GPUs, write it so that it stays smaller, a mean for a sum say: docs/converting.md, Headroom"


def to_tflite(
    model_or_file: keras.Model | str | Path | Exportable,
    path: PathLike,
    precision: str = "fp32",
    representative_images: GivenImages | None = None,
    check_images: GivenImages | None = None,
    tolerance: Tolerance | None = None,
    *,
    input_dtype: str = "float32",
    output_dtype: str = "float32",
    input_scale: ArrayLike | None = None,
    input_bias: ArrayLike | None = None,
    single_output: bool = False,
    form: str | None = None,
    labels: Iterable[str] = (),
    about: About = About(),  # noqa: B008  (frozen)
) -> CheckReport:
    """Convert to a .tflite file for one image [1, H, W, C], check it against Keras, and return the CheckReport.

    The file takes pixels 0..255, whatever the Keras model takes: what they have to be multiplied by and shifted stands
    in its graph. The models of this package say it, as do those that begin with a Rescaling; for others `input_scale`
    and `input_bias` tell, each a number or one for each channel: 1/127.5 and -1 for a model of -1..1.

    The signature has the input "image" and, for a classifier, the output "probabilities" ("logits" without softmax);
    else "features", or the names of the model's several outputs. Of a binary classifier, which ends in one sigmoid, the
    file gives [1 - p, p], as readers of two labels expect; with `single_output` p alone. Precisions: float32; float16
    weights; "dynamic", int8 weights; "int8", int8 weights and activations in all convolutions, dense layers and what
    lies between them, the rest float32 (see quantize.py). Each is made of the float32 file after deploy-time fusion
    (see fuse.py), in forms that phones' GPUs have nothing against (see device_forms.py).

    `representative_images` (int8 only; a hundred or more of the training set) and `check_images` are numbers
    [n, H, W, C] in the range that the Keras model takes: an array, a list, a tf.data set, a generator, or a function
    that returns one, as TFLite's representative_dataset. The check takes 8 photographs by default. `tolerance` is an
    export.Tolerance in place of the precision's own. An fp32 or fp16 file runs once more, on the first image, to find
    out how much larger its numbers may get before half precision, in which GPUs compute, overflows: the report's
    `headroom`; below 4 there is a warning. The file appears whole, or what was there stays.

    Whatever the precision, `input_dtype` "uint8" takes pixels straight from a camera, "int8" the same minus 128;
    `output_dtype` "uint8" gives probabilities times 256, "int8" the same minus 128.

    Of a detector, `form` is "nms" (by default): the file ends in an operator that finds the objects, "location" [1,
    100, 4] of (ymin, xmin, ymax, xmax) as shares of the image, "category", "score" and "number"; "anchors": "location"
    and "score" of each anchor, of which MediaPipe makes objects by the anchors in the metadata; or "raw", the Keras
    model's own outputs. The check compares what the operator is given, or the outputs, and the objects.

    Of a segmenter, `form` is "logits" (by default) [1, h, w, K] at the model's own stride, of which MediaPipe makes a
    mask of the image's size as `keras_mobattn.segment` does; "probabilities", the same behind a softmax; or
    "full_size", probabilities of the image's size, for the Task Library, which resizes nothing. An auxiliary head is
    left out. The check compares the outputs, and the classes of the image's pixels.

    The file carries TFLite metadata (`about`: an export.About), by which Android's Task Library and MediaPipe's
    ImageClassifier, ObjectDetector and ImageSegmenter take float32 and uint8 images, and name the classes by `labels`
    (a tuple of str; those of an Exportable by default).

    Raises:
        InputError: unknown precision or dtype, a model, images or labels that don't fit, int8 without images, a model
            that TFLite lacks operators for.
        VerificationError: the check failed; no file is kept.
        OSError: the path can't be written.
    """
    needs("ai-edge-litert", "flatbuffers", "litert-quantizer")
    settings = choose(TFLITE_PRECISIONS, precision, "precision")
    check.expect_options(tolerance, about)
    expect_suffix(path, TFLITE.suffix)
    if settings.takes_images and representative_images is None:
        raise InputError(
            f"Expected representative_images for precision {precision!r}: a hundred or more training images [n, "
            "H, W, C] in the range that the model takes, to measure activations by. Received: None. Pass them, or "
            "take 'dynamic'."
        )
    start = time.perf_counter()
    source = load(
        model_or_file, labels, input_scale=input_scale, input_bias=input_bias, single_output=single_output
    ).in_form(TFLITE.name, form)  # fmt: skip
    expect_io(source, input_dtype, output_dtype)
    images = check.images_or_photos(check_images, source)
    if input_dtype != "float32":
        expect_bytes(images)
    if settings.takes_images:
        representative_images = as_images(representative_images, source, "representative_images")
    with replacing(path) as beside:
        graph = _convert(source, settings, representative_images)
        set_io(graph, input_dtype, output_dtype)
        end = END.get(source.form)
        if end is None:
            add_metadata(graph, source, precision, about)
        computed = TFLiteModel(_written(beside, graph, source.axis_labels))
        headroom = headroom_of(beside, computed.given(images[:1]), source.model) if settings.for_gpus else None
        tolerance = tolerance or settings.tolerance
        check.expect_headroom(headroom, tolerance, ADVICE)
        if end is not None:
            end(graph, source)
            add_metadata(graph, source, precision, about)
        whole = computed if end is None else TFLiteModel(_written(beside, graph, source.axis_labels))
        return check.verify(
            source, computed.run, images, tolerance, whole=whole,
            path=path, written=beside, format=TFLITE.name, precision=precision, start=start,
            output_step=0.0 if output_dtype == "float32" else PROBABILITY, headroom=headroom,
        )  # fmt: skip


def _written(path, graph, labels):
    path.unlink(missing_ok=True)  # a model that runs has it mapped into memory
    path.write_bytes(with_labels(graph.content(), labels))
    return path


def _objects(graph, source):
    add_post_process(graph, source.task.decoding, OPERATOR_RULES)


# form -> what is added to its Graph, once that is quantized: a function (graph, source)
END: dict[str | None, Callable] = {"nms": _objects}


def _convert(source, settings, images):
    """The Exportable as a fused Graph, quantized as the settings have it."""
    # The converter saves what holds the variables. Given the Keras model it traces every layer again: for the tiny
    # MobileViTv2 12.5 s instead of 2.3 s, for the same bytes.
    holder = tf.Module()
    holder.variables_of_model = source.computed.variables
    converter = tf.lite.TFLiteConverter.from_concrete_functions([source.concrete_function()], holder)
    with quiet_stderr():  # the converter narrates its passes
        try:
            content = converter.convert()
        except Exception as error:  # its ConverterError isn't public
            lines = str(error).splitlines() or [type(error).__name__]
            reasons = [line.split("error: ", 1)[1] for line in lines if "error: " in line] or lines[:1]
            raise InputError(
                f"Expected a model of operations that TFLite has. Received: {source.model.name!r}: "
                f"{'; '.join(dict.fromkeys(reasons))}."  # each once
            ) from error
        graph = Graph(content)
        fuse(graph)
        rewrite_for_devices(graph)
        if settings.quantize is None:
            return graph
        return settings.quantize(graph, images) if settings.takes_images else settings.quantize(graph)
