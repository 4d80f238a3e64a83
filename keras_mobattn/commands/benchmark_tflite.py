"""Time .tflite files on this machine: table on the screen, benchmark.json and benchmark.csv in the output folder.

    mobattn benchmark model.tflite other.tflite --num-threads 1 2 --backend xnnpack gpu

Exit code 0: every row was measured; 1: some failed (the table says why, the others are kept); 130: Ctrl-C.
"""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from keras_mobattn import cli
from keras_mobattn.catalog import BACKENDS
from keras_mobattn.commands.exported import exported_files
from keras_mobattn.commands.measured import time_and_show
from keras_mobattn.formats.kinds import TFLITE


def main(
    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE...", help_behavior_hint="")],
    num_threads: tuple[int, ...] = (1,),
    backend: tuple[Literal[tuple(BACKENDS)], ...] = ("xnnpack",),
    num_runs: int = 50,
    warmup_runs: int = 5,
    min_secs: float = 0.5,
    max_secs: float = 30.0,
    rounds: int = 3,
    seed: int = 0,
    roofline: bool = False,
    output_dir: Path = Path("runs/benchmark"),
):
    """Time .tflite files on this machine, going round them so that the ratios hold on a busy machine.

    Args:
        files: .tflite files, or the folders of runs with such files.
        num_threads: one or several, e.g. 1 2 4.
        backend: xnnpack, builtin (the runtime's own CPU kernels), gpu, gpu-fp16 (the GPU accelerator), or several.
        num_runs: fewest inferences of a row.
        warmup_runs: inferences before them, in each round.
        min_secs: fewest seconds of a row.
        max_secs: most seconds of a row.
        rounds: how often to go round all configurations; a row's samples are pooled.
        seed: of the random inputs.
        roofline: time 1x1 convolutions alone as well, and show each file's share of what they reach.
        output_dir: folder for benchmark.json (with raw samples) and benchmark.csv.
    """
    from keras_mobattn import benchmark

    files = exported_files(files, (TFLITE,))

    def time():
        rooflines = benchmark.roofline_files(files, output_dir) if roofline else ()
        return benchmark.benchmark_files(
            (*files, *rooflines),
            num_threads=num_threads,
            backends=backend,
            rounds=rounds,
            warmup_runs=warmup_runs,
            num_runs=num_runs,
            min_secs=min_secs,
            max_secs=max_secs,
            seed=seed,
        )

    def show(rows):
        benchmark.present(benchmark.with_roofline(rows) if roofline else rows, output_dir, cli.console)

    return time_and_show(time, show, output_dir)


def run():
    """Run it with the flags of the command line."""
    cli.run(main)
