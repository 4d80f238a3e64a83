"""The types of MIL, Core ML's language: their names, their sizes, and values of them out of bytes."""

import functools
import math
import re

import numpy as np

from keras_mobattn._quiet import import_coremltools

# Name -> numpy's type; those of fewer bits than a byte are unpacked into bytes.
NUMPY = {
    "bool": np.bool_,
    **{name: np.dtype(name).type for name in ("float16", "float32", "float64", "int8", "int16", "int32", "int64")},
    **{name: np.dtype(name).type for name in ("uint8", "uint16", "uint32", "uint64")},
    "int4": np.int8,
    **dict.fromkeys(("uint1", "uint2", "uint3", "uint4", "uint6"), np.uint8),
}


def dtype_name(number):
    """MIL's name of a type of the protobuf, in small letters: "float16", "uint6", "string"."""
    return _names().get(number, f"type {number}")


@functools.cache
def _names():
    return {value: name.lower() for name, value in import_coremltools().proto.MIL_pb2.DataType.items()}


def bits_of(dtype):
    """How many bits a value takes in a file: the number in the type's name, 8 for "bool", which has none."""
    return int((re.findall(r"\d+", dtype) or [8])[0])


def size_bytes_of(dtype, shape):
    """What a tensor takes in a file, without the bits between its last value and the next whole byte."""
    return -(-math.prod(shape) * bits_of(dtype) // 8)


def from_bytes(content, dtype, shape):
    """Return the array of a tensor that is stored as bytes; values of fewer bits follow each other from the lowest bit.

    >>> from_bytes(bytes([0x21, 0x0F]), "int4", (3,))
    array([ 1,  2, -1], dtype=int8)

    Raises:
        ValueError: more or fewer bytes than the tensor takes, or a type that is not of numbers.
    """
    if dtype not in NUMPY or len(content) != size_bytes_of(dtype, shape):
        raise ValueError(f"{len(content)} bytes for {dtype} of shape {tuple(shape)}")
    bits = bits_of(dtype)
    if bits >= 8:
        return np.frombuffer(content, NUMPY[dtype]).reshape(shape)
    rows = np.unpackbits(np.frombuffer(content, np.uint8), count=bits * math.prod(shape), bitorder="little")
    values = np.packbits(rows.reshape(-1, bits), axis=-1, bitorder="little").astype(NUMPY[dtype]).reshape(shape)
    if dtype.startswith("u"):
        return values
    sign = np.int8(1 << (bits - 1))
    return (values ^ sign) - sign
