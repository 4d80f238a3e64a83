"""Print what half precision does to each family and style: the table of docs/measurements.md.

    cd tests && python -m helpers.half_headroom [--only MobileViTv2/mobile ...]

Random weights, 256 pixels, a photograph of the package. A row for each model: how many times larger the stored values
and the running sums could be, with the operator of the largest, and the error at the output in the modes "stored" and
"reductions", as a share of the output's spread.
"""

import argparse
import contextlib
import tempfile
from pathlib import Path

import numpy as np
import tf_keras as keras

import keras_mobattn
from helpers.cases import RECORDS, STYLES
from keras_mobattn import export
from keras_mobattn.data import sample_photos
from keras_mobattn.describe.difference import max_error
from keras_mobattn.half import HALF_MAX, evaluate_half

SIDE = 256
SIZES = {
    "MobileViTv2": {"width": 1.0}, "MobileViT": {"variant": "s"}, "DeiT": {"variant": "tiny"},
    "PVTv2": {"variant": "b0"}, "EfficientFormerV2": {"variant": "s0"},
}  # fmt: skip
MODES = ("stored", "reductions")


def main():
    """Print a row for each model as it is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="FAMILY/STYLE, several")
    only = parser.parse_args().only
    print("| model | stored values | running sums | error, stored | error, reductions |\n|---|---|---|---|---|")
    for family, style in STYLES:
        if not only or f"{family}/{style}" in only:
            reports = reports_of(full_size(family, style), MODES)
            print(f"| {family}, {style} | {' | '.join(cells(reports))} |", flush=True)


def full_size(family, style, side=SIDE, **options):
    """A model as published, with random weights."""
    options = SIZES[family] | options
    model = RECORDS[family].build(attention=style, input_shape=(side, side, 3), **options)
    return keras_mobattn.randomize_weights(model, 1)


@contextlib.contextmanager
def converted(model):
    """Yield (the path of the model's float32 file, a photograph of its size)."""
    image = sample_photos(1, model.input_shape[1:3], seed=0).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        export.to_tflite(export.load(model), path, check_images=image, tolerance=export.Tolerance(1e9))
        yield path, image


def reports_of(model, modes):
    """A HalfReport of a photograph for each of `modes`."""
    with converted(model) as (path, image):
        return [evaluate_half(path, image, mode) for mode in modes]


def with_residual(model, least):
    """The model with its first kernel made so large, as by a brighter image, that a photograph's largest residual sum
    is `least` or up to a fifth more. It grows unevenly with the kernel: so the factor is found by bisection."""
    stem = next(layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Conv2D))
    kernel, low, high, factor = stem.kernel.numpy(), None, None, 1.0
    while not least <= (largest := largest_residual(reports_of(model, ("float32",))[0])) <= 1.2 * least:
        low, high = (factor, high) if largest < least else (low, factor)
        factor = 2 * factor if high is None else factor / 2 if low is None else (low * high) ** 0.5
        stem.kernel.assign(kernel * factor)
    return model


def largest_residual(report):
    """The largest magnitude in float32 of a sum, or of what a norm takes less its mean; its variance is none."""
    sums = (t for t in report.tensors if t.operator == "SUB" or (t.operator == "ADD" and "norm" not in t.name))
    return max(tensor.largest for tensor in sums)


def computed(report):
    """The tensors that an operator made: inputs and constants don't grow."""
    return [tensor for tensor in report.tensors if tensor.operator]


def cells(reports):
    """The columns of a row."""
    for reached in (lambda tensor: tensor.largest, lambda tensor: tensor.running_sum or 0.0):
        worst = max(computed(reports[0]), key=reached)
        yield f"{HALF_MAX / reached(worst):.3g} ({worst.operator} of {' '.join(worst.name.split('/')[1:2])})"
    yield from (f"{max_error([report.outputs], [report.expected]):.1e}" for report in reports)


if __name__ == "__main__":
    main()
