"""Operators whose MACs are known, and .tflite files of them."""

import numpy as np
import tensorflow as tf

OPERATORS = {  # what runs on [1, 7, 11, 6] -> MACs
    "a strided convolution": (lambda x: tf.nn.conv2d(x, weights(3, 5, 6, 13), 2, "SAME"), 4 * 6 * 13 * 3 * 5 * 6),
    "a grouped convolution": (lambda x: tf.nn.conv2d(x, weights(1, 1, 3, 4), 1, "SAME"), 7 * 11 * 4 * 3),
    "a depthwise convolution": (
        lambda x: tf.nn.depthwise_conv2d(x, weights(5, 3, 6, 2), (1, 1, 1, 1), "SAME"),
        7 * 11 * 12 * 5 * 3,
    ),
    "a transposed convolution": (
        lambda x: tf.nn.conv2d_transpose(x, weights(2, 2, 5, 6), (1, 14, 22, 5), 2, "SAME"),
        7 * 11 * 6 * 2 * 2 * 5,
    ),
    "a dense layer": (lambda x: tf.reshape(x, (1, -1)) @ weights(462, 17), 462 * 17),
    "products of maps": (lambda x: tf.matmul(x, x, transpose_b=True), 7 * 11 * 11 * 6),
    "products of transposed maps": (lambda x: tf.matmul(x, x, transpose_a=True), 7 * 6 * 6 * 11),
    "no products": (lambda x: tf.nn.softmax(x * 2.0), 0),
}


def weights(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def file_of(path, operation, optimizations=(), images=None):
    concrete = tf.function(operation).get_concrete_function(tf.TensorSpec((1, 7, 11, 6), tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module())
    converter.optimizations = list(optimizations)
    converter.representative_dataset = images
    path.write_bytes(converter.convert())
    return path
