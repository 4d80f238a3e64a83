"""Print what each family and style holds of what is on record for one device: a table of docs/measurements.md.

    cd tests && python -m helpers.one_device

Float32 files of random weights, 256 pixels. How many operators each of the record's rules that are not firm finds, of
the target that is a phone's GPU; a rule that finds none in any file has no column.
"""

from collections import Counter

from helpers.cases import STYLES
from helpers.half_headroom import converted, full_size
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
    with converted(model) as (path, _):
        findings = record_findings(read_contents(path))
    return Counter(f"{each.reason} ({each.operator})" for each in findings if counts_here(each))


def counts_here(finding):
    return finding.target == "gpu" and finding.firmness != FIRM


if __name__ == "__main__":
    main()
