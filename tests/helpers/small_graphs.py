"""Small .tflite files, each with one thing that XNNPACK or the GPU accelerator does not take, or gets wrong.

GRAPHS are converted, and run. `write_operators` writes a file operator by operator, also such as no converter makes.
"""

import dataclasses
import math

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from keras_mobattn.formats.tflite.graph import Graph
from keras_mobattn.formats.tflite.one_operator import sigmoid_model

SHAPE = (1, 16, 16, 8)
_WIDE_KERNEL = np.random.default_rng(1).normal(size=(5, 5, 8, 8)).astype(np.float32)  # fewer than 1024 stay float
_KERNEL = np.random.default_rng(0).normal(size=(1, 1, 8, 8)).astype(np.float32)


def conv(x):
    return tf.nn.conv2d(x, _KERNEL, 1, "SAME", name="conv")


def _unequal_split(x):
    a, b, c = tf.split(conv(x), [2, 3, 3], -1)
    return conv(tf.concat([a, b * c, b], -1))


def _added_halves(x):
    a, b = tf.split(conv(x), 2, -1)
    return a + b


def _rank_5(x):
    return tf.reduce_sum(tf.transpose(tf.reshape(conv(x), (1, 8, 2, 16, 8)), (0, 1, 3, 2, 4)), 1)


def _times_itself(x):
    x = conv(x)
    return tf.matmul(x, x, transpose_b=True)


GRAPHS = {  # name -> function of an image of SHAPE
    "good": lambda x: conv(tf.nn.relu(conv(x))),
    "unequal_split": _unequal_split,
    "added_halves": _added_halves,
    "rank_5": _rank_5,
    "l2_normalized": lambda x: conv(tf.math.l2_normalize(conv(x), -1)),
    "broadcast": lambda x: tf.broadcast_to(tf.reduce_sum(conv(x), (1, 2), keepdims=True), SHAPE),
    "class": lambda x: tf.argmax(conv(x), -1),
    "minus_itself": lambda x: (lambda y: y - y * 1)(conv(x)),
    "times_itself": _times_itself,
    "any_batch": lambda x: tf.reshape(conv(x), (tf.shape(x)[0], -1)),
    "dynamic_range": lambda x: tf.nn.depthwise_conv2d(conv(x), _WIDE_KERNEL, (1, 1, 1, 1), "SAME"),
    "int8": lambda x: conv(tf.nn.softmax(conv(x))),
}


def write_graph(name, folder):
    """Convert one of GRAPHS and return the path of folder/name.tflite."""
    shape = (None, *SHAPE[1:]) if name == "any_batch" else SHAPE
    holder = tf.Module()
    holder.run = tf.function(lambda image: {"result": GRAPHS[name](image)})
    concrete = holder.run.get_concrete_function(tf.TensorSpec(shape, tf.float32, name="image"))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], holder)
    if name in ("int8", "dynamic_range"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if name == "int8":
        images = np.random.default_rng(0).random((4, *SHAPE), np.float32)
        converter.representative_dataset = lambda: ([image] for image in images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.int8
    path = folder / f"{name}.tflite"
    path.write_bytes(converter.convert())
    return path


def converted(function, shape):
    """The content of the .tflite file of a function of one image, with outputs output0, output1, ..."""

    def outputs(image):
        return {f"output{i}": y for i, y in enumerate(tf.nest.flatten(function(image)))}

    concrete = tf.function(outputs).get_concrete_function(tf.TensorSpec(shape, tf.float32, "image"))
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module()).convert()


def rewritten(content, *rewrites):
    """The content of a .tflite file after functions that change a Graph."""
    graph = Graph(content)
    for rewrite in rewrites:
        rewrite(graph)
    return graph.content()


def run(content, image):
    """{output: array} of the interpreter."""
    return Interpreter(model_content=content).get_signature_runner()(image=image)


def kinds(content):
    """The operators of a .tflite file in alphabetical order, "ADD CONV_2D CONV_2D"."""
    graph = Graph(content)
    return " ".join(sorted(graph.kind(operator) for operator in graph.operators))


def write_graphs(folder):
    """{name: path} of all of them."""
    return {name: write_graph(name, folder) for name in GRAPHS}


@dataclasses.dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of `write_operators`: computed, or constant with `values` (0: zeros)."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    values: tuple[int, ...] | int | None = None


def computed(*shape, dtype="float32"):
    return Tensor(shape, dtype)


def constant(*shape, dtype="float32"):
    return Tensor(shape, dtype, 0)


def integers(*values):
    return Tensor((len(values),), "int32", values)


def write_operators(path, operators, outputs=()):
    """Write a .tflite file of operators, each (kind, inputs, output) or (kind, inputs, output, options), and return its
    path. Tensors that none of them makes are its inputs; its outputs are those that none of them reads, and `outputs`.
    """
    graph = Graph(sigmoid_model(1))
    graph.tensors.clear()
    graph.operators.clear()
    numbers = {}
    for kind, inputs, output, *options in operators:
        for tensor in (*inputs, output):
            numbers.setdefault(tensor, len(numbers))
            if len(numbers) > len(graph.tensors):
                _add(graph, tensor, f"tensor{numbers[tensor]}")
        ends = [numbers[tensor] for tensor in inputs], [numbers[output]]
        graph.add_operator(len(graph.operators), kind, *ends, options=options[0] if options else None)
    made = {output for _, _, output, *_ in operators}
    read = {tensor for _, inputs, *_ in operators for tensor in inputs}
    ends = (
        [t for t in numbers if t not in made and t.values is None],
        [t for t in made if t not in read or t in outputs],
    )
    graph.subgraph.inputs, graph.subgraph.outputs = ([numbers[tensor] for tensor in side] for side in ends)
    path.write_bytes(graph.content())
    return path


def _add(graph, tensor, name):
    if tensor.values is None:
        graph.add_tensor(name, tensor.shape, tensor.dtype)
    else:
        values = np.zeros(math.prod(tensor.shape)) if tensor.values == 0 else np.array(tensor.values)
        graph.add_values(name, values.reshape(tensor.shape).astype(tensor.dtype))
