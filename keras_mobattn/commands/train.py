"""Train any model with any attention on any tfds set or folder of images.

    mobattn train photos/
    mobattn train photos/ --attention mobile --class-weights --print-settings
    mobattn train boxes/ --output-dir runs/boxes
    mobattn train pets/ --head lraspp --output-dir runs/pets
    mobattn train --output-dir runs/digits
    mobattn train --recipe mobilevitv2_in1k --width 1.0 --data-dir tfds/ --strategy mirrored --auto-resume
    mobattn train imagenet2012 --teacher timm/mobilevitv2_200.cvnets_in1k --distillation hard
    mobattn train --resume runs/photos
    mobattn train --resume runs/photos --epochs 40

Photographs, in a folder or a tfds set, get settings from what is there, see docs/your_photos.md; the defaults below are
for the embedded digits. A folder with COCO's JSON, Pascal VOC's XML or YOLO's data.yaml trains a detector, one with
masks a segmenter. Each flag that is given holds.

Exit code 0: trained; 2: bad input; 3: the loss or a gradient was not finite; 130: Ctrl-C; 143: SIGTERM. After the last
three --resume goes on; before 130 and 143 a checkpoint was saved, so a machine that is taken back loses no step.
When a worker of several is lost, the others start themselves again from the newest checkpoint, and wait for it.
"""

import argparse
import contextlib
import dataclasses
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import rich.table
import rich.text
import tyro

from keras_mobattn import cli
from keras_mobattn.catalog import EMBEDDED, OWN, RECIPES, TASKS
from keras_mobattn.errors import InputError
from keras_mobattn.families import FAMILIES
from keras_mobattn.recipes import recipe_settings
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.settings import Execution, TrainSettings, settings_to_resume

DIVERGED = 3  # exit code
TUNED = ("classification", "binary_classification")  # tasks that the defaults suit, on embedded sets


def preset(arguments):
    """The settings that the flags start from: of --resume, of --recipe with --width and --variant, or the defaults."""
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
    """A command whose flags start from the settings `default`."""

    def main(
        data: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[DATA]")] = None,
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
            data: A folder of images with a sub-folder a class, or with boxes or masks, or another set: as
                --dataset.
            settings: How to train.
            execution: Where to compute and what to keep; may change when a run is resumed.
            recipe: A paper's settings by name; other flags override them one by one.
            output_dir: The folder of the run; default runs/RECIPE, runs/FOLDER, or runs/DATASET-ATTENTION.
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
        given = cli.given_fields(TrainSettings)
        if data is not None:
            if "dataset" in given or resume:
                raise InputError(
                    f"Expected the images once. Received: {data!r} beside "
                    f"{f'--resume {resume}' if resume else f'--dataset {settings.dataset}'}. Leave one out."
                )
            settings, given = dataclasses.replace(settings, dataset=data), {*given, "dataset"}
        # Workers would choose each for itself, by its own memory and network.
        tuned = settings.dataset in EMBEDDED and settings.task in TUNED
        chosen = not (resume or recipe or tuned or is_one_of_several(execution))
        folder = resume or output_dir or Path("runs") / name_of(settings, recipe, given if chosen else None)
        if resume or (chosen and auto_resume and RunFolder(folder).is_run):
            settings = dataclasses.replace(
                RunFolder(folder).settings, **{name: getattr(settings, name) for name in given}
            )
        elif chosen:
            _expect_outside(folder, settings.dataset)
            settings = choose_and_tell(settings, given)
        elif not (tuned or "task" in given or (auto_resume and RunFolder(folder).is_run)) and settings.task in TUNED:
            _expect_task(settings)  # others a recipe has, and of a run it was settled when it began
        _expect_used(settings, given)
        if print_settings:
            cli.console.print(settings_table(settings, recipe))
            return 0
        goes_on = resume is not None or (auto_resume and has_run(settings, folder))
        return train_and_tell(settings, folder, goes_on, execution)

    return main


def _expect_outside(folder, dataset):
    """Refuse a run folder among the images: the next time it would be one of their classes."""
    images = Path(os.path.expanduser(dataset))
    if images.is_dir() and images.resolve() in (folder.resolve(), *folder.resolve().parents):
        raise InputError(
            f"Expected --output-dir outside of the images' folder {dataset}. Received: {folder}. Name another one."
        )


def _expect_used(settings, given):
    """Refuse flags that change nothing with these settings."""
    variants = {name: each.variants.values() for name, each in FAMILIES.items() if each.variants}
    wide = [name for name, published in variants.items() if any("width" in each.arguments for each in published)]
    if "width" in given and settings.model in variants.keys() - wide:  # one's own family may have it or not
        raise InputError(
            f"Expected --width with {' or '.join(wide)}. Received: it with --model {settings.model}. Take --variant."
        )
    if "head_learning_rate" in given and settings.head_learning_rate is not None and not settings.head_epochs:
        raise InputError(
            "Expected --head-epochs, in which the head alone learns, beside --head-learning-rate. Received: 0. Give "
            "both, or --learning-rate."
        )


def _expect_task(settings):
    """Refuse a folder that tells another task than the settings have, where nothing is chosen: a recipe, or machines of
    which each would choose for itself. The folders of its images and of its masks, say, would be taken for classes."""
    from keras_mobattn.training.choose import told_task

    if (told := told_task(settings)) != settings.task:
        raise InputError(
            f"Expected --task {told} for {settings.dataset}, by the files in it. Received: {settings.task}. Give "
            f"--task {told} and the settings for it, since with a recipe, or on several machines, none are chosen; or "
            f"--task {settings.task}, if that is what it is."
        )


def name_of(settings, recipe, given=None):
    """The name of a run's folder. `given` are the fields with flags, if the others are yet to be chosen; else None."""
    data = Path(os.path.expanduser(settings.dataset)).resolve().name  # of ".", too
    own = given is not None and ("attention" not in given or settings.attention == OWN)
    return recipe or (data if own else f"{data}-{settings.attention}")


def is_one_of_several(execution):
    """Whether other machines may train the same run, as `training.cluster` will find out."""
    several = "TF_CONFIG" in os.environ or os.environ.get("SLURM_NTASKS", "1") != "1"
    return execution.strategy == "multi-worker" or (execution.strategy == "auto" and several)


def choose_and_tell(settings, given):
    """The settings for photographs; prints what was chosen, and why."""
    from keras_mobattn.training.choose import choose_settings

    with cli.console.status("Looking at the images and for published weights"):
        settings, told = choose_settings(settings, given)
    table = rich.table.Table.grid(padding=(0, 2))
    for what, how in told.items():
        table.add_row(f"  {what}", rich.text.Text(how))
    cli.console.print("Chosen, since no flag says otherwise (--print-settings shows everything):", highlight=False)
    cli.console.print(table)
    return settings


def train_and_tell(settings, folder, resume, execution):
    """Train, and say how it ended. Returns the exit code."""
    from keras_mobattn.training import Diverged, Stopped, WorkerLost, train

    try:
        result = train(settings, folder, resume, execution)
    except Diverged as error:
        return cli.complain(str(error), DIVERGED)
    except WorkerLost as error:
        cli.console.print(f"{error} Starting again from the newest checkpoint.", soft_wrap=True, markup=False)
        restart()
    except Stopped as stopped:
        text = f"\nStopped; saved as {stopped.path}. Go on with --resume {folder}"
        cli.console.print(text, soft_wrap=True, markup=False)
        return 128 + stopped.number  # as the shell reports it, and TensorFlow's preemption handler
    cli.console.print(ending(settings, result, folder), soft_wrap=True, markup=False)
    return 0


def ending(settings, result, folder):
    """The result of the run in a line."""
    task, count = TASKS[settings.task], result["num_examples"]
    best = task.last_words(result | {f"test_{task.best}": result[f"best_test_{task.best}"]})
    best = best[:1].lower() + best[1:]
    picked = (
        f"The epoch that did best on these same images, which flatters it, is best.keras: {best}."
        if result["best_picked_on"] == "test"
        else f"The epoch that did best on {count['validation']} validation images is best.keras: {best} here."
    )
    took = "" if result["seconds"] is None else f", {result['seconds']:.0f} s"  # the chief worker alone knows
    taught = f", taught by {result['teacher']}" if result["teacher"] else ""
    return (
        f"{task.last_words(result)} on {count['test']} test images after {result['epochs']} epochs{taught}{took}. "
        f"{picked} Everything is in {folder}"
    )


def restart():
    """Become a new program with the same arguments: TensorFlow can't join a cluster twice in one process."""
    flags = {word.split("=")[0].replace("_", "-") for word in sys.argv}  # --resume=RUN, too
    again = [] if {"--auto-resume", "--resume"} & flags else ["--auto-resume"]
    os.execv(sys.executable, [*sys.orig_argv, *again])


def has_run(settings, folder):
    """Whether the folder has a run of these settings.

    Raises:
        InputError: it has a run of other settings.
    """
    if not RunFolder(folder).is_run:
        return False
    from keras_mobattn.training.run import MAY_CHANGE

    earlier = RunFolder(folder).settings
    settings = settings_to_resume(settings, earlier)
    names = [name for name in vars(settings) if getattr(settings, name) != getattr(earlier, name)]
    if names:
        listed = ", ".join(f"{name}={getattr(settings, name)!r} (was {getattr(earlier, name)!r})" for name in names)
        more = set(names) <= MAY_CHANGE and settings.epochs >= earlier.epochs
        told = "".join(f" {name}={getattr(settings, name)!r}" for name in names)
        advice = f"To go on with it: --resume {folder}{told}." if more else "Take another --output-dir."
        raise InputError(f"Expected the settings of the run in {folder}. Received: {listed}. {advice}")
    return True


def settings_table(settings, recipe):
    """A rich table of every setting; bold ones differ from the defaults."""
    table = rich.table.Table("setting", "value", title=recipe or "settings")
    for name, value in vars(settings).items():
        table.add_row(rich.text.Text(name, "" if value == getattr(TrainSettings(), name) else "bold"), repr(value))
    return table


main = command(TrainSettings())  # without --recipe


def run():
    """Run it with the flags of the command line, which start from the settings of --recipe."""
    cli.run(command(preset(sys.argv[1:])))
