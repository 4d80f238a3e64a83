"""MACs counted from .tflite files."""

import pytest
import tensorflow as tf

from helpers.operators import OPERATORS, file_of, weights
from keras_mobattn import benchmark
from keras_mobattn.errors import InputError


@pytest.mark.parametrize("name", OPERATORS)
def test_macs_of_operators(tmp_path, name):
    operation, macs = OPERATORS[name]
    counts = benchmark.count_file_macs(file_of(tmp_path / "file.tflite", operation))
    assert counts == ({"float32": macs} if macs else {})


def test_macs_are_told_apart_by_type(tmp_path):
    kernel = weights(3, 3, 6, 200)  # large enough for the converter to quantise

    def convolution(x):
        return tf.nn.conv2d(x, kernel, 1, "SAME")

    macs = 7 * 11 * 200 * 9 * 6
    default = [tf.lite.Optimize.DEFAULT]
    assert benchmark.count_file_macs(file_of(tmp_path / "dynamic.tflite", convolution, default)) == {"float32": macs}
    images = [[weights(1, 7, 11, 6)]]
    int8 = file_of(tmp_path / "int8.tflite", convolution, default, images=lambda: iter(images))
    assert benchmark.count_file_macs(int8) == {"int8": macs}


def test_macs_of_what_is_no_file(tmp_path):
    (tmp_path / "text.tflite").write_text("Dear reader, this is no model.")
    with pytest.raises(InputError, match="Expected a TFLite file"):
        benchmark.count_file_macs(tmp_path / "text.tflite")
