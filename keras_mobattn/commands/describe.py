"""Say what exported files hold, and what keeps them off XNNPACK, GPU and Neural Engine.

    mobattn describe runs/photos
    mobattn describe runs/photos/*.tflite --require xnnpack gpu --json described.json
    mobattn describe runs/photos/*.mlpackage --require ane --plot described.png
    mobattn describe runs/photos --require half --images photos/

Exit code 0: every file has all that `--require` names; 1: one has not; 2: bad input.
"""

import functools
from pathlib import Path
from typing import Annotated, Literal

import rich.console
import tyro

from keras_mobattn import cli
from keras_mobattn.commands.exported import exported_files
from keras_mobattn.errors import InputError
from keras_mobattn.files import replacing, write_json
from keras_mobattn.formats.kinds import COREML, TFLITE, expect_readable, kind_of

REQUIREMENTS = {  # name -> of which files, and what of their description has to have passed; None where it isn't judged
    "xnnpack": ((TFLITE,), lambda description: description.xnnpack),
    "gpu": ((TFLITE,), lambda description: description.gpu),
    "ane": ((COREML,), lambda description: description.neural_engine),
    "half": ((TFLITE, COREML), lambda description: None if description.half.not_judged else description.half),
}
NUM_IMAGES = 3  # for half precision: seconds each


def main(
    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE...", help_behavior_hint="")],
    require: tuple[Literal[tuple(REQUIREMENTS)], ...] | None = None,
    gpu: bool = True,
    plan: bool = True,
    half: bool = False,
    products: bool = False,
    images: Path | None = None,
    on_corrupt: Literal["error", "skip"] = "error",
    input_scale: tuple[float, ...] | None = None,
    input_bias: tuple[float, ...] | None = None,
    json: Path | None = None,
    plot: Path | None = None,
):
    """Describe exported files, for people and for CI.

    Args:
        files: .tflite files, .mlpackage folders, or the folders of runs, of which all such files are described.
        require: what makes the exit code 1 when a file lacks it. Of .tflite: xnnpack (one partition, nothing left
            over), gpu (runs there alone with the CPU's numbers, by rules alone where the accelerator doesn't run; and
            has nothing that phones' GPUs are firmly on record for getting wrong or refusing). Of .mlpackage: ane (the
            Neural Engine could run every operation, by Core ML's compute plan on a Mac, by rules elsewhere). Of both:
            half (on images, half precision stays finite, has room for values four times as large, and gives float32's
            outputs; files for processors without it, with int8 weights or Core ML in fp32, are not judged). Left out:
            xnnpack of .tflite files.
        gpu: run .tflite files on the GPU accelerator where there is one; SwiftShader counts, which `python -m
            keras_mobattn.gpu` gets.
        plan: on a Mac, ask Core ML where it would run each operation; it compiles the model for that.
        half: say what half precision, in which GPUs and the Neural Engine compute, makes of a file: how far its values
            are from overflow, which vanish, how large the error is and where it comes in. --require half implies it.
        products: of .tflite files, convolutions and matrix products in half precision too, which takes minutes.
        images: any folder of images to compute half precision on; left out, crops of sample photographs.
        on_corrupt: what to do with images that can't be decoded.
        input_scale: what RGB 0..255 is multiplied by to be what a file takes, a number or one for each channel, for
            half precision of files that other programs made. Files of this package take 0..255.
        input_bias: what is added then.
        json: write everything to this file as well.
        plot: write bars of every package to this .png: of the estimated cost by operator and device, or without a plan
            of the number of operators. With several packages, one each: NAME_STEM.png.
    """
    files = exported_files(files)
    packages = [path for path in files if kind_of(path) == COREML]
    if plot and plot.suffix != ".png":
        raise InputError(f"Expected a .png file as --plot. Received: {str(plot)!r}.")
    if plot and not packages:
        raise InputError(f"Expected .mlpackage folders for --plot. Received: {', '.join(map(str, files))}.")
    kinds = set(map(kind_of, files))
    if unmet := [name for name in require or () if not kinds & set(REQUIREMENTS[name][0])]:
        raise InputError(
            f"Expected {REQUIREMENTS[unmet[0]][0][0].suffix} files for --require {unmet[0]}. Received: "
            f"{', '.join(map(str, files))}. Leave it out, or name such files."
        )
    for path in files:  # better to fail now than after half a minute
        expect_readable(path)
    half = half or products or "half" in (require or ())
    by_half = {"--images": images, "--input-scale": input_scale, "--input-bias": input_bias}
    if not half and (alone := [flag for flag, value in by_half.items() if value is not None]):
        raise InputError(f"Expected --half, which computes on images, for {alone[0]}. Received: {alone[0]} alone.")
    take, modes = None, ("products",) if products else ()
    if half:
        from keras_mobattn.export.images import few_images

        told = {"folder": images, "on_corrupt": on_corrupt, "input_scale": input_scale, "input_bias": input_bias}
        take = functools.partial(few_images, NUM_IMAGES, **told)
    descriptions = {path: _described(path, gpu, plan, take, modes) for path in files}
    if json:
        write_json(json, [description.as_dict() for description in descriptions.values()])
    if plot:
        for picture, path in zip(_pictures(plot, packages), packages, strict=True):
            _write_plot(picture, descriptions[path])
    require = ("xnnpack",) if require is None else require
    if "half" in require and all(description.half.not_judged for description in descriptions.values()):
        raise InputError(
            "Expected a file for processors of half precision for --require half. Received: "
            f"{', '.join(f'{path} ({description.half.not_judged})' for path, description in descriptions.items())}."
        )
    return int(not all(_passes(path, description, require) for path, description in descriptions.items()))


def _described(path, gpu, plan, half_images, half_modes):
    from keras_mobattn.describe import describe_coreml, describe_tflite, print_coreml, print_tflite

    with rich.console.Console(stderr=True).status(f"Looking at {path.name}"):  # a large file takes half a minute
        if kind_of(path) == COREML:
            description, show = describe_coreml(path, plan=plan, half_images=half_images), print_coreml
        else:
            half = {"half_images": half_images, "half_modes": half_modes}
            description, show = describe_tflite(path, execute_on_gpu=gpu, **half), print_tflite
    show(description, cli.console)
    return description


def _passes(path, description, require):
    asked = [part(description) for kinds, part in map(REQUIREMENTS.get, require) if kind_of(path) in kinds]
    return all(verdict.passed for verdict in asked if verdict is not None)


def _pictures(plot, files):
    """A path for each package: `plot` itself for a single one; of the same stem the second is -2."""
    if len(files) == 1:
        return [plot]
    stems = [path.stem for path in files]
    numbers = [stems[: index + 1].count(stem) for index, stem in enumerate(stems)]
    names = [stem if number == 1 else f"{stem}-{number}" for stem, number in zip(stems, numbers, strict=True)]
    return [plot.with_stem(f"{plot.stem}_{name}") for name in names]


def _write_plot(path, description):
    from keras_mobattn import report
    from keras_mobattn.describe import DEVICES

    costs = description.neural_engine.plan.cost_by_operator
    if costs:
        percent = {kind: {device: 100 * cost for device, cost in costs[kind].items()} for kind in costs}
        png = report.operator_bars(percent, "estimated cost in %, by Core ML's compute plan", DEVICES, format="png")
    else:
        counts = {kind: {"operators": count} for kind, count in description.operators.items()}
        png = report.operator_bars(counts, "operators", format="png")
    with replacing(path) as beside:
        beside.write_bytes(png)
    cli.say(f"Written: {path}")


def run():
    """Run it with the flags of the command line."""
    cli.run(main)
