"""What a .tflite file takes and gives: float32, or bytes: pixels straight from a camera, probabilities in 1/256."""

import numpy as np
import tf_keras as keras

from keras_mobattn.catalog import IO_DTYPES
from keras_mobattn.errors import InputError, choose, expect_range
from keras_mobattn.formats.tflite.flatbuffer import pack, unpack

PROBABILITY = 1 / 256  # a step of the output, as in TensorFlow Lite's own quantized classifiers; 1.0 becomes 255/256
_VERSIONS = {"DEQUANTIZE": 2, "QUANTIZE": 1}  # the first that takes int8


def with_io(content, input_dtype="float32", output_dtype="float32", input_scale=1.0):
    """Return the .tflite file `content` (bytes) with its float32 input and output replaced by quantized ones.

    A uint8 input holds RGB 0..255, int8 the same minus 128; the model sees the byte times `input_scale`. A uint8
    output holds probabilities times 256, int8 the same minus 128. The signature's names stay. Works after any
    quantizer, since it adds an operator at each end: DEQUANTIZE rather than CAST, which XNNPACK leaves out, as it does
    a QUANTIZE from uint8 straight to the int8 of the first convolution. It costs nothing that could be measured
    (MobileViTv2 0.5 at 256 pixels, fastest of 160 and 400 runs: fp32 10.94 ms with float32 input, 10.98 with uint8;
    int8 4.46 and 4.45, and 4.43 with int8 pixels that the convolution reads directly). The GPU accelerator takes both
    operators, with the same numbers.
    """
    if input_dtype == output_dtype == "float32":
        return content
    model = unpack(content)
    graph = model.subgraphs[0]
    if input_dtype != "float32":
        graph.inputs = [_quantized(model, i, input_dtype, input_scale, "DEQUANTIZE") for i in graph.inputs]
    if output_dtype != "float32":
        graph.outputs = [_quantized(model, i, output_dtype, PROBABILITY, "QUANTIZE") for i in graph.outputs]
    return pack(model)


def _quantized(model, index, dtype, scale, operator):
    """Put a quantized tensor in the place of the input or output `index`, joined by `operator`; return its index."""
    from ai_edge_litert import schema_py_generated as schema

    graph = model.subgraphs[0]
    inner, outer = graph.tensors[index], schema.TensorT()
    outer.name, inner.name = inner.name, inner.name + b"_float32"
    outer.shape = inner.shape
    outer.type = getattr(schema.TensorType, dtype.upper())
    outer.quantization = schema.QuantizationParametersT()
    outer.quantization.scale, outer.quantization.zeroPoint = [scale], [IO_DTYPES[dtype]]
    graph.tensors.append(outer)
    new = len(graph.tensors) - 1

    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, operator)
    code.version = _VERSIONS[operator]
    model.operatorCodes.append(code)
    node = schema.OperatorT()
    node.opcodeIndex = len(model.operatorCodes) - 1
    at_start = operator == "DEQUANTIZE"
    node.inputs, node.outputs = ([new], [index]) if at_start else ([index], [new])
    graph.operators.insert(0 if at_start else len(graph.operators), node)
    for signature in model.signatureDefs:
        for entry in signature.inputs if at_start else signature.outputs:
            entry.tensorIndex = new if entry.tensorIndex == index else entry.tensorIndex
    return new


def expect_io(source, input_dtype="float32", output_dtype="float32", input_scale=1.0):
    """Refuse an interface that doesn't exist or that the Exportable can't have."""
    choose(IO_DTYPES, input_dtype, "input_dtype")
    choose(IO_DTYPES, output_dtype, "output_dtype")
    advice = "Pass what RGB 0..255 is multiplied by: 1, or 1/255 for a model with include_preprocessing=False."
    expect_range("input_scale", input_scale, 0, above=True, below=True, advice=advice)
    if input_scale < 0.1 and any(_divides(layer) for layer in source.model.layers[:2]):
        raise InputError(
            f"Expected input_scale 1 for a model that divides RGB 0..255 itself. Received: {input_scale:g}, with which "
            "it would see black. Leave it out."
        )
    if output_dtype != "float32" and not source.gives_probabilities:
        raise InputError(
            f"Expected output_dtype 'float32' for outputs other than probabilities. Received: {output_dtype!r} for "
            f"{', '.join(map(repr, source.output_names))}. Their range isn't known. Leave them float32."
        )


def _divides(layer):
    return isinstance(layer, keras.layers.Rescaling) and np.max(layer.scale) < 0.1


def expect_bytes(images, input_scale, input_bias=0.0):
    """Refuse float32 images that pixels can't hold: the check would compare rounded images."""
    pixels = (images - np.float32(input_bias)) / np.float32(input_scale)
    if pixels.min() < -0.01 or pixels.max() > 255.01 or np.abs(pixels - np.round(pixels)).max() > 0.01:
        raise InputError(
            "Expected check_images of whole numbers 0..255 times input_scale, for an input of bytes. Received: values "
            f"from {images.min():g} to {images.max():g} with input_scale {input_scale:g}. Round them, or pass the "
            "input_scale that the model wants (1/255 with include_preprocessing=False)."
        )


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
