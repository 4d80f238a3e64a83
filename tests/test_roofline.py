"""MACs counted from files, the roofline among the rows, and each row's share of it."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from keras_mobattn import benchmark
from keras_mobattn.benchmark import Device, Measurement, Statistics
from keras_mobattn.benchmark.this_machine import roofline
from keras_mobattn.commands import benchmark_tflite
from keras_mobattn.errors import InputError

OPERATORS = {  # what runs on [1, 7, 11, 6] -> MACs
    "a strided convolution": (lambda x: tf.nn.conv2d(x, _weights(3, 5, 6, 13), 2, "SAME"), 4 * 6 * 13 * 3 * 5 * 6),
    "a grouped convolution": (lambda x: tf.nn.conv2d(x, _weights(1, 1, 3, 4), 1, "SAME"), 7 * 11 * 4 * 3),
    "a depthwise convolution": (
        lambda x: tf.nn.depthwise_conv2d(x, _weights(5, 3, 6, 2), (1, 1, 1, 1), "SAME"),
        7 * 11 * 12 * 5 * 3,
    ),
    "a transposed convolution": (
        lambda x: tf.nn.conv2d_transpose(x, _weights(2, 2, 5, 6), (1, 14, 22, 5), 2, "SAME"),
        7 * 11 * 6 * 2 * 2 * 5,
    ),
    "a dense layer": (lambda x: tf.reshape(x, (1, -1)) @ _weights(462, 17), 462 * 17),
    "products of maps": (lambda x: tf.matmul(x, x, transpose_b=True), 7 * 11 * 11 * 6),
    "products of transposed maps": (lambda x: tf.matmul(x, x, transpose_a=True), 7 * 6 * 6 * 11),
    "no products": (lambda x: tf.nn.softmax(x * 2.0), 0),
}


def _weights(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def _file(path, operation, optimizations=(), images=None):
    concrete = tf.function(operation).get_concrete_function(tf.TensorSpec((1, 7, 11, 6), tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module())
    converter.optimizations = list(optimizations)
    converter.representative_dataset = images
    path.write_bytes(converter.convert())
    return path


@pytest.mark.parametrize("name", OPERATORS)
def test_macs_of_operators(tmp_path, name):
    operation, macs = OPERATORS[name]
    counts = benchmark.count_file_macs(_file(tmp_path / "file.tflite", operation))
    assert counts == ({"float32": macs} if macs else {})


def test_macs_are_told_apart_by_type(tmp_path):
    kernel = _weights(3, 3, 6, 200)  # large enough for the converter to quantise

    def convolution(x):
        return tf.nn.conv2d(x, kernel, 1, "SAME")

    macs = 7 * 11 * 200 * 9 * 6
    default = [tf.lite.Optimize.DEFAULT]
    assert benchmark.count_file_macs(_file(tmp_path / "dynamic.tflite", convolution, default)) == {"float32": macs}
    images = [[_weights(1, 7, 11, 6)]]
    int8 = _file(tmp_path / "int8.tflite", convolution, default, images=lambda: iter(images))
    assert benchmark.count_file_macs(int8) == {"int8": macs}


def test_macs_of_what_is_no_file(tmp_path):
    (tmp_path / "text.tflite").write_text("Dear reader, this is no model.")
    with pytest.raises(InputError, match="Expected a TFLite file"):
        benchmark.count_file_macs(tmp_path / "text.tflite")


def test_roofline_files_are_what_the_files_compute_in(tmp_path, monkeypatch):
    monkeypatch.setattr(roofline, "DEPTH", 2)
    float_file = _file(tmp_path / "float.tflite", OPERATORS["a dense layer"][0])
    empty = _file(tmp_path / "empty.tflite", OPERATORS["no products"][0])
    corrupt = tmp_path / "corrupt.tflite"
    corrupt.write_bytes(b"\x1c\0\0\0TFL3" + b"\xff" * 4000)
    assert benchmark.roofline_files([empty, corrupt, tmp_path / "missing.tflite"], tmp_path) == []
    (path,) = benchmark.roofline_files([float_file, corrupt], tmp_path)
    assert path.name == "roofline_fp32.tflite"
    assert benchmark.count_file_macs(path) == {"float32": 8 * 2**24}  # 4 branches of 2 convolutions


def _row(path, median_ms, **fields):
    statistics = Statistics.of([median_ms])
    return Measurement(path.stem, str(path), Device("chip", "Linux"), "rt", "xnnpack", statistics=statistics, **fields)


def test_shares_are_by_type_backend_and_threads(tmp_path):
    half = _file(tmp_path / "half.tflite", OPERATORS["a dense layer"][0])
    lost = dataclasses.replace(_row(tmp_path / "lost.tflite", 1.0), error="No such file.", statistics=None)
    # The same file stands in for the roofline: only its name counts, and it reaches 2 * 7854 / 1 ms with one thread.
    best = tmp_path / "roofline_fp32.tflite"
    best.write_bytes(half.read_bytes())
    threads = {"num_threads": 1}
    one, two, failed, reference = benchmark.with_roofline(
        [_row(half, 4.0, **threads), _row(half, 4.0, num_threads=2), lost, _row(best, 1.0, **threads)]
    )
    assert one.macs == reference.macs == 462 * 17
    assert reference.gflops == pytest.approx(2 * 462 * 17 / 1e-3 / 1e9)
    assert one.gflops / one.roofline_gflops == pytest.approx(0.25)
    assert two.roofline_gflops is None  # nothing was timed beside it with two threads
    assert failed == lost
    header, rows = benchmark.header_and_rows([one, two, failed, reference])
    assert [row[header.index("% of roofline")] for row in rows] == ["25", "", "", "100"]
    assert "% of roofline" not in benchmark.header_and_rows([_row(half, 4.0)])[0]


def test_script_times_the_roofline_among_the_files(tmp_path, monkeypatch):
    monkeypatch.setattr(roofline, "DEPTH", 2)
    kernel = _weights(3, 3, 6, 200)
    images = [[_weights(1, 7, 11, 6)]]
    int8 = _file(
        tmp_path / "int8.tflite",
        lambda x: tf.nn.conv2d(x, kernel, 1, "SAME"),
        [tf.lite.Optimize.DEFAULT],
        images=lambda: iter(images),
    )
    given = dict(roofline=True, num_runs=2, min_secs=0, rounds=1, output_dir=tmp_path / "out")
    assert benchmark_tflite.main((int8,), **given) == 0
    row, best = benchmark.load_measurements(tmp_path / "out" / "benchmark.json")
    assert best.name == roofline.NAMES["int8"]
    assert (best.partitions, best.undelegated) == (1, {})
    assert row.roofline_gflops == best.gflops
    assert row.gflops > 0
