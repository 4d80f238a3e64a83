"""Keras to Core ML, checked on any machine: to_coreml."""

import contextlib
import dataclasses
import logging
import time
import warnings

import numpy as np

from keras_mobattn._quiet import quiet_stderr
from keras_mobattn.errors import InputError, choose
from keras_mobattn.export import check
from keras_mobattn.export.check import Tolerance
from keras_mobattn.export.mil import evaluate, import_coremltools, load_program
from keras_mobattn.export.signature import INPUT_NAME, expect_suffix, load
from keras_mobattn.files import replacing


@dataclasses.dataclass(frozen=True)
class CoreMLPrecision:
    """The name of a coremltools compute precision, and how far the result may be from Keras."""

    tolerance: Tolerance
    compute_precision: str


# Tolerances as in tflite.TFLITE_PRECISIONS. Median and worst here: fp32 2e-6, 8e-5 (the second worst 9e-6); fp16 .008,
# .09.
COREML_PRECISIONS = {
    "fp32": CoreMLPrecision(Tolerance(2e-5), "FLOAT32"),
    "fp16": CoreMLPrecision(Tolerance(0.2), "FLOAT16"),
}

COREML_TARGETS = {"iOS15": 6, "iOS16": 7, "iOS17": 8, "iOS18": 9}  # -> version of the Core ML specification


def to_coreml(
    model_or_file, path, precision="fp16", check_images=None, tolerance=None, minimum_deployment_target="iOS17"
):
    """Convert to an .mlpackage (ML program) for one image [1, H, W, C] float32, check it, and return the CheckReport.

    Input "image"; outputs named as in to_tflite, float32. `check_images` and `tolerance` are those of to_tflite. The
    check runs the saved package by `mil.evaluate`, on any system: it sees the converter's mistakes, not a device's own
    numerics.

    Raises:
        InputError: unknown precision or target, a model or images that don't fit, a model that Core ML can't express.
        VerificationError: the check failed; no file is kept.
        OSError: the path can't be written.
    """
    settings = choose(COREML_PRECISIONS, precision, "precision")
    target = choose(COREML_TARGETS, minimum_deployment_target, "minimum_deployment_target")
    expect_suffix(path, ".mlpackage")
    start = time.perf_counter()
    source = load(model_or_file)
    images = check.images_or_photos(check_images, source)
    with replacing(path) as beside:
        _convert(source, settings, target).save(str(beside))
        program = load_program(beside)
        return check.verify(
            source, lambda image: evaluate(program, {INPUT_NAME: image}), images, tolerance or settings.tolerance,
            path=path, written=beside, format="Core ML", precision=precision, start=start,
        )  # fmt: skip


def _convert(source, settings, target):
    concrete = source.concrete_function()
    graph_names = [tensor.name.split(":")[0] for tensor in concrete.outputs]
    ct, reason = import_coremltools(), ""
    with _only_real_warnings():
        try:
            model = ct.convert(
                [concrete],
                source="tensorflow",
                convert_to="mlprogram",
                minimum_deployment_target=ct.target(target),
                compute_precision=getattr(ct.precision, settings.compute_precision),
                # Types are named, since fp16 from iOS16 on would else make the input and the outputs float16 too.
                inputs=[ct.TensorType(name=INPUT_NAME, shape=(1, *source.input_shape), dtype=np.float32)],
                outputs=[ct.TensorType(name=name, dtype=np.float32) for name in graph_names],
                skip_model_load=True,
            )
        except (NotImplementedError, ValueError, KeyError) as error:
            reason = str(error).splitlines()[0]
    if reason:
        raise InputError(f"Expected a model of operations that Core ML has. Received: {source.model.name!r}: {reason}.")
    spec = model.get_spec()
    for graph_name, name in zip(graph_names, sorted(concrete.structured_outputs), strict=True):
        ct.utils.rename_feature(spec, graph_name, name)
    return ct.models.MLModel(spec, weights_dir=model.weights_dir, skip_model_load=True)


@contextlib.contextmanager
def _only_real_warnings():
    """Keep coremltools' progress bars off the screen, and repeat afterwards what it warned of."""
    messages = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())
    logging.getLogger("coremltools").addHandler(handler)
    try:
        with quiet_stderr(), warnings.catch_warnings(record=True) as caught:
            yield
    finally:
        logging.getLogger("coremltools").removeHandler(handler)
    for message in [
        *messages,
        *(str(warning.message) for warning in caught if warning.category in (UserWarning, RuntimeWarning)),
    ]:
        warnings.warn(f"coremltools: {message}", stacklevel=4)
