"""What `serve` tells a page of each file: its labels and view, and what the Keras model says of some images."""

import collections
import dataclasses
import functools
import hashlib

import numpy as np

from keras_mobattn.benchmark.browser.site import ServedFile
from keras_mobattn.catalog import TASKS
from keras_mobattn.commands.opened import open_model
from keras_mobattn.errors import InputError
from keras_mobattn.export import load_trained
from keras_mobattn.export.check import EXACT, figures_of, share_of, worst_output
from keras_mobattn.export.images import choose_images
from keras_mobattn.formats.kinds import TFLITE
from keras_mobattn.formats.tflite.contents import read_contents
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.tasks.task import named

NUM_IMAGES = 8  # a phone's browser takes up to a second for each
HERE = "LiteRT on this computer"
BY_RUNS = {"crop": 1.0, "interpolation": "bilinear"}  # resize_and_crop's own
# Backends of the page -> the largest error, a share of the spread, that their arithmetic may add to a file's own. Half
# precision has cost models of this package up to .01 here.
FLOORS = {"wasm": EXACT, "wasm-threads": EXACT, "webgpu-fp32": EXACT, "webgpu-fp16": 0.05}
KERAS_SUFFIXES = (".keras", ".h5")


@dataclasses.dataclass(frozen=True)
class Reference:
    """What a file is compared with, `source` in words: {name: outputs}, the errors that the file has here, as a share
    of the spread, and its agreement; `note` says why it isn't the Keras model.

    `room`: how many times the spread the scores behind a map of probabilities have, by half: see export.check.
    """

    source: str
    outputs: dict
    error: float = 0.0
    agreement: float | None = None
    note: str = ""
    room: float = 1.0


def served_files(paths, images=None, on_corrupt="error"):
    """For each .tflite file in turn its ServedFile, and a sentence on what it is compared with where that isn't its
    Keras model.

    `images` is a folder of images to compare on; without one they are the run's test images, else photographs.
    `on_corrupt` is open_source's. Files of one run share its Keras model and its images, which are read once.

    Raises:
        InputError: a file that can't be read, or of no known task; images that can't be had.
    """
    load, choose = functools.cache(load_trained), functools.cache(choose_images)
    for path in paths:
        yield _served_file(path, images, on_corrupt, load, choose)


def _served_file(path, images, on_corrupt, load, choose):
    opened, contents = open_model(path), read_contents(path)
    model, run = opened.model, RunFolder.of(path)
    source, note = _keras_source(path, opened, load)
    task = source.task.for_file(model) if source else opened.task  # the Keras model knows its anchors, say
    taken = next(iter(contents.inputs.values()))
    height, width, channels = model.input_shape[1:]
    content = path.read_bytes()
    facts = {
        "name": path.stem,
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest()[:16],
        "task": next((name for name, each in TASKS.items() if type(each) is type(task)), "other"),
        "task_title": task.title,
        "precision": precision_of(contents),
        "attention": run.settings.attention if run else None,
        "family": run.settings.model if run else None,
        "height": height,
        "width": width,
        "channels": channels,
        "dtype": taken.dtype.lower(),
        "input": f"{taken.dtype.lower()}[1,{height},{width},{channels}]",
        "view": BY_RUNS | opened.view,
        "labels": list(opened.class_names),
        "colours": ["#" + bytes(colour).hex() for colour in task.colours(opened.class_names).values()],
        "outputs": [
            {
                "name": name,
                "shape": list(tensor.shape),
                "dtype": tensor.dtype.lower(),
                "scale": tensor.scale,
                "zero_point": tensor.zero_point,
            }
            for name, tensor in contents.outputs.items()
        ],
        "answer": task.page_answer(model),
    }
    pixels = np.uint8(choose(run.path if run else path, images, (height, width), on_corrupt).check[:NUM_IMAGES])
    reference = _reference(path, model, source, pixels)
    proof = {
        "source": reference.source,
        "agreement_title": task.agreement_title,
        "limits": limits_for(task, reference, len(pixels)),
    }
    return ServedFile(path, content, facts, proof, pixels, reference.outputs), note or reference.note


def precision_of(contents):
    """The name of the precision of a file's Contents, "int8" say, by what most of its constants are stored in."""
    stored = collections.Counter()
    for tensor in contents.tensors:
        stored[tensor.dtype.lower()] += tensor.constant_bytes
    dtype = max(stored, key=stored.get)
    if dtype == "int8":
        computed = {tensor.dtype.lower() for operator in contents.operators for tensor in operator.outputs}
        return "int8" if "int8" in computed else "dynamic"
    return {"float16": "fp16", "float32": "fp32"}.get(dtype, dtype)


def limits_for(task, reference, count):
    """{backend of the page: {"max_error", "min_agreement", "exact"}}: what it may differ by and still be right.

    A backend that computes in float32 may add rounding to the file's own error, one in float16 more; twice the file's
    own error is for quantized files, some of whose steps each runtime rounds otherwise. The file itself may disagree
    here with its reference; where answers are counted by images, one more may.
    """
    own = 1.0 if reference.agreement is None else reference.agreement
    one = 1 / count if task.has_answers_by_image else 0.0
    limits = {}
    for backend, floor in FLOORS.items():
        most = max(floor * reference.room, 2 * reference.error)
        exact = floor == EXACT and most <= EXACT * reference.room
        least = min(task.exact_agreement, own) if exact else min(task.half_agreement, own) - one
        limits[backend] = {"max_error": most, "min_agreement": max(0.0, least), "exact": exact}
    return limits


def _keras_source(path, opened, load):
    """(the Exportable that a file was made of, in its form, or None; why there is none)."""
    keras, instead = _keras_file(path), f"it is compared with {HERE}."
    if keras is None:
        return None, f"{path.name}: no Keras model is beside it; {instead}"
    try:
        source = load(keras)
    except InputError as error:  # its range isn't known, or the layers of somebody's own
        return None, f"{path.name}: {keras.name} can't be asked ({str(error).rstrip('.')}); {instead}"
    shape = opened.model.output_shape
    if source.task.is_binary and isinstance(shape, tuple) and shape[-1] == 1:
        source = dataclasses.replace(source, single_output=True)
    if source.input_shape != opened.model.input_shape[1:]:
        return None, f"{path.name} takes images of another size than {keras.name}; {instead}"
    formed = _in_form_of(source, opened.model)
    return formed, "" if formed else f"{path.name} gives other outputs than {keras.name}; {instead}"


def _reference(path, model, source, pixels):
    """The Reference of a file, for pixels uint8 [n, H, W, 3]; `source` is what `_keras_source` gives."""
    given = named(model.predict_on_batch(pixels), model.given_names[0])
    here = {name: np.float32(values) for name, values in given.items()}
    if source is None:
        return Reference(HERE, here)
    expected = source.predict(np.float32(pixels))
    alike = all(values.shape == here[name].shape for name, values in expected.items())
    figures = {name: figures_of(expected[name], here[name]) for name in expected} if alike else {}
    worst = figures and figures[worst_output(figures)]
    if worst and not worst["spread"]:
        raise InputError(
            f"Expected images that {path.name} answers differently, to compare on. Received: {len(pixels)} with the "
            "same outputs. Give others: --images FOLDER."
        )
    if not worst or not worst["max_abs_error"] <= worst["spread"]:
        other = f"{path.name} was not made of the Keras model beside it, {source.model.name}"
        return Reference(HERE, here, note=f"{other}; it is compared with {HERE}.")
    own = source.in_own_form().predict(np.float32(pixels))
    error = share_of(worst)
    agreement = source.task.agreement(own, here, source.task.for_file(model), error <= EXACT)
    is_map = set(expected) <= set(source.task.probabilities) and next(iter(expected.values())).ndim == 4
    room = max(1.0, *(float(np.ptp(scores)) / 2 / worst["spread"] for scores in own.values())) if is_map else 1.0
    return Reference(f"Keras ({source.model.name})", expected, error, agreement, room=room)


def _keras_file(path):
    """The Keras model that a file was made of, by its name; None where none is beside it."""
    run = RunFolder.of(path)
    if run and run.path.absolute() != path.parent.absolute():  # RUN/16_epochs/model_int8.tflite
        kept = run.path / f"{run.model_file.stem}_{path.parent.absolute().name}{run.model_file.suffix}"
        return kept if path.stem.startswith(f"{run.model_file.stem}_") and kept.exists() else None
    beside = [file for file in path.parent.iterdir() if file.suffix in KERAS_SUFFIXES]
    fitting = [file for file in beside if path.stem == file.stem or path.stem.startswith(f"{file.stem}_")]
    return max(fitting, key=lambda file: len(file.stem), default=None)


def _in_form_of(source, model):
    """An Exportable in the form of a file; None where it has none with such outputs."""
    forms = source.task.forms or {None: None}
    for form in forms:
        if form is None or forms[form].kind in (None, TFLITE.name):
            formed = source if form is None else source.in_form(TFLITE.name, form)
            if set(formed.output_names) == set(model.given_names):
                return formed
    return None
