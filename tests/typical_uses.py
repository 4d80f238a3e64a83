"""Typical uses, as a type checker sees them: read by mypy in `make lint`, and run by nobody.

`assert_type` says what a call gives; a line with `type: ignore` has a mistake that must be found: mypy complains of an
ignore that nothing needs.
"""

import functools
from pathlib import Path
from typing import assert_type

import numpy as np
import tensorflow as tf

import keras_mobattn
from keras_mobattn import benchmark, data, describe, export, gpu, run_folder, tasks, training, weights
from keras_mobattn.attention import HeadwiseAttention
from keras_mobattn.tasks.detection import Objects


class MeanAttention(HeadwiseAttention):
    """An attention of one's own."""

    def mix(self, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        return tf.sigmoid(query) * tf.reduce_mean(value, axis=-1, keepdims=True)


def models() -> None:
    keras_mobattn.MobileViTv2(width=0.5, attention="mobile", input_shape=(32, 32, 3), classes=10)
    keras_mobattn.PVTv2("b0", attention=functools.partial(keras_mobattn.MobileAttention, head_dim=2))
    keras_mobattn.DeiT("tiny", attention=MeanAttention, include_top=False, pooling="avg")
    keras_mobattn.EfficientFormerV2(weights="imagenet", weights_skip="attention", attention="separable")
    keras_mobattn.MobileViT(clases=10)  # type: ignore[call-arg]
    keras_mobattn.MobileViTv2(width="1.0")  # type: ignore[arg-type]
    keras_mobattn.MobileAttention(64, heads=8)  # kwargs go to Keras: no checker sees it
    backbone = keras_mobattn.MobileViTv2(0.5, include_top=False)
    assert_type(keras_mobattn.count_macs(backbone), int)
    keras_mobattn.SSDLite(backbone, classes=80)
    keras_mobattn.DeepLabV3(backbone, classes=21, output_stride=16)
    found = keras_mobattn.detect(backbone, data.read_image("street.jpg"))
    assert_type(found, Objects)
    assert_type(keras_mobattn.segment(backbone, data.read_image(Path("street.jpg"))), np.ndarray)
    assert_type(weights.find_tag("pvt_v2_b0.in1k").top1, float)


def images() -> None:
    source = data.open_source("digits")
    assert_type(source, data.Source)
    assert_type(source.num_examples["train"], int)
    data.batches(source, "train", image_size=(32, 32), batch_size=32, shuffle=True)
    data.batches(source, "train", image_size=32, batch_size=32)  # type: ignore[arg-type]
    pixels, _ = data.take_images(source, "test", 64, (32, 32))
    assert_type(pixels, np.ndarray)


def trainings() -> None:
    settings = training.TrainSettings(dataset="photos/", width=0.5, epochs=3)
    training.TrainSettings(epoch=3)  # type: ignore[call-arg]
    training.train(settings, "runs/photos", callbacks=[])
    run = run_folder.RunFolder("runs/photos")
    assert_type(run.path, Path)
    assert_type(tasks.task_of(None), tasks.Task)


def files() -> None:
    report = export.to_tflite("runs/photos", Path("a.tflite"), "int8", representative_images=np.zeros((8, 32, 32, 3)))
    assert_type(report, export.CheckReport)
    assert_type(report.agreement, float | None)
    export.to_tflite("runs/photos")  # type: ignore[call-arg]
    export.to_coreml("runs/photos", "a.mlpackage", tolerance=export.Tolerance(0.05, min_agreement=0.99))
    export.to_coreml("runs/photos", "a.mlpackage", tolerance=0.05)  # type: ignore[arg-type]
    outputs = export.TFLiteModel("a.tflite").run(np.zeros((1, 32, 32, 3)))
    assert_type(outputs, dict[str, np.ndarray])
    rows = benchmark.benchmark_files(["a.tflite"], num_runs=50)
    benchmark.print_table(rows)
    assert_type(describe.describe_tflite("a.tflite").size_bytes, int)
    assert_type(gpu.run_on_gpu("a.tflite", [outputs]), list[dict[str, np.ndarray]])
