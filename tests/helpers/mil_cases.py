"""A TensorFlow function for each of MIL's operations, to compare the evaluator with."""

import functools

import numpy as np
import tensorflow as tf
import tf_keras as keras

SHAPE = (1, 6, 10, 8)  # a different size on every axis
rng = np.random.default_rng(0)
K = functools.partial(tf.constant, dtype=tf.float32)


def draw(*shape):
    return K(rng.normal(size=shape))


VECTOR, MATRIX = draw(8), draw(10, 8)


def convolve(kernel, **options):
    return lambda x: tf.nn.conv2d(x, kernel, **options)


def resize(size, **options):
    return lambda x: tf.raw_ops.ResizeBilinear(images=x, size=size, **options)


def normalized(made, scale=1.0):
    """A normalisation layer with weights that are not its initial ones, of an input so small that epsilon matters."""
    made.build(SHAPE)
    made.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in made.get_weights()])
    return lambda x: made(scale * x, training=False)


def depthwise(**options):
    kernel = draw(3, 3, 8, 2)
    return lambda x: tf.nn.depthwise_conv2d(x, kernel, **options)


def transposed(kernel, size, **options):
    kernel = draw(*kernel, 5, 8)
    return lambda x: tf.nn.conv2d_transpose(x, kernel, (1, *size, 5), 2, **options)


KERNEL = draw(3, 8, 5)


# MIL operation that must come out of the conversion (a number tells cases apart) -> TensorFlow function of x, shape
# SHAPE
CASES = {
    "add": lambda x: x + VECTOR,
    "sub": lambda x: MATRIX - x,
    "mul": lambda x: x * tf.nn.sigmoid(2 * x),
    "real_div": lambda x: VECTOR / (x * x + 1.5),
    "maximum": lambda x: tf.maximum(x, VECTOR),
    "minimum": lambda x: tf.minimum(x, VECTOR),
    "pow": lambda x: tf.pow(tf.abs(x), 1.7),
    "abs": tf.abs,
    "exp": tf.exp,
    "sqrt": lambda x: tf.sqrt(tf.abs(x)),
    "square": lambda x: tf.math.squared_difference(x, VECTOR),
    "rsqrt": lambda x: tf.math.rsqrt(tf.abs(x) + 0.3),
    "inverse": lambda x: tf.math.reciprocal(tf.abs(x) + 0.3),
    "relu": tf.nn.relu,
    "relu6": lambda x: tf.nn.relu6(5 * x),
    "tanh": tf.tanh,
    "silu": tf.nn.silu,
    "sigmoid": lambda x: tf.nn.sigmoid(50 * x),
    "gelu": lambda x: 0.5 * x * (1 + tf.math.erf(x / np.sqrt(2).astype("float32"))),
    "elu": tf.nn.elu,
    "erf": tf.math.erf,
    "softplus": tf.math.softplus,
    "leaky_relu": lambda x: tf.nn.leaky_relu(x, 0.3),
    "greater": lambda x: tf.cast(x > VECTOR, tf.float32) * x,
    "not_equal": lambda x: tf.cast(tf.nn.relu(x) != 0.0, tf.float32) + x,
    "select": lambda x: tf.where(x > VECTOR, x, 3 * x),
    "softmax": lambda x: tf.nn.softmax(3 * x),
    "softmax 1": lambda x: tf.nn.softmax(3 * x, axis=2),
    "reduce_sum": lambda x: tf.reduce_sum(x, 2, keepdims=True),
    "reduce_mean": lambda x: tf.reduce_mean(x, (1, 2)),
    "reduce_max": lambda x: tf.reduce_max(x, 3),
    "reduce_argmax": lambda x: tf.argmax(x, 3, tf.int32),
    "reduce_argmax 1": lambda x: tf.cast(tf.argmax(x, 1), tf.float32) * x[:, 0],
    "batch_norm": normalized(keras.layers.BatchNormalization()),
    "layer_norm": normalized(keras.layers.LayerNormalization(epsilon=1e-5), scale=3e-3),
    "matmul": lambda x: tf.matmul(x, x, transpose_b=True),
    "linear": lambda x: tf.matmul(tf.reshape(x, (60, 8)), tf.transpose(MATRIX)) + MATRIX[:, 0],
    "conv": convolve(draw(3, 3, 8, 5), strides=1, padding="SAME"),
    "conv 1": convolve(draw(3, 3, 8, 5), strides=2, padding="SAME"),
    "conv 2": convolve(draw(2, 4, 8, 5), strides=2, padding="SAME"),
    "conv 3": convolve(draw(2, 3, 8, 5), strides=1, padding="VALID", dilations=2),
    "conv 4": depthwise(strides=[1, 2, 2, 1], padding="SAME"),
    "conv 5": depthwise(strides=[1, 1, 1, 1], padding="VALID"),
    "conv 6": lambda x: tf.nn.conv1d(x[:, 2], KERNEL, 2, "SAME"),
    "conv_transpose": transposed((3, 3), (12, 20), padding="SAME"),
    "conv_transpose 1": transposed((4, 2), (12, 20), padding="SAME"),
    "conv_transpose 2": transposed((3, 5), (13, 23), padding="VALID"),
    "avg_pool": lambda x: tf.nn.avg_pool2d(x, 3, 2, "SAME"),
    "avg_pool 1": lambda x: tf.nn.avg_pool2d(x, (2, 5), (2, 5), "VALID"),
    "max_pool": lambda x: tf.nn.max_pool2d(x, 3, 2, "SAME"),
    "transpose": lambda x: tf.transpose(x, (0, 3, 1, 2)),
    "reshape": lambda x: tf.reshape(x, (5, 12, 8)),
    "expand_dims": lambda x: x[:, :, None] * 2,
    "squeeze": lambda x: tf.squeeze(x, 0) * 2,
    "concat": lambda x: tf.concat([x, 2 * x], axis=2),
    "split": lambda x: tf.concat(tf.split(x, (1, 3, 4), axis=3)[::-1], axis=3),
    "slice_by_index": lambda x: x[:, 1:, 8:2:-2, 3] * 2,
    "slice_by_size": lambda x: tf.slice(x, (0, 1, 2, 3), (1, 4, -1, 2)),
    "tile": lambda x: tf.tile(x, (1, 2, 1, 3)),
    "pad": lambda x: tf.pad(x, ((0, 0), (1, 2), (3, 4), (0, 0)), constant_values=0.5),
    "pad 1": lambda x: tf.pad(x, ((0, 0), (1, 2), (3, 4), (0, 0)), "REFLECT"),
    "space_to_depth": lambda x: tf.nn.space_to_depth(x, 2),
    "depth_to_space": lambda x: tf.nn.depth_to_space(x, 2),
    "upsample_bilinear": resize((12, 20), align_corners=True, half_pixel_centers=False),
    "upsample_bilinear 1": resize((12, 20), align_corners=False, half_pixel_centers=True),
    "resize_nearest_neighbor": lambda x: tf.image.resize(x, (18, 20), "nearest"),
    "resize_bilinear": resize((7, 13), align_corners=True, half_pixel_centers=False),
    "resize_bilinear 1": resize((7, 13), align_corners=False, half_pixel_centers=True),
}


MISTAKES = {  # where coremltools itself departs from TensorFlow, and to what
    "inverse": lambda x: 1 / (tf.abs(x) + 0.3 + 1e-4),  # it leaves MIL's default epsilon: use a division in models
}
