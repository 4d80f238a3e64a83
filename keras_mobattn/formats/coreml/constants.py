"""The constants of an ML program: written out in it, kept in the file of weights, or unpacked from compressed ones."""

import math

import numpy as np

from keras_mobattn.errors import InputError
from keras_mobattn.formats.coreml.package import WEIGHTS
from keras_mobattn.formats.coreml.types import NUMPY, dtype_name, from_bytes, size_bytes_of

# A file of weights holds for each constant a record, to which the program refers, and its bytes. The record's first
# fields, of MILBlob's StorageFormat.hpp in coremltools:
RECORD = np.dtype([("sentinel", "<u4"), ("dtype", "<u4"), ("size_bytes", "<u8"), ("offset", "<u8")])
SENTINEL = 0xDEADBEEF


def read_constants(program):
    """Return {name: value} of all constants of a Program, compressed weights as what they stand for.

    A value is an array of the declared type and shape, a str, or a list of them.

    Raises:
        InputError: the file of weights is damaged or gone, or weights are compressed in a way that isn't known here.
    """
    weights = _Weights(program.path / WEIGHTS)
    try:
        values = {name: _value(stored, weights) for name, stored in program.constants.items()}
        for operation in program.constexprs:
            operands = {name: values[value.name] for name, (value,) in operation.operands.items()}
            made = DECOMPRESS[operation.kind](**operands)
            made = made if isinstance(made, tuple) else (made,)
            values.update((result.name, value) for result, value in zip(operation.results, made, strict=True))
        return values
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:  # what numpy makes of other values
        raise InputError(
            f"Expected a whole .mlpackage, with weights that this version reads. Received: {str(program.path)!r}, "
            f"unreadable ({type(error).__name__}: {error}). Convert or copy it again."
        ) from error


def scalar(stored):
    """The first element of a constant that is written out in the program: all there is of a scalar. Else None."""
    tensor = stored.immediateValue.tensor
    kind = tensor.WhichOneof("value")
    values = getattr(tensor, kind).values if kind in ("bools", "ints", "strings") else ()
    return values[0] if len(values) else None


def read_constant(stored):
    """The value of a constant that is written out in the program, a protobuf Value: an array, a str, or a list."""
    return _value(stored, None)


def _value(stored, weights):
    """The value of a protobuf Value."""
    if stored.type.WhichOneof("type") == "listType":
        return [_value(each, weights) for each in stored.immediateValue.list.values]
    tensor_type = stored.type.tensorType
    dtype = dtype_name(tensor_type.dataType)
    shape = tuple(int(dimension.constant.size) for dimension in tensor_type.dimensions)
    if stored.WhichOneof("value") == "blobFileValue":
        place = stored.blobFileValue
        return from_bytes(weights.read(place.fileName, place.offset, size_bytes_of(dtype, shape)), dtype, shape)
    tensor = stored.immediateValue.tensor
    kind = tensor.WhichOneof("value")
    values = getattr(tensor, kind).values if kind else ()
    if kind == "bytes":
        return from_bytes(values, dtype, shape)
    if kind == "strings":
        return np.reshape(np.array(values, object), shape).tolist()  # a str where the shape is ()
    return np.array(values, NUMPY[dtype]).reshape(shape)


class _Weights:
    """The files of a folder of weights, mapped into memory when they are first read."""

    def __init__(self, folder):
        self.folder, self.files = folder, {}

    def read(self, name, offset, size_bytes):
        """The bytes of the constant whose record is at `offset`. `name` is as in "@model_path/weights/weight.bin"."""
        name = name.rpartition("/")[2]
        if name not in self.files:
            self.files[name] = np.memmap(self.folder / name, np.uint8, "r")
        record = np.frombuffer(self.files[name][offset : offset + RECORD.itemsize], RECORD)[0]
        if record["sentinel"] != SENTINEL or record["size_bytes"] != size_bytes:
            raise ValueError(f"{name} has no {size_bytes} bytes of weights at {offset}")
        return self.files[name][int(record["offset"]) : int(record["offset"]) + size_bytes]


def affine_dequantize(quantized_data, zero_point, scale, axis):
    """scale * (quantized - zero point), both of them scalars or for each index of `axis`. Before iOS 18."""
    along = [-1 if index == axis % quantized_data.ndim else 1 for index in range(quantized_data.ndim)]
    difference = quantized_data.astype(np.float32) - zero_point.astype(np.float32).reshape(_fit(zero_point, along))
    return (difference * scale.reshape(_fit(scale, along))).astype(scale.dtype)


def _fit(values, along):
    return along if values.ndim else (1,) * len(along)


def blockwise_shift_scale(data, scale, offset=None):
    """scale * (data - offset), for blocks of data.shape / scale.shape values. From iOS 18 on."""
    data = data.astype(scale.dtype)
    if offset is not None:
        data = data - _stretched(offset, data.shape)
    return _stretched(scale, data.shape) * data


def _stretched(values, shape):
    """Repeat values along every axis, each as often as `shape` asks."""
    for axis, (size, wanted) in enumerate(zip(values.shape, shape, strict=True)):
        values = np.repeat(values, wanted // size, axis)
    return values


def lut_to_dense(indices, lut, shape=None, vector_axis=None):
    """The values of a table by their numbers. Before iOS 18 the numbers are packed, for a tensor of `shape`; from then
    on there may be a table for each block, [blocks of each axis.., values, 1]. Values of several numbers are refused.
    """
    if shape is not None:
        bits = int(math.log2(lut.size))
        return lut[from_bytes(indices, f"uint{bits}", tuple(int(side) for side in shape))]
    if lut.shape[-1] != 1:
        raise ValueError("a table of vectors")
    *blocks, _, _ = lut.shape
    number = np.arange(math.prod(blocks)).reshape(blocks)  # of the table that each value is in
    return lut.reshape(-1, lut.shape[-2])[_stretched(number, indices.shape), indices]


def sparse_to_dense(nonzero_data, mask, shape=None):
    """Zeros, and the values where the mask has ones. Before iOS 18 it is packed, for a tensor of `shape`."""
    mask = mask if shape is None else from_bytes(mask, "uint1", tuple(int(side) for side in shape))
    dense = np.zeros(mask.shape, nonzero_data.dtype)
    dense[mask != 0] = nonzero_data
    return dense


def sparse_shift_scale(data_mask, nonzero_data, scale, offset=None):
    """What blockwise_shift_scale makes of the values where the mask has ones; (mask, values)."""
    dense = blockwise_shift_scale(sparse_to_dense(nonzero_data, data_mask), scale, offset)
    return data_mask, dense[data_mask != 0]


def lut_to_sparse(indices_mask, indices_nonzero_data, lut, vector_axis=None):
    """What lut_to_dense makes of the numbers where the mask has ones; (mask, values)."""
    dense = lut_to_dense(sparse_to_dense(indices_nonzero_data, indices_mask), lut, vector_axis=vector_axis)
    return indices_mask, dense[indices_mask != 0]


def cast(source_val, output_dtype):
    """Half precision in single: fp16 weights of an fp32 program."""
    return source_val.astype({"fp32": np.float32}[output_dtype])


# Operation that unpacks weights -> function of its operands, which returns an array, or a tuple of them. The formulas
# are in coremltools' converters/mil/mil/ops/defs/iOS16/constexpr_ops.py and iOS18/compression.py.
DECOMPRESS = {
    "constexpr_affine_dequantize": affine_dequantize,
    "constexpr_blockwise_shift_scale": blockwise_shift_scale,
    "constexpr_lut_to_dense": lut_to_dense,
    "constexpr_sparse_to_dense": sparse_to_dense,
    "constexpr_sparse_blockwise_shift_scale": sparse_shift_scale,
    "constexpr_lut_to_sparse": lut_to_sparse,
    "constexpr_cast": cast,
}
