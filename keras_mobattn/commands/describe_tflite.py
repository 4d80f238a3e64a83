"""Say what .tflite files hold, what XNNPACK takes of them, and whether a GPU runs them.

    python tflite/describe.py model.tflite
    python tflite/describe.py runs/digits/*.tflite --require xnnpack gpu --json described.json

Exit code 0: every file has all that `--require` names; 1: one has not; 2: bad input.
"""

from pathlib import Path
from typing import Annotated, Literal

import rich.console
import tyro

from keras_mobattn import cli
from keras_mobattn.describe import describe_tflite, print_tflite
from keras_mobattn.errors import InputError
from keras_mobattn.files import read_tflite, write_json


def main(
    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE...", help_behavior_hint="")],
    require: tuple[Literal["xnnpack", "gpu"], ...] = ("xnnpack",),
    gpu: bool = True,
    json: Path | None = None,
):
    """Describe .tflite files, for people and for CI.

    Args:
        files: .tflite files.
        require: what makes the exit code 1 when a file lacks it: xnnpack (one partition, nothing left over), gpu (runs
            there alone with the CPU's numbers; by rules alone where the accelerator doesn't run), or both.
        gpu: run the files on the GPU accelerator where there is one; SwiftShader counts (`make gpu`).
        json: write everything to this file as well.
    """
    if not files:
        raise InputError("Expected at least one .tflite file. Received: none.")
    for path in files:  # better to fail now than after half a minute
        read_tflite(path)
    descriptions = []
    for path in files:
        with rich.console.Console(stderr=True).status(f"Running {path.name}"):  # a large file takes half a minute
            descriptions.append(describe_tflite(path, execute_on_gpu=gpu))
        print_tflite(descriptions[-1], cli.console)
    if json:
        write_json(json, [description.as_dict() for description in descriptions])
    return int(not all(getattr(description, name).passed for description in descriptions for name in require))


def run():
    """Run it with the flags of the command line."""
    cli.run(main)
