"""Tiny models of every style in Core ML: the most operations and reshapes that they may have, and their tolerances.

The test-size models have one attention unit in each of three blocks; full ones have nine, of the same operations.
"""

import csv
import dataclasses

import keras_mobattn
from helpers import FIXTURES
from helpers.cases import FAMILIES
from keras_mobattn import export

TABLE = FIXTURES / "coreml_operations.csv"  # in fp16, casts of input and output included


def read_table():
    """{(model, attention): {"operations": the most, "reshapes": the most}}."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {(row.pop("model"), row.pop("attention")): {name: int(most) for name, most in row.items()} for row in rows}


def write_table(table):
    """Write what `read_table` returns."""
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["model", "attention", *next(iter(table.values()))])
        writer.writerows([*case, *most.values()] for case, most in table.items())


MOST = read_table()

# Random weights are harder than trained ones (figures in export/tflite): what the shipped tolerances may refuse here
# is held to these instead. All other cases pass as they are.
FP16 = export.COREML_PRECISIONS["fp16"].tolerance
TOLERANCES = {
    # Classes are nearly equal: an error of 6e-4 changes the top-1 of one image in eight.
    **{(*case, "fp16"): dataclasses.replace(FP16, min_agreement=0.0) for case in MOST},
    # .41, and Keras itself moves by .26 when its weights are rounded to float16: a seventh of the divisors are relu
    # sums near the 1e-5 that is added to them, below float16's smallest normal number. Refused, rightly, as shipped.
    **{(family, "relu_linear", "fp16"): export.Tolerance(1.0) for family in FAMILIES},
    # 8e-5 and 3.7e-5; the smallest damage in test_evaluator.py makes 2e-3
    **{
        (family, attention, "fp32"): export.Tolerance(2e-4)
        for family in FAMILIES
        for attention in ("focused", "relu_linear")
    },
    # .01 to .02 of probabilities spread over .2 to .4
    **{(family, "focused", "fp16"): export.Tolerance(0.2) for family in FAMILIES},
}


def size_of(attention):
    """64 x 64 pixels; for xca 128 x 128. At 64 a MobileViT's last stage has one token, and xca divides each channel by
    its norm over the tokens, so by itself. That leaves its sign, which Keras itself changes when weights are rounded to
    float16 (.095 of the spread for MobileViT; at 128 pixels .004)."""
    return (128, 128) if attention == "xca" else (64, 64)


def build(family, attention, size):
    """A test-size model with random weights."""
    model = getattr(keras_mobattn, family)(variant="test", attention=attention, input_shape=(*size, 3), classes=10)
    return keras_mobattn.randomize_weights(model)


def convert(family, attention, path, **options):
    """Write the model's fp16 package at `size_of` its style to `path`."""
    model = build(family, attention, size_of(attention))
    export.to_coreml(model, path, tolerance=TOLERANCES.get((family, attention, "fp16")), **options)


def counts_of(described):
    """The figures that the table bounds, of a CoreMLDescription."""
    return {"operations": sum(described.operators.values()), "reshapes": described.reshapes}
