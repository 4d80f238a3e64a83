"""Small .tflite files to time, and a protocol that takes no time."""

import numpy as np
import tensorflow as tf
import tf_keras as keras

QUICK = {"warmup_runs": 1, "num_runs": 4, "min_secs": 0.0, "max_secs": 20.0}


def convert_layers(layers, path, int8=False):
    """A network on [1, 16, 16, 3] as .tflite."""
    model = keras.Sequential([keras.Input((16, 16, 3)), *layers])
    function = tf.function(lambda image: model(image, training=False))
    concrete = function.get_concrete_function(tf.TensorSpec((1, 16, 16, 3), tf.float32, name="image"))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], model)
    if int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: iter([[np.random.rand(1, 16, 16, 3).astype("float32")]] * 3)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
    path.write_bytes(converter.convert())
    return path


def conv():
    return keras.layers.Conv2D(4, 3, activation="swish")


def mirror():
    return keras.layers.Lambda(lambda image: tf.pad(image, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="REFLECT"))
