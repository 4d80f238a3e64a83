"""Convert MobileViTv2 1.0 again and again in this process, and print its resident memory after each conversion.

    python tests/helpers/converted_again.py .tflite [--fresh] [--kinds fp32 int8]

--fresh builds a model for each conversion and drops it. --kinds are taken in turn: precisions of to_tflite, input types
of to_coreml (in fp16).
"""

import argparse
import gc
import sys
import tempfile
import time
from pathlib import Path

import psutil

CONVERSIONS = 30
KINDS = {".tflite": ["fp32", "int8"], ".mlpackage": ["tensor", "image"]}


def main(suffix, fresh, kinds, conversions):
    import keras_mobattn
    from keras_mobattn import export
    from keras_mobattn.data import sample_photos

    def build():
        return keras_mobattn.randomize_weights(keras_mobattn.MobileViTv2())

    model, first = None if fresh else build(), None
    with tempfile.TemporaryDirectory() as folder:
        for index in range(conversions):
            kind, start, path = kinds[index % len(kinds)], time.perf_counter(), Path(folder) / f"model{suffix}"
            given = build() if fresh else model
            if suffix == ".tflite":
                photos = sample_photos(8, (256, 256), seed=1) if kind == "int8" else None
                export.to_tflite(given, path, kind, photos, tolerance=export.Tolerance(9.0))  # random weights
            else:
                export.to_coreml(given, path, input_type=kind)
            del given
            gc.collect()
            resident = psutil.Process().memory_info().rss / 1e6
            first = first or resident
            took = time.perf_counter() - start
            print(f"{index + 1:2} {kind:6} {took:5.1f} s {resident:6.0f} MB, {resident - first:.0f} MB above the first")
            sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suffix", choices=KINDS)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--kinds", nargs="+")
    parser.add_argument("--conversions", type=int, default=CONVERSIONS)
    flags = parser.parse_args()
    main(flags.suffix, flags.fresh, flags.kinds or KINDS[flags.suffix], flags.conversions)
