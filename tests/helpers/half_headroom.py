"""Print what half precision does to each family and style: the table of docs/measurements.md.

    cd tests && python -m helpers.half_headroom [--only MobileViTv2/mobile ...] [--images 4]

Random weights, 256 pixels, the package's photographs. A row for each model: the least headroom of a stored value and
of a running sum, with the operator, and the error at the output in the modes "stored" and "reductions", as a share of
the outputs' spread.
"""

import argparse
import math
import tempfile
from pathlib import Path

import numpy as np

import keras_mobattn
from helpers.cases import RECORDS, STYLES
from keras_mobattn import export
from keras_mobattn.data import sample_photos
from keras_mobattn.half import HALF_MAX, evaluate_half

SIDE = 256
VARIANTS = {"MobileViTv2": {"width": 1.0}, "MobileViT": {"variant": "s"}, "DeiT": {"variant": "tiny"},
            "PVTv2": {"variant": "b0"}, "EfficientFormerV2": {"variant": "s0"}}  # fmt: skip


def main():
    """Print a row for each model as it is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="FAMILY/STYLE, several")
    parser.add_argument("--images", type=int, default=1)
    given = parser.parse_args()
    images = sample_photos(given.images, (SIDE, SIDE), seed=0).astype(np.float32)
    print("| model | stored values | running sums | error, stored | error, reductions |\n|---|---|---|---|---|")
    for family, style in STYLES:
        if given.only and f"{family}/{style}" not in given.only:
            continue
        model = RECORDS[family].build(attention=style, input_shape=(SIDE, SIDE, 3), **VARIANTS[family])
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.tflite"
            source = export.load(keras_mobattn.randomize_weights(model, 1))
            export.to_tflite(source, path, check_images=images, tolerance=export.Tolerance(1e9))
            reports = [evaluate_half(path, image[None], mode) for image in images for mode in ("stored", "reductions")]
        print(f"| {family}, {style} | {' | '.join(cells(reports))} |", flush=True)


def cells(reports):
    """The columns of a row."""
    tensors = [tensor for report in reports for tensor in report.tensors if tensor.operator]
    for reached in (lambda t: t.largest, lambda t: t.running_sum or 0.0):
        worst = max(tensors, key=reached)
        yield f"{HALF_MAX / reached(worst):.3g} ({worst.operator} {worst.name.rsplit('/', 2)[-2:]})"
    for mode in ("stored", "reductions"):
        yield f"{max(map(output_error, (report for report in reports if report.mode == mode))):.1e}"


def output_error(report):
    """The largest difference of an output as a share of its spread; infinite for infinity and NaN."""
    errors = []
    for name, expected in report.expected.items():
        error = float(np.abs(report.outputs[name] - expected).max() / np.ptp(expected))
        errors.append(math.inf if math.isnan(error) else error)
    return max(errors)


if __name__ == "__main__":
    main()
