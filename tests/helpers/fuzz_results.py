"""What must hold of the results of fuzz_functions.py: where a call may write, and what it must have written."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from helpers.fuzz_kit import images_in
from keras_mobattn import benchmark, delivery, export
from keras_mobattn.catalog import COREML_COMPRESSIONS, COREML_PRECISIONS, TFLITE_PRECISIONS
from keras_mobattn.export.exportable import Exportable

WRITERS = {  # function -> the argument that says where
    "export.to_tflite": "path",
    "export.to_coreml": "path",
    "weights.to_timm": "path",
    "benchmark.save_csv": "path",
    "benchmark.save_json": "path",
    "delivery.save_delivery": "path",
    "delivery.deliver": "output_dir",
    "report.write_report": "path",
    "report.write_markdown": "path",
    "benchmark.roofline_files": "folder",
    "training.train": "folder",
}


def may_write(name, arguments, work):
    """The paths in `work` that a call may have changed."""
    if name not in WRITERS or arguments.get(WRITERS[name]) is None:
        return set()
    path = (work / arguments[WRITERS[name]]).relative_to(work)
    pictures = {path.with_name(f"{path.stem}_1.svg")} if name == "report.write_markdown" else set()
    return {path, *pictures}


def expect(name, arguments, result, kit):
    """Raise AssertionError where a result is wrong."""
    if name in CHECKS:
        CHECKS[name](arguments, result, kit)


def _converted(arguments, report, kit):
    """The file agrees with the Keras model on photographs that it was not checked with."""
    model, path = arguments["model_or_file"], Path(arguments["path"])
    file = export.FILE_MODELS[path.suffix](path)
    source = export.load(model, input_scale=arguments.get("input_scale"), input_bias=arguments.get("input_bias"))
    truth = next((span for each, span in kit.models.values() if each is source.model), None)
    if isinstance(model, Exportable | str):
        truth = (source.input_range.scale, source.input_range.bias)
    if truth is None:  # nobody knows it but who called
        truth = arguments.get("input_scale") or 1.0, arguments.get("input_bias") or 0.0
    channels = source.input_shape[-1]
    count, pixels = 6, images_in(1.0, 0.0, 6, 77, channels)
    if source.input_shape[:2] != pixels.shape[1:3]:
        pixels = np.round(tf.image.resize(pixels, source.input_shape[:2]).numpy())
    keras_outputs = tf.nest.flatten(source.model(np.float32(pixels * truth[0] + truth[1]), training=False))
    expected = [np.float32(output) for output in keras_outputs]
    got = [file.run(image[None]) for image in pixels]
    single = arguments.get("single_output") is True or getattr(model, "single_output", False)
    if source.task.is_binary and not single:
        expected = [np.concatenate([1 - expected[0], expected[0]], -1)]
    names = source.output_names if len(expected) > 1 else list(got[0])
    assert len(got[0]) == len(expected), f"{list(got[0])} for {len(expected)} outputs"
    tolerance = arguments.get("tolerance") or _tolerance(arguments, path)
    step = 0 if arguments.get("output_dtype", "float32") == "float32" else 1 / 256
    for name, wanted in zip(names, expected, strict=True):
        received = np.concatenate([outputs[name] for outputs in got])
        assert received.shape == wanted.shape, (received.shape, wanted.shape)
        error, spread = np.abs(received - wanted).max(), np.ptp(wanted)
        # Fresh images may be harder than the checked ones; a wrong range or graph is far beyond.
        assert error <= 2 * tolerance.max_error * spread + step + 1e-6, (
            f"{path.name}: {name} is {error:.2e} off, of a spread of {spread:.2e}, on {count} photographs; {report}"
        )
    labels = arguments.get("labels")
    if labels is not None and len(labels) and not single:
        assert tuple(file.labels) == tuple(labels)


def _tolerance(arguments, path):
    if path.suffix == ".tflite":
        return TFLITE_PRECISIONS[arguments.get("precision", "fp32")].tolerance
    compression = arguments.get("compression")
    precision = COREML_PRECISIONS[arguments.get("precision", "fp16")]
    return (COREML_COMPRESSIONS[compression] if compression else precision).tolerance


def _layer(arguments, result, kit):
    """Finite numbers, and as many of them as there were examples."""
    outputs, _ = result
    given = np.asarray(tf.nest.flatten(arguments["x"])[0])
    if not given.ndim or not np.isfinite(given.astype(float)).all():
        return
    for output in tf.nest.flatten(outputs):
        assert np.isfinite(np.float32(output)).all()
        assert output.shape[0] == len(given), (output.shape, given.shape)


def _accuracy(arguments, result, kit):
    assert 0 <= result["accuracy"] <= 1
    assert np.isfinite(result["probabilities"]).all()


def _finite(arguments, result, kit):
    assert np.isfinite(np.float32(result)).all()


CHECKS = {
    "export.to_tflite": _converted,
    "export.to_coreml": _converted,
    "training.evaluate": _accuracy,
    "weights.preprocess_input": _finite,
    "data.sample_photos": lambda a, result, kit: _equal(result.shape, (a["count"], *a["image_size"], 3)),
    "data.take_images": lambda a, result, kit: _equal(result[0].shape, (a["count"], *a["image_size"], 3)),
    "data.resize_and_crop": lambda a, result, kit: _equal(result.shape, (*a["image_size"], 3)),
    "weights.decode_predictions": lambda a, result, kit: _finite(a, [row[2] for rows in result for row in rows], kit),
    "models.randomize_weights": lambda a, model, kit: [_finite(a, weight, kit) for weight in model.get_weights()],
    "benchmark.save_json": lambda a, result, kit: _equal(benchmark.load_measurements(a["path"]), a["measurements"]),
    "delivery.save_delivery": lambda a, result, kit: _equal(delivery.load_delivery(a["path"]), a["delivery"]),
    **{f"layers.{name}": _layer for name in ("Dropout", "DropPath", "Gelu", "Swish", "GroupNorm1",
       "LayerNormalization", "HalvingConv", "LayerScale", "PadToMultiple", "Resize", "ResizeLike", "InputRange",
       "EmbedTokens", "SplitTokens")},
    **{f"attention.{name}Attention": _layer for name in ("Additive", "CrossCovariance", "Efficient", "Flow", "Focused",
       "Hydra", "Linear", "Mobile", "ReluLinear", "Separable", "Softmax", "SpatialReduction")},
}  # fmt: skip


def _equal(received, expected):
    assert received == expected, (received, expected)
