"""Train any model with any attention on any tfds set or folder of images.

python training/train.py --output-dir runs/digits
python training/train.py --dataset photos/ --attention separable --image-size 128 --output-dir runs/photos
python training/train.py --recipe mobilevitv2_in1k --width 1.0 --data-dir tfds/ --strategy mirrored --auto-resume
python training/train.py --teacher timm/mobilevitv2_200.cvnets_in1k --distillation hard --dataset imagenet2012
python training/train.py --resume runs/digits
python training/train.py --resume runs/digits --epochs 40

Exit code 0: trained; 2: bad input; 3: the loss or a gradient was not finite; 130: Ctrl-C; 143: SIGTERM. After the last
three --resume goes on; before 130 and 143 a checkpoint was saved, so a machine that is taken back loses no step.
A multi-worker run of which another worker is lost starts itself again from the newest checkpoint, and waits for it.
"""

import argparse
import contextlib
import dataclasses
import os
import signal
import sys
from pathlib import Path
from typing import Literal

import rich.table
import rich.text

from keras_mobattn import cli
from keras_mobattn.catalog import TASKS
from keras_mobattn.errors import InputError
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.settings import in_form_of
from keras_mobattn.training import (
    RECIPES,
    Diverged,
    Execution,
    Stopped,
    TrainSettings,
    WorkerLost,
    recipe_settings,
    train,
)

DIVERGED = 3  # exit code


def preset(arguments):
    """What the flags start from: the settings of the run of --resume, of --recipe for --width and --variant, or the
    defaults."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--recipe", choices=RECIPES)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--variant")
    parser.add_argument("--resume")
    try:
        known, _ = parser.parse_known_args(arguments)
    except argparse.ArgumentError:  # tyro says what is wrong with it
        return TrainSettings()
    if known.resume and not known.recipe:
        with contextlib.suppress(InputError):  # main says it again
            return RunFolder(known.resume).settings
    known.width = known.width if known.width > 0 else 1.0  # the error for the width is TrainSettings'
    return recipe_settings(known.recipe, known.width, known.variant) if known.recipe else TrainSettings()


def command(default):
    """The command whose settings are `default` but for the flags that are given."""

    def main(
        settings: TrainSettings = default,
        execution: Execution = Execution(),  # noqa: B008  frozen
        recipe: Literal[tuple(RECIPES)] | None = None,
        output_dir: Path | None = None,
        resume: Path | None = None,
        auto_resume: bool = False,
        print_settings: bool = False,
    ) -> int:
        """Train a model with Keras `fit`; one folder holds everything that comes of it.

        Args:
            settings: How to train.
            execution: Where to compute and what to keep; may change when a run is resumed.
            recipe: A paper's settings by name; other flags override them one by one.
            output_dir: The folder of the run; default runs/RECIPE, or runs/DATASET-ATTENTION.
            resume: The folder of an earlier run, to go on after its newest checkpoint with its settings; --epochs may
                be more than before. With other settings start a new run from its weights: --weights RUN/model.keras.
            auto_resume: Go on where the folder has this run already, start it where not: one command for both.
            print_settings: Print the settings and leave.
        """
        if resume is not None and (output_dir or auto_resume or recipe):
            raise InputError(
                "Expected --resume without --output-dir, --auto-resume and --recipe, since it goes on with its run. "
                "Received: one of them beside it. Leave it out."
            )
        name = recipe or f"{Path(settings.dataset).name}-{settings.attention}"
        folder = resume or output_dir or Path("runs") / name
        if resume:
            given = {name: value for name, value in vars(settings).items() if value != getattr(default, name)}
            settings = dataclasses.replace(RunFolder(resume).settings, **given)
        if print_settings:
            cli.console.print(settings_table(settings, recipe))
            return 0
        goes_on = resume is not None or (auto_resume and has_run(settings, folder))
        return train_and_tell(settings, folder, goes_on, execution)

    return main


def train_and_tell(settings, folder, resume, execution):
    """Train, and say how it ended. Returns the exit code."""
    try:
        result = train(settings, folder, resume, execution)
    except Diverged as error:
        return cli.complain(str(error), DIVERGED)
    except WorkerLost as error:
        cli.console.print(f"{error} Starting again from the newest checkpoint.", soft_wrap=True, markup=False)
        restart()
    except Stopped as stopped:
        cli.console.print(f"\nStopped; saved as {stopped.path}. Go on with --resume {folder}", soft_wrap=True)
        if stopped.number == signal.SIGINT:
            raise KeyboardInterrupt from stopped
        return 128 + stopped.number  # as the shell reports it, and TensorFlow's preemption handler
    cli.console.print(ending(settings, result, folder), soft_wrap=True)
    return 0


def ending(settings, result, folder):
    """What the run came to, in a line."""
    task, count = TASKS[settings.task], result["num_examples"]
    best = task.last_words(result | {f"test_{task.best}": result[f"best_test_{task.best}"]})
    best = best[:1].lower() + best[1:]
    picked = (
        f"The epoch that did best on these same images, which flatters it, is best.keras: {best}."
        if result["best_picked_on"] == "test"
        else f"The epoch that did best on {count['validation']} validation images is best.keras: {best} here."
    )
    taught = f", taught by {result['teacher']}" if result["teacher"] else ""
    return (
        f"{task.last_words(result)} on {count['test']} test images after {result['epochs']} epochs{taught}, "
        f"{result['seconds']:.0f} s. {picked} Everything is in {folder}"
    )


def restart():
    """Become a new process that does the same: TensorFlow can't join a cluster twice in one."""
    again = [] if {"--auto-resume", "--resume"} & set(sys.argv) else ["--auto-resume"]
    os.execv(sys.executable, [*sys.orig_argv, *again])


def has_run(settings, folder):
    """Whether the folder has a run of these settings.

    Raises:
        InputError: it has one of others.
    """
    if not RunFolder(folder).is_run:
        return False
    earlier = RunFolder(folder).settings
    settings = in_form_of(settings, earlier)
    names = [name for name in vars(settings) if getattr(settings, name) != getattr(earlier, name)]
    if names:
        listed = ", ".join(f"{name}={getattr(settings, name)!r} (was {getattr(earlier, name)!r})" for name in names)
        raise InputError(
            f"Expected the settings of the run in {folder}. Received: {listed}. Take another --output-dir."
        )
    return True


def settings_table(settings, recipe):
    """Every setting; those that differ from the defaults are bold."""
    table = rich.table.Table("setting", "value", title=recipe or "settings")
    for name, value in vars(settings).items():
        table.add_row(rich.text.Text(name, "" if value == getattr(TrainSettings(), name) else "bold"), repr(value))
    return table


main = command(TrainSettings())  # without --recipe


def run():
    """Run it with the flags of the command line, which start from the settings of --recipe."""
    cli.run(command(preset(sys.argv[1:])))
