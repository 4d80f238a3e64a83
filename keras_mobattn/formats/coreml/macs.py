"""Multiply-accumulates of MIL's operations, from the shapes that the program declares."""

import collections
import math


def _product(value):
    return math.prod(value.shape)


def _conv(operation):
    """A weight is [out, in / groups, height, width]."""
    return _product(operation.results[0]) * math.prod(operation.operands["weight"][0].shape[1:])


def _conv_transpose(operation):
    """A weight is [in, out / groups, height, width]."""
    return _product(operation.operands["x"][0]) * math.prod(operation.operands["weight"][0].shape[1:])


def _linear(operation):
    return _product(operation.results[0]) * operation.operands["weight"][0].shape[-1]


def _matmul(operation):
    (x,), transposed = operation.operands["x"], operation.operands.get("transpose_x")
    return _product(operation.results[0]) * x.shape[-2 if transposed and transposed[0].constant else -1]


def _einsum(operation):
    """Every label's size once: einsum's two operands are multiplied over all of them."""
    terms = operation.operands["equation"][0].constant.split("->")[0].split(",")
    sizes = {}
    for term, value in zip(terms, operation.operands["values"], strict=True):
        sizes.update(zip(term.strip(), value.shape, strict=True))
    return math.prod(sizes.values())


def _attention(operation):
    (query,), (key,), (value,) = (operation.operands[name] for name in ("query", "key", "value"))
    return math.prod(query.shape[:-1]) * key.shape[-2] * (query.shape[-1] + value.shape[-1])


# Operation -> MACs. The same operators as models.count_macs and benchmark.count_file_macs count.
MACS = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "einsum": _einsum,
    "linear": _linear,
    "matmul": _matmul,
    "scaled_dot_product_attention": _attention,
}


def count_program_macs(program):
    """Return ({type of the output: MACs of one run}, how many operations could not be counted: a size in them is open).

    As benchmark.count_file_macs does for .tflite files: convolutions, linear layers and matrix products count, whatever
    their weights are stored in.
    """
    counts, uncounted = collections.Counter(), 0
    for operation in program.operations:
        if operation.kind in MACS:
            if _is_open(operation):
                uncounted += 1
            else:
                counts[operation.results[0].dtype] += MACS[operation.kind](operation)
    return dict(counts), uncounted


def _is_open(operation):
    values = [*operation.results, *(value for bound in operation.operands.values() for value in bound)]
    return any(-1 in (value.shape or ()) for value in values)
