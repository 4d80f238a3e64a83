"""Time .mlpackage folders on this Mac or an iPhone on its USB port: table on the screen, JSON and CSV in a folder.

    mobattn benchmark --device mac model.mlpackage other.mlpackage --units all cpu cpu-gpu cpu-ane
    mobattn benchmark --device mac model.mlpackage --units all cpu-ane --compare my_mac.json
    mobattn benchmark --device iphone model.mlpackage --development-team ABCDE12345

By coremltools' MLModelBenchmarker. The rows are those of other devices: `mobattn report` puts them together. An iPhone
takes packages with tensor input (`mobattn export --input-type tensor`). Outputs are not checked here: export does that.

Exit code 0: every row was measured; 1: some failed (the table says why, the others are kept); 2: bad input, no Mac, no
Xcode, no phone that can be used; 130: Ctrl-C.
"""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from keras_mobattn import cli
from keras_mobattn.catalog import COREML_DEVICES, COREML_UNITS
from keras_mobattn.commands.exported import exported_files
from keras_mobattn.commands.measured import time_and_show
from keras_mobattn.errors import InputError
from keras_mobattn.files import write_json
from keras_mobattn.formats.kinds import COREML


def main(
    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE...", help_behavior_hint="")],
    device: Literal[COREML_DEVICES] = "mac",
    units: tuple[Literal[tuple(COREML_UNITS)], ...] = ("all",),
    development_team: str | None = None,
    identifier: str | None = None,
    num_runs: int = 50,
    warmup_runs: int = 5,
    load_runs: int = 1,
    min_secs: float = 0.5,
    max_secs: float = 150.0,
    rounds: int = 3,
    cool_down: float = 1.0,
    seed: int = 0,
    output_dir: Path = Path("runs/benchmark_coreml"),
    compare: Path | None = None,
):
    """Time Core ML packages, going round them so that the ratios hold on a busy machine.

    Args:
        files: .mlpackage folders, or the folders of runs with such. A phone takes those with tensor input and output
            alone.
        device: mac (this one) or iphone (on its USB port).
        units: what Core ML may use: all, cpu, cpu-gpu, cpu-ane (CPU and Neural Engine), or several.
        development_team: ID that signs the app on the phone; default $DEVELOPMENT_TEAM.
        identifier: of the phone, as `xcrun devicectl list devices` lists it; needed when there are several.
        num_runs: fewest predictions of a row.
        warmup_runs: predictions before them, in each round.
        load_runs: loads in each round.
        min_secs: fewest seconds of a row.
        max_secs: most seconds of a row, on a phone with the transfers between predictions.
        rounds: how often to go round all configurations; a row's samples are pooled.
        cool_down: seconds without work before every measurement but the first.
        seed: of the random inputs.
        output_dir: folder for benchmark.json (with raw samples) and benchmark.csv.
        compare: on a Mac, write this .json: where Core ML puts each operation, times and numbers, beside what is on
            record of the Neural Engine. To be sent to whoever keeps the record: docs/neural_engine.md.
    """
    from keras_mobattn import benchmark

    files = exported_files(files, (COREML,))
    if compare and (device != "mac" or compare.suffix != ".json"):
        raise InputError(
            f"Expected a .json file as --compare, with --device mac. Received: {str(compare)!r}, --device {device}."
        )

    def time():
        return benchmark.benchmark_coreml(
            files,
            device=device,
            units=units,
            identifier=identifier,
            development_team=development_team,
            num_runs=num_runs,
            warmup_runs=warmup_runs,
            load_runs=load_runs,
            min_secs=min_secs,
            max_secs=max_secs,
            rounds=rounds,
            cool_down=cool_down,
            seed=seed,
        )

    def show(rows):
        benchmark.present(rows, output_dir, cli.console)
        if compare:
            _write_comparison(files, rows, compare)

    return time_and_show(time, show, output_dir)


def _write_comparison(files, rows, path):
    from keras_mobattn.studies.apple_record import compare_with_record

    with cli.console.status("Comparing with what is on record") as status:
        record = compare_with_record(files, rows, lambda file: status.update(f"Comparing {file.name} with the record"))
    write_json(path, record)
    cli.say(f"Written: {path}")


def run():
    """Run it with the flags of the command line."""
    cli.run(main)
