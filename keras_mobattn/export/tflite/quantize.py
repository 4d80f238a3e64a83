"""fp16, dynamic-range and int8 quantization of a float32 .tflite file by litert-quantizer.

What is quantized is chosen here, per operator: the TF converter's own quantizer takes everything, which XNNPACK then
refuses in pieces (52 partitions and .95 of fp32's time for MobileViTv2 1.0, against 1 and .36 here).
"""

import contextlib
import io
import re
import warnings

from keras_mobattn.export.tflite.fuse import CONVOLUTIONS
from keras_mobattn.export.tflite.ranges import activation_ranges
from keras_mobattn.formats.tflite.graph import Graph

DENSE = ("CONV_2D", "FULLY_CONNECTED")
# XNNPACK computes in int8, besides convolutions, what these make of int8 inputs. Each takes the time of a copy of a
# quarter of the bytes, and saves a DEQUANTIZE and a QUANTIZE.
FOLLOWERS = ("LOGISTIC", "MUL", "ADD", "PAD", "RESHAPE", "SPACE_TO_DEPTH", "CONCATENATION")


def quantize_fp16(graph):
    """Return the Graph with weights in float16; a runtime computes in float32, or in float16 where its device does."""
    from litert_quantizer import algorithm_manager, qtyping

    def configure(manager):
        for kind in CONVOLUTIONS:
            manager.add_weight_only_config(
                regex=".*",
                operation_name=qtyping.TFLOperationName(kind),
                num_bits=16,
                granularity=qtyping.QuantGranularity.TENSORWISE,
                algorithm_key=algorithm_manager.AlgorithmName.FLOAT_CASTING,
            )

    return _quantize(graph.content(), configure) or graph


def quantize_dynamic(graph):
    """Return the Graph with int8 weights per channel; activations stay float32.

    XNNPACK quantizes the activations of `dynamic_operators` as it goes and computes in int8; the other convolutions'
    weights it makes float32 again when it loads the file.
    """
    int8 = dynamic_operators(graph)
    rest = [operator for operator in _of_kinds(graph, CONVOLUTIONS) if all(operator is not other for other in int8)]

    def configure(manager):
        _add(graph, manager.add_dynamic_config, int8, num_bits=8)
        _add(graph, manager.add_weight_only_config, rest, num_bits=8)

    return _quantize(graph.content(), configure) or graph


def quantize_int8(graph, images):
    """Return the Graph with int8 weights per channel, and int8 activations in all convolutions and between them.

    Normalisations, attention's mixing and residual sums around them stay float32: int8 would cost accuracy there, and
    XNNPACK has no int8 SOFTMAX, RSQRT, DIV or BATCH_MATMUL. `images` float32 [n, H, W, C] give the activations' ranges.
    """
    operators = int8_operators(graph)
    tensors = {int(tensor) for operator in operators for tensor in (*operator.inputs, *operator.outputs) if tensor >= 0}
    activations = {graph.name(tensor) for tensor in tensors if graph.constant(tensor) is None}
    bits = {"activation_num_bits": 8, "weight_num_bits": 8}
    content = graph.content()
    ranges = activation_ranges(content, activations, images)

    def configure(manager):
        _add(graph, manager.add_static_config, operators, **bits)

    return _quantize(content, configure, ranges) or graph


def dynamic_operators(graph):
    """The convolutions and dense layers whose product costs more than quantizing their input does.

    Of MobileViTv2 0.5 that leaves out the stem, the narrow layers after it, and separable attention's query of one
    channel: .69 of fp32's time instead of .78. Not depthwise ones, which XNNPACK has in no such kind: 9 partitions.
    Dense layers all: their input is a vector, and phones' GPUs refuse a dense layer whose int8 weights become float.
    """

    def pays(operator):
        weights = graph.constant(operator.inputs[1])
        if graph.kind(operator) == "FULLY_CONNECTED":
            return weights is not None
        return weights is not None and weights.shape[0] > 1 and weights.shape[-1] >= 48  # channels out, channels in

    return [operator for operator in _of_kinds(graph, DENSE) if pays(operator)]


def int8_operators(graph):
    """The convolutions, and the FOLLOWERS that lie between int8 operators on both sides."""
    chosen = {id(operator): operator for operator in _of_kinds(graph, CONVOLUTIONS)}
    int8 = {int(tensor) for tensor in graph.subgraph.inputs}
    for operator in graph.operators:
        computed = [int(tensor) for tensor in operator.inputs if graph.constant(tensor) is None]
        if graph.kind(operator) in FOLLOWERS and int8.issuperset(computed):
            chosen[id(operator)] = operator
        if id(operator) in chosen:
            int8.update(int(tensor) for tensor in operator.outputs)
    consumers = graph.consumers()
    for operator in reversed(graph.operators):  # what only float operators read had better be float already
        readers = [reader for tensor in operator.outputs for reader in consumers[int(tensor)]]
        if graph.kind(operator) not in CONVOLUTIONS and not any(id(reader) in chosen for reader in readers):
            chosen.pop(id(operator), None)
    return list(chosen.values())


def _of_kinds(graph, kinds):
    return [operator for operator in graph.operators if graph.kind(operator) in kinds]


def _add(graph, add_config, operators, **bits):
    """Configure each of the operators by the name that litert-quantizer knows it by: its outputs'."""
    from litert_quantizer import qtyping

    for operator in operators:
        scope = "".join(graph.name(tensor) + ";" for tensor in operator.outputs)
        kind = qtyping.TFLOperationName(graph.kind(operator))
        add_config(regex=f"^{re.escape(scope)}$", operation_name=kind, **bits)


def _quantize(content, configure, ranges=None):
    """The quantizer takes and gives bytes. Returns a Graph, or None where `configure` names nothing to quantize."""
    from litert_quantizer import quantizer, recipe_manager

    manager = recipe_manager.RecipeManager()
    configure(manager)
    if not (recipe := manager.get_quantization_recipe()):
        return None
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():  # a report of its own, and a warning
        warnings.filterwarnings("ignore", ".*experimental_preserve_all_tensors")  # about the memory that it will need
        work = quantizer.Quantizer(content, recipe)
        result = work.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    return Graph(bytes(result.quantized_model))
