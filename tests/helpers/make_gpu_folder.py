"""Make the folder that tests/on_a_gpu.py runs on a machine with a GPU.

    .venv/bin/python tests/helpers/make_gpu_folder.py FOLDER          # test-size models at 64 pixels, operators: 4 MB
    .venv/bin/python tests/helpers/make_gpu_folder.py FOLDER --full   # the smallest published sizes at 256: 140 MB

Beside each NAME.tflite it writes NAME.npz: "in/NUMBER/INPUT" and "out/NUMBER/OUTPUT", of which the interpreter made the
outputs in float32 on the CPU, and "limit/fp32" and "limit/fp16", the largest error allowed as a share of the outputs'
spread. The last is FACTOR times what the evaluator expects (keras_mobattn/half), and at least FACTOR units of float16's
last place: another order of sums and another rounding have errors of the same size.
"""

import argparse
import re
import sys
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from ai_edge_litert.interpreter import Interpreter

from helpers.cases import FAMILIES, TWO_STYLES, tiny_model
from helpers.half_agreement import REFUSED, WRONG
from helpers.half_cases import CASES, SHAPES, names_of, tensors, write_cases
from helpers.half_headroom import full_size
from keras_mobattn import export
from keras_mobattn.data import sample_photos
from keras_mobattn.half import evaluate_half

FACTOR = 4
LIMIT_FP32 = 1e-4
MODES = ("stored", "reductions", "products")
LEFT_OUT = {*REFUSED, *WRONG, "QUANTIZE"}  # of the last, ties are a step of 1/64 either way
SMALLEST = {"MobileViTv2": {"width": 0.5}, "MobileViT": {"variant": "xxs"}}  # where that is not full_size's own


def make(folder, operators=CASES, families=FAMILIES, full=False):
    """Write files for these operators and families into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, case in operators.items():
        if name not in LEFT_OUT:
            inputs = {each: tensors()[each] for each in names_of(case[0])}
            path = folder / f"operator_{re.sub(r'[^A-Za-z0-9]', '_', name)}.tflite"
            write_expected(write_cases(path, {name: case}, {each: SHAPES[each] for each in inputs}), [inputs])
    for family in families:
        for style in TWO_STYLES[family]:
            write_model(folder / f"test_{family}_{style}.tflite", tiny_model(family, style), 64)
            if full:
                model = full_size(family, style, **SMALLEST.get(family, {}))
                write_model(folder / f"full_{family}_{style}.tflite", model, 256, MODES[:2])


def write_model(path, model, side, modes=MODES):
    """Convert a model, and write what is expected of two photographs."""
    images = sample_photos(2, (side, side)).astype(np.float32)
    export.to_tflite(model, path, check_images=images, tolerance=export.Tolerance(1e-3))
    write_expected(path, [{"image": image[None]} for image in images], modes)


def write_expected(path, inputs, modes=MODES):
    """Write PATH's .npz."""
    run = Interpreter(str(path)).get_signature_runner()
    outputs = [run(**given) for given in inputs]
    expected = max(half_error(path, inputs, outputs, mode) for mode in modes)
    arrays = {"limit/fp32": LIMIT_FP32, "limit/fp16": FACTOR * expected}
    for number, (given, found) in enumerate(zip(inputs, outputs, strict=True)):
        arrays |= {f"in/{number}/{name}": value for name, value in given.items()}
        arrays |= {f"out/{number}/{name}": value for name, value in found.items()}
    np.savez(path.with_suffix(".npz"), **arrays)


def half_error(path, inputs, outputs, mode):
    """The largest error of the evaluator's half precision, and at least a unit, as a share of the outputs' spread."""
    received = [evaluate_half(path, given, mode).outputs for given in inputs]
    worst = 0.0
    for name in outputs[0]:
        wanted, got = (np.stack([each[name] for each in found]).astype(np.float64) for found in (outputs, received))
        unit = float(np.spacing(np.abs(wanted).max().astype(np.float16)))
        worst = max(worst, max(np.abs(got - wanted).max(), unit) / (np.ptp(wanted) or 1.0))
    return worst


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--full", action="store_true", help="the smallest published sizes at 256 pixels too")
    given = parser.parse_args()
    make(given.folder, full=given.full)
