"""Make every format of a model, prove each, and find out what an app's engineer asks of them."""

import dataclasses
import datetime
import functools
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Literal

from keras_mobattn import benchmark, export
from keras_mobattn._types import PathLike
from keras_mobattn.about import About
from keras_mobattn.catalog import ALL_FORMATS, COREML_COMPRESSIONS, COREML_TARGETS, FORMATS
from keras_mobattn.delivery.card import write_card
from keras_mobattn.delivery.rows import Delivery, Row, save_delivery
from keras_mobattn.describe import describe_coreml, describe_tflite
from keras_mobattn.errors import InputError, expect_name, expect_path, expect_range
from keras_mobattn.export.file_name import left_from_before
from keras_mobattn.export.images import choose_images
from keras_mobattn.export.layer_names import expect_layers
from keras_mobattn.files import size_bytes
from keras_mobattn.formats.kinds import COREML, TFLITE
from keras_mobattn.models import model_file
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.training import evaluate

NO_RUN = "the model lies in no run, whose test images are needed. mobattn evaluate judges a file on a folder of images"
CHANGED = "the run's images are not those that it began with: "
KERAS_IS_NO_FILE = "it is the Keras model, which the files are compared with"
TFLITE_ALONE, COREML_ALONE = "of .tflite files alone", "of .mlpackage folders alone"
NO_METRIC = "the task has no metric but its loss, which training alone computes"
NO_MAC = "Core ML runs on Apple's systems alone: there mobattn benchmark times it, on an iPhone with tensor input"


@dataclasses.dataclass(frozen=True)
class Wishes:
    """How the files of a delivery are made.

    Attributes:
        input_type: of Core ML packages, one of INPUT_TYPES.
        num_threads: with which .tflite files are timed.
        about: what the files say of themselves.
        input_scale, input_bias, single_output: as of `export.load`.
        float32_layers: as of `export.to_coreml`.
        form: what files give, one of the task's `forms`; those of a kind that has no such form, their default.
    """

    input_type: str = "image"
    num_threads: int = 1
    about: About = About()
    input_scale: float | tuple[float, ...] | None = None
    input_bias: float | tuple[float, ...] | None = None
    single_output: bool = False
    float32_layers: tuple[str, ...] = ()
    form: str | None = None


def deliver(
    model: PathLike,
    output_dir: PathLike | None = None,
    formats: Collection[str] = tuple(FORMATS),
    *,
    images: PathLike | None = None,
    on_corrupt: Literal["error", "skip"] = "error",
    num_test_images: int = 500,
    wishes: Wishes = Wishes(),
    progress: Callable[[str, int, int], object] = lambda what, done, total: None,
) -> Delivery:
    """Convert `model`, a run folder or a model file, to all `formats`, names of ALL_FORMATS; return a Delivery.

    Files go into `output_dir`, by default beside the model, and are called after it. Each is checked against Keras, on
    the run's test images or on those in the folder `images`, scored on the first `num_test_images` test images of the
    run, described, and timed on this machine. `on_corrupt` is open_source's. `progress` is told of each part. What
    can't be converted is a row with its error; the other rows are there all the same.

    The figures lie beside the files in NAME_export.json, and so does the card, see `write_card`.

    Raises:
        InputError: no such model or format, nothing to convert, or wishes that can't be met.
    """
    _expect(formats, num_test_images, wishes)
    file, folder = model_file(model), folder_of(model, output_dir)
    told = {name: getattr(wishes, name) for name in ("input_scale", "input_bias", "single_output")}
    source = export.load_trained(model, **told)
    expect_layers(source.model, wishes.float32_layers, "float32_layers")
    for kind in {ALL_FORMATS[name][0].name for name in formats}:
        form = source.task.own_form(kind, wishes.form)
        source.task.form_for(kind, form, wishes.input_type == "image")  # refuses what can't be had
    chosen = choose_images(model, images, source.input_shape[:2], on_corrupt)
    run = RunFolder.of(model)
    open_run = functools.partial(run.open_source, on_corrupt=on_corrupt) if run else None
    scorer = Scorer(run, source, num_test_images, lambda: chosen.source or (open_run and open_run()))
    total = 3 * len(formats) + 2
    progress("Keras", 0, total)
    rows = [_keras_row(source, file, scorer)]
    for index, name in enumerate(formats):
        tell = functools.partial(_tell, progress, name, 3 * index + 1, total)
        rows.append(_row(name, source, folder / file.stem, chosen, scorer, wishes, tell))
    progress("timing", total - 1, total)
    rows, runtime = _timed(rows, folder, wishes.num_threads)
    made = Delivery(
        model=source.model.name,
        metric=scorer.metric,
        agreement=source.task.agreement_title,
        form=wishes.form,
        num_images=scorer.count,
        num_checked=len(chosen.check),
        device=benchmark.describe_host().name,
        runtime=runtime,
        num_threads=wishes.num_threads,
        input_type=wishes.input_type,
        date=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        rows=tuple(rows),
    )
    progress("writing", total, total)
    save_delivery(folder / f"{file.stem}_export.json", made)
    write_card(folder / f"{file.stem}_card", made, source, scorer.images, run, file, wishes.about)
    return made


def folder_of(model: PathLike, output_dir: PathLike | None = None) -> Path:
    """Where the files of a model go: `output_dir`, or beside the model."""
    return model_file(model).parent if output_dir is None else expect_path(output_dir, "output_dir")


def _expect(formats, num_test_images, wishes):
    """Better now than after minutes of converting."""
    for name in formats:
        expect_name(ALL_FORMATS, name, "format")
    if not formats:
        raise InputError(f"Expected formats: {', '.join(ALL_FORMATS)}. Received: none.")
    expect_range("num_test_images", num_test_images, 1, whole=True)
    expect_range("num_threads", wishes.num_threads, 1, whole=True)


def _tell(progress, name, first, total, what, step):
    progress(f"{name}: {what}", first + step, total)


class Scorer:
    """Scores models on the same test images of a run.

    Attributes:
        metric: what the score is; None without a run, or where its images are gone or others.
        images: a Source of `count` test images; None without a metric.
        missing: {"score": why there is none}.
    """

    def __init__(self, run, source, most, open_source):
        self.metric, self.images, self.count, self.missing = None, None, 0, {}
        self._task, self._view = source.task, run.view if run else {}
        if why := NO_RUN if run is None else self._open(run, most, open_source):
            self.missing = {"score": why}
        elif source.task.best == "loss":
            self.missing = {"score": NO_METRIC}
        else:
            self.metric = source.task.best

    def _open(self, run, most, open_source):
        """Find the images; return why they can't be had, or ""."""
        try:
            found = open_source()
        except InputError as error:
            return str(error)
        if changes := run.changes_in(found):
            return f"{CHANGED}{changes}"
        self.count = min(most, found.num_examples["test"])
        self.images = found.first("test", self.count)
        return ""

    def score(self, model, **told):
        """The task's metric, or None. `told` is the range that the model takes, as `evaluate` wants it."""
        if self.metric is None:
            return None
        return float(evaluate(model, self.images, batch_size=8, task=self._task, **self._view, **told)[self.metric])


def _keras_row(source, file, scorer):
    fields = ("latency_ms", "max_error", "snr_db", "agreement", "partitions", "gpu", "neural_engine")
    taken = source.input_range
    score = scorer.score(source.model, input_scale=taken.scale, input_bias=taken.bias)
    missing = dict.fromkeys(fields, KERAS_IS_NO_FILE) | scorer.missing
    return Row("Keras", "float32", file.name, size_bytes(file), score=score, missing=missing)


def _row(name, source, stem, chosen, scorer, wishes, tell):
    kind, precision = ALL_FORMATS[name]
    interface = {"input_type": wishes.input_type} if kind is COREML else {}
    is_compressed = kind is COREML and precision in COREML_COMPRESSIONS
    if is_compressed:
        since = COREML_COMPRESSIONS[precision].since
        interface |= {
            "compression": precision,
            "minimum_deployment_target": max(since, "iOS17", key=COREML_TARGETS.get),
        }
    kept = {"float32_layers": wishes.float32_layers} if kind is COREML else {}
    form = source.task.own_form(kind.name, wishes.form)
    named = {"single_output": wishes.single_output, "form": form, **interface, **kept}
    computed = "fp16" if is_compressed else precision
    path = stem.with_name(export.file_name(stem.name, kind, computed, **named))
    row, in_range = Row(kind.name, precision, path.name), source.input_range.from_pixels
    options = {"check_images": in_range(chosen.check), "about": wishes.about, "form": form}
    tell("converting", 0)
    try:
        if kind is TFLITE:
            options["representative_images"] = in_range(chosen.representative)
            report = export.to_tflite(source, path, precision, **options)
        else:
            options["representative_images"] = in_range(chosen.representative)
            report = export.to_coreml(source, path, computed, **interface, **kept, **options)
    except InputError as error:
        return dataclasses.replace(row, error=f"{error}{left_from_before(path)}")
    tell("scoring", 1)
    score = scorer.score(export.FILE_MODELS[kind.suffix](path))
    tell("describing", 2)
    return dataclasses.replace(
        row,
        size_bytes=report.size_bytes,
        score=score,
        max_error=report.max_abs_error / report.spread,
        snr_db=report.snr_db,
        agreement=report.agreement,
        headroom=report.headroom,
        **_verdicts(kind, path, scorer.missing),
    )


def _verdicts(kind, path, missing):
    """Fields of a Row that `describe` knows."""
    if kind is TFLITE:
        described = describe_tflite(path)
        partitions, problem = described.xnnpack.partitions, described.xnnpack.problem
        missing = missing | {"neural_engine": COREML_ALONE} | ({"partitions": problem} if problem else {})
        return {"partitions": None if problem else partitions, "gpu": described.gpu.passed, "missing": missing}
    missing = missing | {"partitions": TFLITE_ALONE, "gpu": TFLITE_ALONE}
    return {"neural_engine": describe_coreml(path).neural_engine.passed, "missing": missing}


def _timed(rows, folder, num_threads):
    """The rows with their latencies, those of one runtime in turns, and the runtimes' names."""
    paths = {
        kind: [folder / row.file for row in rows if row.format == kind and not row.error]
        for kind in (TFLITE.name, COREML.name)
    }
    measured = []
    if paths[TFLITE.name]:
        measured += benchmark.benchmark_files(paths[TFLITE.name], num_threads=(num_threads,))
    if paths[COREML.name] and sys.platform == "darwin":
        measured += benchmark.benchmark_coreml(paths[COREML.name])
    found, timed = {Path(each.file).name: each for each in measured}, []
    for row in rows:
        each = found.get(row.file)
        if each is not None and each.statistics:
            row = dataclasses.replace(row, latency_ms=each.statistics.typical_ms)
        elif not row.error and row.format != "Keras":
            reason = each.error if each is not None else NO_MAC
            row = dataclasses.replace(row, missing=row.missing | {"latency_ms": reason})
        timed.append(row)
    return timed, ", ".join(dict.fromkeys(each.runtime for each in measured if each.statistics)) or None
