"""Each operator of .tflite files with what it means in float64, written from its description; all of them in one file.

A case takes tensors by name: x and y [1, 7, 11, 5], positive p of the same shape, even [1, 6, 10, 8].
"""

import numpy as np
import tensorflow as tf
from scipy.stats import norm

SHAPES = {"x": (1, 7, 11, 5), "y": (1, 7, 11, 5), "p": (1, 7, 11, 5), "even": (1, 6, 10, 8)}
_random = np.random.default_rng(3)
KERNEL = _random.normal(size=(3, 2, 5, 13)).astype(np.float16).astype(np.float32)
TAPS = _random.normal(size=(3, 3, 5, 2)).astype(np.float16).astype(np.float32)
GROUPED = _random.normal(size=(1, 1, 4, 6)).astype(np.float16).astype(np.float32)
ROWS = _random.normal(size=(5, 17)).astype(np.float16).astype(np.float32)
GROWING = _random.normal(size=(3, 3, 2, 5)).astype(np.float16).astype(np.float32)


def convolved(x, kernel, stride=1, dilation=1, same=True, depthwise=False):
    """The sum over a kernel [h, w, I, O] at every place, by its indices."""
    h, w = kernel.shape[:2]
    if same:
        sides = []
        for n, k in ((x.shape[1], h), (x.shape[2], w)):
            total = max((-(-n // stride) - 1) * stride + (k - 1) * dilation + 1 - n, 0)
            sides.append((total // 2, total - total // 2))
        x = np.pad(x, [(0, 0), *sides, (0, 0)])
    rows = range(0, x.shape[1] - (h - 1) * dilation, stride)
    columns = range(0, x.shape[2] - (w - 1) * dilation, stride)
    out = []
    for row in rows:
        for column in columns:
            window = x[:, row : row + (h - 1) * dilation + 1 : dilation, column : column + (w - 1) * dilation + 1]
            window = window[:, :, ::dilation]
            out.append(np.einsum("nhwi,hwio->nio" if depthwise else "nhwi,hwio->no", window, kernel))
    return np.stack(out, 1).reshape(len(x), len(rows), len(columns), -1)


def grown(x, kernel, stride, size):
    """The transposed convolution with a kernel [h, w, O, I]: every pixel adds the kernel to its place. "SAME"."""
    whole = np.zeros((1, (x.shape[1] - 1) * stride + 3, (x.shape[2] - 1) * stride + 3, kernel.shape[2]))
    for row in range(x.shape[1]):
        for column in range(x.shape[2]):
            patch = np.einsum("i,hwoi->hwo", x[0, row, column], kernel)
            whole[0, row * stride : row * stride + 3, column * stride : column * stride + 3] += patch
    top, left = ((full - wanted) // 2 for full, wanted in zip(whole.shape[1:3], size, strict=True))
    return whole[:, top : top + size[0], left : left + size[1]]


def resized(x, size, place):
    """Linear interpolation at place(i, n, m) of each side."""
    for axis, m in enumerate(size, 1):
        n = x.shape[axis]
        at = [min(max(place(i, n, m), 0), n - 1) for i in range(m)]
        rows = [np.take(x, int(a), axis) * (1 - a % 1) + np.take(x, min(int(a) + 1, n - 1), axis) * (a % 1) for a in at]
        x = np.stack(rows, axis)
    return x


def exp_share(x):
    e = np.exp(x)
    return e / e.sum(-1, keepdims=True)


def windows(x, size, stride, reduce):
    """VALID pools."""
    rows, columns = range(0, x.shape[1] - size + 1, stride), range(0, x.shape[2] - size + 1, stride)
    places = [[reduce(x[:, r : r + size, c : c + size], axis=(1, 2)) for c in columns] for r in rows]
    return np.stack([np.stack(row, 1) for row in places], 1)


def blocks(x, b):
    n, h, w, c = x.shape
    parts = [x[:, i::b, j::b] for i in range(b) for j in range(b)]
    return np.concatenate(parts, -1)


def conv(x, kernel, stride=1, padding="SAME", dilation=1):
    return tf.nn.conv2d(x, kernel, stride, padding, dilations=dilation)


# operator -> (its calls in TensorFlow, in float64), each on tensors by name; several forms of one have a suffix
CASES = {
    "ABS": (lambda x: tf.abs(x), lambda x: np.where(x < 0, -x, x)),
    "ADD": (lambda x, y: x + y, lambda x, y: x + y),
    "ADD relu": (lambda x, y: tf.nn.relu(x + y), lambda x, y: np.where(x + y > 0, x + y, 0)),
    "ARG_MAX": (lambda x: tf.argmax(x, 2, tf.int32), lambda x: x.argmax(2)),
    "AVERAGE_POOL_2D": (lambda x: tf.nn.avg_pool2d(x, 3, 2, "VALID"), lambda x: windows(x, 3, 2, np.mean)),
    "AVERAGE_POOL_2D same": (
        lambda x: tf.nn.avg_pool2d(x, 3, 1, "SAME"),
        lambda x: windows(np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=np.nan), 3, 1, np.nanmean),
    ),
    "BATCH_MATMUL": (lambda x, y: tf.matmul(x, y, transpose_b=True), lambda x, y: np.einsum("nhwc,nhvc->nhwv", x, y)),
    "BATCH_MATMUL left": (
        lambda x, y: tf.matmul(x, y, transpose_a=True),
        lambda x, y: np.einsum("nhwc,nhwd->nhcd", x, y),
    ),
    "BROADCAST_TO": (lambda x: tf.broadcast_to(x, (3, 7, 11, 5)), lambda x: np.concatenate([x] * 3)),
    "CAST": (lambda x: tf.cast(x, tf.int32), lambda x: np.trunc(x)),
    "CONCATENATION": (lambda x, y: tf.concat([x, y], 2), lambda x, y: np.append(x, y, 2)),
    "CONV_2D": (lambda x: conv(x, KERNEL, 2), lambda x: convolved(x, KERNEL, 2)),
    "CONV_2D valid": (lambda x: conv(x, KERNEL, 1, "VALID", 2), lambda x: convolved(x, KERNEL, 1, 2, same=False)),
    "CONV_2D groups": (
        lambda even: conv(even, GROUPED),
        lambda even: np.append(even[..., :4] @ GROUPED[0, 0, :, :3], even[..., 4:] @ GROUPED[0, 0, :, 3:], -1),
    ),
    "DEPTHWISE_CONV_2D": (
        lambda x: tf.nn.depthwise_conv2d(x, TAPS, (1, 2, 2, 1), "SAME"),
        lambda x: convolved(x, TAPS, 2, depthwise=True),
    ),
    "DEPTH_TO_SPACE": (
        lambda even: tf.nn.depth_to_space(even, 2),
        lambda even: _spread(even),
    ),
    "DIV": (lambda x, p: x / p, lambda x, p: x / p),
    "ELU": (lambda x: tf.nn.elu(x), lambda x: np.where(x > 0, x, np.exp(x) - 1)),
    "EXP": (lambda x: tf.exp(x), lambda x: np.e**x),
    "FULLY_CONNECTED": (
        lambda x: tf.reshape(x, (77, 5)) @ ROWS,
        lambda x: np.einsum("rc,co->ro", x[0].reshape(77, 5), ROWS),
    ),
    "GATHER": (lambda x: tf.gather(x, [4, 0, 2], axis=2), lambda x: x[:, :, [4, 0, 2]]),
    "GELU": (lambda x: 0.5 * x * (1.0 + tf.math.erf(x * np.float32(0.5**0.5))), lambda x: x * norm.cdf(x)),
    "GELU tanh": (
        lambda y: 0.5 * y * (1.0 + tf.tanh(np.float32((2 / np.pi) ** 0.5) * (y + 0.044715 * tf.pow(y, 3.0)))),
        lambda y: y / (1 + np.exp(-2 * np.sqrt(2 / np.pi) * (y + 0.044715 * y**3))),
    ),
    "HARD_SWISH": (
        lambda x: x * tf.nn.relu6(x + 3.0) * (1 / 6),
        lambda x: np.select([x < -3, x > 3], [0, x], x * (x + 3) / 6),
    ),
    "L2_NORMALIZATION": (
        lambda x: tf.math.l2_normalize(x, -1),
        lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True),
    ),
    "LOG": (lambda p: tf.math.log(p), lambda p: np.log(p)),
    "LOGISTIC": (lambda x: tf.sigmoid(x), lambda x: 1 / (1 + np.exp(-x))),
    "MAXIMUM": (lambda x, y: tf.maximum(x, y), lambda x, y: np.where(x > y, x, y)),
    "MAX_POOL_2D": (lambda x: tf.nn.max_pool2d(x, 3, 2, "VALID"), lambda x: windows(x, 3, 2, np.max)),
    "MEAN": (lambda x: tf.reduce_mean(x, (1, 2), keepdims=True), lambda x: x.sum((1, 2), keepdims=True) / 77),
    "MINIMUM": (lambda x, y: tf.minimum(x, y), lambda x, y: np.where(x < y, x, y)),
    "MUL": (lambda x, y: x * y, lambda x, y: x * y),
    "MUL broadcast": (lambda x, y: x * y[..., 2:3], lambda x, y: x * y[..., 2:3]),
    "NEG": (lambda x: -x, lambda x: 0 - x),
    "PACK": (lambda x, y: tf.stack([x, y], 0), lambda x, y: np.append(x[None], y[None], 0)),
    "PAD": (
        lambda x: tf.pad(x, [(0, 0), (1, 2), (3, 0), (0, 1)]),
        lambda x: np.concatenate([np.zeros((1, 1, 14, 6)), _wider(x), np.zeros((1, 2, 14, 6))], 1),
    ),
    "POW": (lambda p, y: tf.pow(p, y), lambda p, y: np.exp(y * np.log(p))),
    "REDUCE_MAX": (
        lambda x: tf.reduce_max(x, (1, 3)),
        lambda x: np.sort(x.transpose(0, 2, 1, 3).reshape(1, 11, 35))[..., -1],
    ),
    "REDUCE_MIN": (lambda x: tf.reduce_min(x, 2, keepdims=True), lambda x: np.sort(x, 2)[:, :, :1]),
    "RELU": (lambda x: tf.nn.relu(tf.reshape(x, (7, 55))), lambda x: np.where(x > 0, x, 0).reshape(7, 55)),
    "RELU6": (lambda x: tf.nn.relu6(tf.reshape(x, (7, 55))), lambda x: np.clip(x, 0, 6).reshape(7, 55)),
    "RELU_N1_TO_1": (lambda x: tf.minimum(tf.maximum(x, -1.0), 1.0), lambda x: np.clip(x, -1, 1)),
    "RESHAPE": (lambda x: tf.reshape(x, (5, 7, 11)), lambda x: np.array(list(x.flat)).reshape(5, 7, 11)),
    "RESIZE_BILINEAR": (
        lambda x: tf.compat.v1.image.resize_bilinear(x, (13, 5), half_pixel_centers=True),
        lambda x: resized(x, (13, 5), lambda i, n, m: (i + 0.5) * n / m - 0.5),
    ),
    "RESIZE_BILINEAR corners": (
        lambda x: tf.compat.v1.image.resize_bilinear(x, (13, 5), align_corners=True),
        lambda x: resized(x, (13, 5), lambda i, n, m: i * (n - 1) / (m - 1)),
    ),
    "RESIZE_NEAREST_NEIGHBOR": (
        lambda x: tf.compat.v1.image.resize_nearest_neighbor(x, (14, 5), half_pixel_centers=True),
        lambda x: x[:, [i // 2 for i in range(14)]][:, :, [1, 3, 5, 7, 9]],
    ),
    "RSQRT": (lambda p: tf.math.rsqrt(p), lambda p: p**-0.5),
    "SLICE": (lambda x: tf.slice(x, (0, 1, 2, 0), (1, 3, -1, 4)), lambda x: x[:, 1:4, 2:, :4]),
    "SOFTMAX": (lambda x: tf.nn.softmax(x), exp_share),
    "SPACE_TO_DEPTH": (lambda even: tf.nn.space_to_depth(even, 2), lambda even: blocks(even, 2)),
    "SPLIT": (lambda even: tf.split(even, 4, -1)[2], lambda even: even[..., 4:6]),
    "SPLIT_V": (lambda even: tf.split(even, [1, 3, 4], -1)[1], lambda even: even[..., 1:4]),
    "SQRT": (lambda p: tf.sqrt(p), lambda p: p**0.5),
    "SQUARE": (lambda x: tf.square(x), lambda x: x * x),
    "SQUARED_DIFFERENCE": (lambda x, y: tf.math.squared_difference(x, y), lambda x, y: (x - y) ** 2),
    "STRIDED_SLICE": (lambda x: x[:, 1:6:2, ::3, 3], lambda x: x[:, [1, 3, 5]][:, :, [0, 3, 6, 9]][..., 3]),
    "SUB": (lambda x, y: x - y, lambda x, y: x - y),
    "SUM": (lambda x: tf.reduce_sum(x, (-1, 1)), lambda x: np.einsum("nhwc->nw", x)),
    "TANH": (lambda x: tf.tanh(x), lambda x: 1 - 2 / (1 + np.exp(2 * x))),
    "TILE": (lambda x: tf.tile(x, (1, 2, 1, 3)), lambda x: np.concatenate([np.concatenate([x] * 2, 1)] * 3, 3)),
    "TRANSPOSE": (lambda x: tf.transpose(x, (0, 3, 1, 2)), lambda x: np.einsum("nhwc->nchw", x)),
    "TRANSPOSE_CONV": (
        lambda x: tf.nn.conv2d_transpose(x, GROWING, (1, 14, 22, 2), 2, "SAME"),
        lambda x: grown(x, GROWING, 2, (14, 22)),
    ),
    "QUANTIZE": (
        lambda x: tf.quantization.fake_quant_with_min_max_args(x, -2.0, 1.98437500, narrow_range=False),
        lambda x: np.clip(np.rint(x * 64), -128, 127) / 64,
    ),
}


def _wider(x):
    return np.concatenate([np.zeros((1, 7, 3, 6)), np.append(x, np.zeros((1, 7, 11, 1)), -1)], 2)


def _spread(x):
    """Depth to space by 2: the first half of the channels is the upper row of each block."""
    n, h, w, c = x.shape
    y = np.zeros((n, 2 * h, 2 * w, c // 4))
    for row in range(2):
        for column in range(2):
            first = (2 * row + column) * c // 4
            y[:, row::2, column::2] = x[..., first : first + c // 4]
    return y


def names_of(call):
    return call.__code__.co_varnames[: call.__code__.co_argcount]


def tensors(seed=0):
    """Random tensors by name, as float32 that float16 keeps."""
    random = np.random.default_rng(seed)
    made = {name: random.normal(size=shape) for name, shape in SHAPES.items()}
    made["p"] = np.abs(made["p"]) + 0.25
    return {name: value.astype(np.float16).astype(np.float32) for name, value in made.items()}


def write_cases(path, cases=CASES, shapes=SHAPES):
    """Write a .tflite file with every case as an output, by "case NUMBER" in their order."""
    calls = {f"case {number}": call for number, (call, _) in enumerate(cases.values())}
    holder = tf.Module()
    given = {name: tf.TensorSpec(shape, name=name) for name, shape in shapes.items()}

    def run(**tensors):
        return {name: call(*(tensors[each] for each in names_of(call))) for name, call in calls.items()}

    holder.run = tf.function(run, autograph=False)
    concrete = holder.run.get_concrete_function(**given)
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete], holder).convert())
    return path
