"""Print what each family and style holds of what is on record for one device: a table of docs/measurements.md.

    cd tests && python -m helpers.one_device

Float32 files of random weights, 256 pixels. How many operators each of the record's rules that are not firm finds, of
the target that is a phone's GPU; a rule that finds none in any file has no column.
"""

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from helpers.cases import STYLES
from helpers.half_headroom import full_size
from keras_mobattn import export
from keras_mobattn.data import sample_photos
from keras_mobattn.describe.tflite.record import FIRM, record_findings
from keras_mobattn.formats.tflite.contents import read_contents


def main():
    """Print the rows once all are known."""
    counts = {}
    for family, style in STYLES:
        counts[f"{family}, {style}"] = found(full_size(family, style))
        print(f"{family}, {style}", end="\r", flush=True)
    rules = sorted({rule for row in counts.values() for rule in row})
    print(f"| model | {' | '.join(rules)} |\n|---|{'---|' * len(rules)}")
    for model, row in counts.items():
        print(f"| {model} | {' | '.join(str(row[rule]) for rule in rules)} |")


def found(model):
    """Counter of the constructs."""
    image = sample_photos(1, model.input_shape[1:3], seed=0).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        export.to_tflite(export.load(model), path, check_images=image, tolerance=export.Tolerance(1e9))
        findings = record_findings(read_contents(path))
    return Counter(f"{each.reason} ({each.operator})" for each in findings if counts_here(each))


def counts_here(finding):
    return finding.target == "gpu" and finding.firmness != FIRM


if __name__ == "__main__":
    main()
