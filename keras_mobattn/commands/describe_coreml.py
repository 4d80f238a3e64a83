"""Say what .mlpackage folders hold, what speaks against the Neural Engine, and on a Mac where operations would run.

    python coreml/describe.py model.mlpackage
    python coreml/describe.py runs/digits/*.mlpackage --require ane --json described.json --plot described.png

Exit code 0: every package has all that `--require` names; 1: one has not; 2: bad input.
"""

from pathlib import Path
from typing import Annotated, Literal

import rich.console
import tyro

from keras_mobattn import cli, report
from keras_mobattn.describe import DEVICES, describe_coreml, print_coreml
from keras_mobattn.errors import InputError
from keras_mobattn.files import read_mlprogram, replacing, write_json


def main(
    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE...", help_behavior_hint="")],
    require: tuple[Literal["ane"], ...] = (),
    plan: bool = True,
    json: Path | None = None,
    plot: Path | None = None,
):
    """Describe Core ML packages, for people and for CI.

    Args:
        files: .mlpackage folders.
        require: what makes the exit code 1 when a package lacks it: ane (the Neural Engine could run every operation,
            by Core ML's compute plan on a Mac, by rules elsewhere).
        plan: on a Mac, ask Core ML where it would run each operation; it compiles the model for that.
        json: write everything to this file as well.
        plot: write bars to this .png: of the estimated cost by operator and device, or without a plan of the number
            of operators. With several packages, one each: NAME_STEM.png.
    """
    if not files:
        raise InputError("Expected at least one .mlpackage folder. Received: none.")
    if plot and plot.suffix != ".png":
        raise InputError(f"Expected a .png file as --plot. Received: {str(plot)!r}.")
    for path in files:  # better to fail now than after half a minute
        read_mlprogram(path)
    descriptions = []
    for path in files:
        with rich.console.Console(stderr=True).status(f"Reading {path.name}"):
            descriptions.append(describe_coreml(path, plan=plan))
        print_coreml(descriptions[-1], cli.console)
    if json:
        write_json(json, [description.as_dict() for description in descriptions])
    if plot:
        for picture, description in zip(_pictures(plot, files), descriptions, strict=True):
            _write_plot(picture, description)
    passed = {"ane": lambda description: description.neural_engine.passed}
    return int(not all(passed[name](description) for description in descriptions for name in require))


def _pictures(plot, files):
    """A path for each package: `plot` itself for a single one; of the same stem the second is -2."""
    if len(files) == 1:
        return [plot]
    stems = [path.stem for path in files]
    numbers = [stems[: index + 1].count(stem) for index, stem in enumerate(stems)]
    names = [stem if number == 1 else f"{stem}-{number}" for stem, number in zip(stems, numbers, strict=True)]
    return [plot.with_stem(f"{plot.stem}_{name}") for name in names]


def _write_plot(path, description):
    costs = description.neural_engine.plan.cost_by_operator
    if costs:
        percent = {kind: {device: 100 * cost for device, cost in costs[kind].items()} for kind in costs}
        png = report.operator_bars(percent, "estimated cost in %, by Core ML's compute plan", DEVICES, format="png")
    else:
        counts = {kind: {"operators": count} for kind, count in description.operators.items()}
        png = report.operator_bars(counts, "operators", format="png")
    with replacing(path) as beside:
        beside.write_bytes(png)
    cli.console.print(f"Written: {path}", markup=False, highlight=False, soft_wrap=True)


def run():
    """Run it with the flags of the command line."""
    cli.run(main)
