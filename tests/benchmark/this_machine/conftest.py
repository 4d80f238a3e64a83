"""Small .tflite files to time, converted once."""

import pytest
import tf_keras as keras

from helpers.timed_files import conv, convert_layers, mirror


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tflite")
    pool = keras.layers.GlobalAveragePooling2D
    return {
        "plain": convert_layers([conv(), conv(), pool()], folder / "plain.tflite"),
        "mirrored": convert_layers([conv(), mirror(), conv(), mirror(), conv(), pool()], folder / "mirrored.tflite"),
        "bytes": convert_layers([conv(), pool()], folder / "bytes.tflite", int8=True),
        "normalized": convert_layers([conv(), keras.layers.UnitNormalization()], folder / "normalized.tflite"),
        "heavy": convert_layers([keras.layers.Flatten(), keras.layers.Dense(13_000)], folder / "heavy.tflite"),  # 40 MB
    }
