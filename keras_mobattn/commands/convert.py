"""The common part of tflite/convert.py and coreml/convert.py: load once, convert to each precision, print one table."""

from pathlib import Path

import rich.console

from keras_mobattn.cli import console, say
from keras_mobattn.errors import InputError
from keras_mobattn.export.check import report_table
from keras_mobattn.export.exportable import load_trained
from keras_mobattn.export.file_name import file_name, left_from_before
from keras_mobattn.export.images import choose_images
from keras_mobattn.files import read_labels
from keras_mobattn.models import model_file


def convert_all(convert, kind, model, output, variants, *, expect, images, on_corrupt, labels, **options):
    """Convert a model to each of `variants`, and print one table; return the exit code, 1 if a conversion failed.

    Args:
        convert: A function (source, path, variant, representative_images=, check_images=) -> CheckReport.
        kind: The FileKind of the files.
        model: A model file or a run folder.
        output: A file for one variant, else a folder; None for the model's.
        variants: {name of a precision, say: what `file_name` has to know of it}.
        expect: A function of the source that refuses options which don't fit it, before anything is converted.
        images: A folder of images to check with, or None.
        on_corrupt: What happens to images that can't be decoded.
        labels: A file of class names; None for the names of the run that the model lies in.
        options: Others of `export.load`.
    """
    paths = {name: _path(model, output, kind, len(variants), named) for name, named in variants.items()}
    with console.status("Loading the model and images"):
        source = load_trained(model, read_labels(labels) if labels else (), **options)
        expect(source)
        chosen = choose_images(model, images, source.input_shape[:2], on_corrupt)
    say(chosen.description)
    say(_about_labels(source))
    check, representative = map(source.input_range.from_pixels, (chosen.check, chosen.representative))
    reports, failures = [], []
    for variant, path in paths.items():
        with console.status(f"Converting to {variant}, checking on {len(check)} images"):
            try:
                reports.append(convert(source, path, variant, representative_images=representative, check_images=check))
            except InputError as error:  # the others may do
                failures.append(f"{error}{left_from_before(path)}")
    if reports:
        console.print(report_table(reports))
    for report in reports:
        if report.headroom:
            say(f"{report.precision}: headroom {report.headroom:.3g} in half precision, since {report.headroom_at}.")
        for units, error in report.device_errors.items():
            say(f"{report.precision}: Core ML on {units} is within {error:.1e} of the evaluator.")
        say(f"Written: {report.path}")
    for error in failures:
        rich.console.Console(stderr=True).print(
            f"Error: {error}", style="red", markup=False, highlight=False, soft_wrap=True
        )
    return 1 if failures else 0


def _about_labels(source):
    if source.single_output:
        return f"Labels in the file: none. {source.describe_output(source.output_names[0])}"
    if source.labels:
        first = ", ".join(source.labels[:5]) + (", ..." if len(source.labels) > 5 else "")
        return f"Labels in the file: {first} ({len(source.labels)} classes)."
    if source.task.has_classes(source.output_names):
        return "Labels in the file: none. To name the classes: --labels FILE, one name a line."
    return f"Labels in the file: none, since {', '.join(source.output_names)} are no scores of classes."


def _path(model, output, kind, count, named):
    """runs/digits -> runs/digits/model_fp32.tflite; --output names another folder, or the file itself."""
    if output is not None and output.suffix == kind.suffix:
        if count > 1:
            raise InputError(
                f"Expected a folder as --output for {count} files. Received: {str(output)!r}. Pass a folder."
            )
        return output
    file = model_file(model)
    return (file.parent if output is None else Path(output)) / file_name(file.stem, kind, **named)
