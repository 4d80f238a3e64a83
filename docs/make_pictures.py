"""Make the pictures of README and docs: what commands print, as SVG, and what they write, as PNG.

    python docs/make_pictures.py

It trains on images that come with the package and exports, which takes minutes. What it makes is looked at before it is
committed.
"""

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

PICTURES = Path(__file__).with_name("pictures")
COLUMNS = 110
TRAIN = "mobattn train --dataset digits --epochs 12 --output-dir runs/digits"
SCREENS = {  # name of a picture -> the command that it shows, in the order in which they run
    "train": TRAIN,
    "export": "mobattn export runs/digits",
    "describe": "mobattn describe runs/digits/model_int8.tflite",
}
FILES = {"curves.png": "runs/digits/curves.png"}  # name of a picture -> the file that a command wrote


def screen(command, folder):
    """What a command prints, as rich Text; progress bars are left out, since this is no terminal."""
    env = {**os.environ, "COLUMNS": str(COLUMNS), "TF_CPP_MIN_LOG_LEVEL": "3"}
    program = [sys.executable, "-m", "keras_mobattn", *shlex.split(command)[1:]]
    done = subprocess.run(program, cwd=folder, env=env, capture_output=True, text=True, check=True)
    return Text(done.stdout.strip("\n") + "\n")


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, command in SCREENS.items():
            print(command, flush=True)
            text = screen(command, folder)
            console = Console(record=True, width=COLUMNS, file=io.StringIO())
            console.print(Text(f"$ {command}\n", style="bold"), text)
            picture = re.sub(
                r"@font-face \{.*?\}", "", console.export_svg(title="mobattn"), flags=re.DOTALL
            )  # no downloads
            (PICTURES / f"{name}.svg").write_text(picture, encoding="utf-8")
        for name, path in FILES.items():
            shutil.copyfile(Path(folder) / path, PICTURES / name)
