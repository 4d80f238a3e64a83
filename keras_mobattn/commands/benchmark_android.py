"""Time .tflite files on an Android phone over adb: table on the screen, benchmark.json and benchmark.csv in a folder.

    mobattn benchmark --device android model.tflite other.tflite --delegates xnnpack gpu --num-threads 1 2 4

Runs TensorFlow Lite's own benchmark_model on the phone. The rows are those of other devices: `mobattn report` puts
them together. Lists may be given with blanks or commas.

Exit code 0: every row was measured; 1: some failed (the table says why, the others are kept); 2: bad input, no phone;
130: Ctrl-C.
"""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from keras_mobattn import cli
from keras_mobattn.catalog import ANDROID_FOLDER
from keras_mobattn.commands.exported import exported_files
from keras_mobattn.commands.measured import time_and_show
from keras_mobattn.errors import InputError
from keras_mobattn.formats.kinds import TFLITE


def main(
    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE...", help_behavior_hint="")],
    serial: str | None = None,
    delegates: Annotated[tuple[str, ...], tyro.conf.arg(metavar="{xnnpack,gpu,cpu}...")] = ("xnnpack",),
    num_threads: Annotated[tuple[str, ...], tyro.conf.arg(aliases=("--threads",), metavar="INT...")] = ("1",),
    gpu_precision: Literal["fp16", "fp32"] = "fp16",
    require_full_delegation: bool = False,
    profile: bool = False,
    cool_down: float = 5.0,
    num_runs: int = 50,
    warmup_runs: int = 1,
    warmup_min_secs: float = 0.5,
    min_secs: float = 1.0,
    max_secs: float = 150.0,
    benchmark_model: Path | None = None,
    device_dir: str = ANDROID_FOLDER,
    output_dir: Path = Path("runs/benchmark_android"),
):
    """Time .tflite files on an Android phone with TensorFlow Lite's benchmark_model.

    Args:
        files: .tflite files, or the folders of runs with such files.
        serial: of the phone, as `adb devices` lists it; needed when there are several.
        delegates: xnnpack, gpu, cpu (the runtime's own kernels, without a delegate), or several of them.
        num_threads: one or several, e.g. 1 2 4. The GPU is timed once, with the first.
        gpu_precision: fp16 sets gpu_precision_loss_allowed, as apps do.
        require_full_delegation: a row fails when its delegate did not take every operator.
        profile: show the operators that take longest, from runs of their own.
        cool_down: seconds without work before every row but the first.
        num_runs: fewest inferences of a row.
        warmup_runs: fewest inferences before them.
        warmup_min_secs: fewest seconds of warm-up.
        min_secs: fewest seconds of a row.
        max_secs: most seconds of a row, and of its warm-up.
        benchmark_model: the tool, built for the phone. Default: the official build, downloaded once.
        device_dir: folder on the phone in which a folder of ours is made, and removed in the end.
        output_dir: folder for benchmark.json and benchmark.csv.
    """
    from keras_mobattn import benchmark

    files = exported_files(files, (TFLITE,))

    def time():
        return benchmark.benchmark_android(
            files,
            serial=serial,
            delegates=_split(delegates),
            num_threads=_integers(_split(num_threads)),
            gpu_precision=gpu_precision,
            require_full_delegation=require_full_delegation,
            profile=profile,
            cool_down=cool_down,
            num_runs=num_runs,
            warmup_runs=warmup_runs,
            warmup_min_secs=warmup_min_secs,
            min_secs=min_secs,
            max_secs=max_secs,
            benchmark_model=benchmark_model,
            device_dir=device_dir,
        )

    def show(rows):
        benchmark.present(rows, output_dir, cli.console)
        if profile:
            benchmark.print_op_profiles(rows, cli.console)

    return time_and_show(time, show, output_dir)


def _split(words):
    return tuple(part for word in words for part in word.split(",") if part)


def _integers(words):
    try:
        return tuple(map(int, words))
    except ValueError:
        raise InputError(f"Expected whole numbers of threads, e.g. 1 2 4. Received: {' '.join(words)!r}.") from None


def run():
    """Run it with the flags of the command line."""
    cli.run(main)
