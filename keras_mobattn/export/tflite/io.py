"""What a .tflite file takes and gives: float32, or bytes: pixels straight from a camera, probabilities in 1/256."""

import numpy as np

from keras_mobattn.catalog import IO_DTYPES

PROBABILITY = 1 / 256  # a step of the output, as in TensorFlow Lite's own quantized classifiers; 1.0 becomes 255/256


def set_io(graph, input_dtype="float32", output_dtype="float32"):
    """Replace the float32 input and output of a Graph by quantized ones.

    A uint8 input holds pixels 0..255, int8 the same minus 128; the graph sees the pixel. A uint8 output holds
    probabilities times 256, int8 the same minus 128. The signature's names stay. Works after any quantizer, since it
    adds an operator at each end: DEQUANTIZE rather than CAST, which XNNPACK leaves out, as it does a QUANTIZE from
    uint8 straight to the int8 of the first convolution. It costs nothing that could be measured
    (MobileViTv2 0.5 at 256 pixels, fastest of 160 and 400 runs: fp32 10.94 ms with float32 input, 10.98 with uint8;
    int8 4.46 and 4.45, and 4.43 with int8 pixels that the convolution reads directly). The GPU accelerator takes both
    operators, with the same numbers.
    """
    if input_dtype != "float32":
        for inner in list(graph.subgraph.inputs):
            outer = _quantized(graph, inner, input_dtype, 1.0)
            graph.add_operator(0, "DEQUANTIZE", [outer], [inner], version=2)  # the first that takes int8
            graph.replace_end("inputs", inner, outer)
    if output_dtype != "float32":
        for inner in list(graph.subgraph.outputs):
            outer = _quantized(graph, inner, output_dtype, PROBABILITY)
            graph.add_operator(len(graph.operators), "QUANTIZE", [inner], [outer])
            graph.replace_end("outputs", inner, outer)


def _quantized(graph, inner, dtype, scale):
    """Add a quantized tensor of the name and shape of `inner`, which gets another name; return its index."""
    name, tensor = graph.name(inner), graph.tensors[inner]
    tensor.name = f"{name}_float32"
    return graph.add_tensor(name, tensor.shape, dtype, scale, IO_DTYPES[dtype])


def quantize(values, detail):
    """Return float `values` as the tensor of an interpreter's `detail` holds them."""
    if detail["dtype"] == np.float32:
        return values
    scale, zero_point = detail["quantization"]
    limits = np.iinfo(detail["dtype"])
    return np.clip(np.round(values / scale) + zero_point, limits.min, limits.max).astype(detail["dtype"])


def dequantize(values, detail):
    """Return what the tensor of an interpreter's `detail` holds as float32."""
    if values.dtype == np.float32:
        return values.copy()
    scale, zero_point = detail["quantization"]
    return (values.astype(np.float32) - zero_point) * np.float32(scale)
