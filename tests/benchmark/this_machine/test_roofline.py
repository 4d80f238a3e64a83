"""The roofline among the rows, and each row's share of it."""

import dataclasses

import pytest
import tensorflow as tf

from helpers.operators import OPERATORS, file_of, weights
from keras_mobattn import benchmark
from keras_mobattn.benchmark import Device, Measurement, Statistics
from keras_mobattn.benchmark.this_machine import roofline
from keras_mobattn.commands import benchmark_tflite


def test_roofline_files_are_what_the_files_compute_in(tmp_path, monkeypatch):
    monkeypatch.setattr(roofline, "DEPTH", 2)
    float_file = file_of(tmp_path / "float.tflite", OPERATORS["a dense layer"][0])
    empty = file_of(tmp_path / "empty.tflite", OPERATORS["no products"][0])
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
    half = file_of(tmp_path / "half.tflite", OPERATORS["a dense layer"][0])
    lost = dataclasses.replace(_row(tmp_path / "lost.tflite", 1.0), error="No such file.", statistics=None)
    # The same file stands in for the roofline: only its name counts, and it reaches 2 * 7854 / 1 ms with one thread.
    best = tmp_path / "roofline_fp32.tflite"
    best.write_bytes(half.read_bytes())
    threads = {"num_threads": 1}
    rows = [_row(half, 4.0, **threads), _row(half, 4.0, num_threads=2), lost, _row(best, 1.0, **threads)]
    named = [dataclasses.replace(row, name=row.file) for row in rows]  # where two files have one name
    one, *_ = benchmark.with_roofline(named)
    assert one.gflops / one.roofline_gflops == pytest.approx(0.25)
    one, two, failed, reference = benchmark.with_roofline(rows)
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
    kernel = weights(3, 3, 6, 200)
    images = [[weights(1, 7, 11, 6)]]
    int8 = file_of(
        tmp_path / "int8.tflite",
        lambda x: tf.nn.conv2d(x, kernel, 1, "SAME"),
        [tf.lite.Optimize.DEFAULT],
        images=lambda: iter(images),
    )
    given = dict(roofline=True, num_runs=2, min_secs=0, rounds=1, output_dir=tmp_path / "out")
    assert benchmark_tflite.main((int8,), **given) == 0
    row, best = benchmark.load_measurements(tmp_path / "out" / "benchmark.json")
    assert best.name == roofline.NAMES["int8"]
    assert (best.details.partitions, best.details.undelegated) == (1, {})
    assert row.roofline_gflops == best.gflops
    assert row.gflops > 0
