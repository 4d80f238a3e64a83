"""Command lines made at random, of every command of mobattn: each does its work, or is refused in a sentence.

python tests/helpers/fuzz_arguments.py --cases 300 --seed 1

Flags are those of the command's --help, some misspelt; values are good ones (a run, its files, photographs, small
numbers) and those that people mistype: nothing, words for numbers, negative and endless ones, paths that are not
there or of another kind. What takes minutes whatever it is given (demo, models) is given something wrong. Ends with
the seed of the first case that leaves a traceback, or an exit code that no command has.
"""

import argparse
import contextlib
import io
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from keras_mobattn import __main__ as program, cli
from keras_mobattn.catalog import COMMANDS

LONG = ("demo", "models")  # commands that take minutes, whatever they are given
QUICK = {  # command -> flags that keep it short; a later flag of the same name counts
    "train": ("--variant", "test", "--width", "0.25", "--image-size", "32", "--epochs", "1", "--weights", "None"),
    "benchmark": ("--num-runs", "1", "--min-secs", "0", "--rounds", "1", "--warmup-runs", "0"),
    "export": ("--num-test-images", "4", "--formats", "tflite-fp32"),
}
CODES = {0, 1, 2, 3}
WRONG = ("", "x", "-1", "0", "nan", "inf", "1e99", "None", "True", "--", "é", "a b", "[1]", "nowhere", "/", "~", "\0")


def make_files(folder):
    """A folder of photographs, a run on it and its files: the values that may be right."""
    from keras_mobattn import export
    from keras_mobattn.settings import TrainSettings
    from keras_mobattn.training import train

    photos, rng = folder / "photos", np.random.default_rng(0)
    for name in ("cat", "dog"):
        (photos / name).mkdir(parents=True)
        for i in range(6):
            Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(photos / name / f"{i}.png")
    settings = TrainSettings(
        dataset=str(photos), variant="test", width=0.25, image_size=32, epochs=1, batch_size=4, augment="none"
    )
    train(settings, folder / "run", progress=False)
    source = export.load(folder / "run" / "model.keras")
    anything = export.Tolerance(float("inf"), max_probability_error=float("inf"))
    export.to_tflite(source, folder / "run" / "model.tflite", tolerance=anything)
    export.to_coreml(source, folder / "run" / "model.mlpackage", "fp32", tolerance=anything)
    files = ("photos", "run", "run/model.keras", "run/model.tflite", "run/model.mlpackage", "photos/cat/0.png")
    return [str(folder / name) for name in files]


def draw(rng, files, work):
    """The words of a command line."""
    name = rng.choice(list(COMMANDS))
    module = program.importlib.import_module(COMMANDS[name])
    options = sorted(cli._options_of(module.main))
    values = [*files, *WRONG, "1", "2", "0.5", "test", "cat", "mobile", str(work / "new"), str(work / "new.png")]
    words = [name, *QUICK.get(name, ())]
    if rng.random() < 0.7:
        words.insert(1, str(rng.choice([*files, *files, *WRONG])))
    for _ in range(rng.integers(0, 4)):
        flag = str(rng.choice(options))
        if flag == "--auto-resume" or (rng.random() < 0.1):
            flag = flag[:-1]
        words += [flag, *map(str, rng.choice(values, rng.integers(0, 3)))]
    if name in LONG:
        words += ["--nothing", "of this"]
    return words


def call(words):
    """The exit code of `mobattn` with these words, and what it printed."""
    printed, before = io.StringIO(), sys.argv
    sys.argv = ["mobattn", *words]
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            program.main()
    except SystemExit as stop:
        return stop.code, printed.getvalue()
    finally:
        sys.argv = before
    return 0, printed.getvalue()


def _try(case, files, work, say):
    """The exit code of a case; raises what it left a traceback of."""
    words = draw(np.random.default_rng(case), files, work)
    line = f"Seed {case}: mobattn {' '.join(map(repr, words))}"
    try:
        code, printed = call(words)
    except BaseException:  # whatever it is, Ctrl-C too: which case it was is worth knowing
        say(line)
        raise
    if code not in CODES or "Traceback" in printed:
        raise AssertionError(f"{line} gave {code}: {printed}")
    say(f"{line}: {code}")
    return code


def run(seed, cases, say):
    """Try so many; returns {exit code: how many}."""
    ends, home = dict.fromkeys(sorted(CODES), 0), Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        files = make_files(Path(folder))
        try:
            for case in range(seed, seed + cases):
                work = Path(folder) / f"work{case}"
                work.mkdir()
                os.chdir(work)
                ends[_try(case, files, work, say)] += 1
        finally:
            os.chdir(home)
    return ends


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1000)
    arguments = parser.parse_args()
    print(run(arguments.seed, arguments.cases, print))
