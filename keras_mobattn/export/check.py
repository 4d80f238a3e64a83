"""The check that ends every conversion: the same images through Keras and through the converted file."""

import dataclasses
import time
import warnings
from collections.abc import Iterable

import numpy as np
import rich.box
import rich.table

from keras_mobattn.about import About
from keras_mobattn.errors import InputError, expect_kind
from keras_mobattn.export.given_images import as_images
from keras_mobattn.files import size_bytes
from keras_mobattn.formats.float16 import HALF_MAX
from keras_mobattn.half.report import ENOUGH
from keras_mobattn.tasks.task import named

EXACT = 1e-3  # largest errors, as shares of the spread, of files that compute as Keras does
NUM_PHOTOS = 8  # photographs of the default check
_MAX_SNR_DB = 144.0  # 2^24 : 1, float32's resolution; for an exact match, whose infinity JSON doesn't have


class VerificationError(InputError):
    """A converted model doesn't compute what the Keras model computes. `report` holds the figures, or None."""

    def __init__(self, message: str, report: "CheckReport | None" = None) -> None:
        super().__init__(message)
        self.report = report


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """How far a converted model may be from Keras.

    max_error: a share of the outputs' spread; of a map of probabilities, half that of its logits, where that is more.
    min_agreement: see CheckReport's; None: what the task asks of files in float32 or float16. max_probability_error:
    the largest difference, where the output is probabilities; of a map of them, which has some pixels between two
    classes, the mean over its pixels of each one's largest. headroom: how many times larger values and sums have to be
    able to get before float16 overflows, in files that processors of half precision run (TFLite fp32 and fp16, Core ML
    fp16); with less there is no file, and below 4 a warning. neural_engine: whether a package is refused, instead of a
    warning, that would come out wrong on the Neural Engine by what is on record of it (docs/neural_engine.md).
    """

    max_error: float
    min_agreement: float | None = 0.0
    max_probability_error: float = 1.0
    headroom: float = 0.0
    neural_engine: bool = False


@dataclasses.dataclass(frozen=True)
class CheckReport:
    """How a converted file compares with the Keras model, for the worst of its outputs (`asdict` makes it JSON).

    max_abs_error: the largest difference of any value. spread: the largest minus the smallest value of Keras's output.
    snr_db: 10 log10(variance of Keras's output / mean squared difference), at most 144. agreement: share of
    answers that are the same, see the task's `agreement`: of a classifier's images those with the same most likely
    class, of a detector's objects those that both find; None where the task has no such answers.
    seconds: conversion and check together. device_errors: Core ML on a Mac, {compute units: largest difference from
    the evaluator's outputs}. headroom: how many times larger than on the first image values and sums may get before
    float16 overflows, and headroom_at where; None for files that aren't computed in it. neural_engine: what would come
    out wrong there by what is on record, of a package; "" if nothing of it is known.
    """

    path: str
    format: str
    precision: str
    output: str
    num_images: int
    max_abs_error: float
    spread: float
    snr_db: float
    agreement: float | None
    size_bytes: int
    seconds: float
    device_errors: dict[str, float] = dataclasses.field(default_factory=dict)
    headroom: float | None = None
    headroom_at: str = ""
    neural_engine: str = ""

    def __str__(self) -> str:
        """In a sentence: "model.tflite: TFLite fp32, 4.65 MB; on 64 images ...", without what there is not."""
        told = [f"largest error {self.max_abs_error / self.spread:.1e} of the spread" if self.spread else ""]
        told += [f"SNR {self.snr_db:.0f} dB"]
        told += ["" if self.agreement is None else f"the same answer on {self.agreement:.1%}"]
        told += ["" if self.headroom is None else f"headroom in float16 {self.headroom:.3g}, where {self.headroom_at}"]
        about = f"{self.path}: {self.format} {self.precision}, {self.size_bytes / 1e6:.2f} MB"
        return f"{about}; on {self.num_images} images {', '.join(filter(None, told))}. {self.neural_engine}".rstrip()


def expect_options(tolerance, about):
    """Refuse other things than a Tolerance, or None, and an About: better now than after a conversion."""
    expect_kind("tolerance", tolerance, (Tolerance, type(None)), "an export.Tolerance")
    expect_kind("about", about, About, "an export.About")


def images_or_photos(images, source):
    """Return `images`, which are in the Keras model's range, as pixels float32 [n, H, W, C]; for None the same
    NUM_PHOTOS photographs each time."""
    from keras_mobattn.data import sample_photos

    if images is not None:
        return as_images(images, source, "check_images")
    *size, channels = source.input_shape
    if channels != 3:
        raise InputError(
            f"Expected check_images for a model of {channels} input channels. Received: None. Pass some images."
        )
    return np.float32(sample_photos(NUM_PHOTOS, tuple(size)))


def expect_headroom(headroom, tolerance, advice):
    """Raise a VerificationError for less headroom than the Tolerance asks for, and warn below ENOUGH.

    `headroom` is a file's Headroom, None where none is asked for; `advice` says what to do about too little.
    """
    if headroom is None:
        return
    least = tolerance.headroom
    if headroom.value is None:
        if least:
            raise VerificationError(
                f"Expected a file whose headroom can be computed. Received: {headroom.text} No file was kept."
            )
        warnings.warn(f"The headroom in half precision is not known: {headroom.text}", stacklevel=3)
        return
    end = "float16 ends" if headroom.limit == HALF_MAX else "products on the Neural Engine are on record to end"
    found = f"{headroom.text} on an image, and {end} at {headroom.limit:g}"
    if headroom.value < least:
        raise VerificationError(
            f"Expected headroom from {least:g} in half precision. Received: {headroom.value:.2g}, since {found}. No "
            f"file was kept. {advice}."
        )
    if headroom.value < ENOUGH:
        warnings.warn(
            f"Headroom of {headroom.value:.2g} in half precision: {found}. {advice}.", stacklevel=3
        )  # to_tflite's caller


def verify(
    source, run, images, tolerance, *,
    path, written, format, precision, start, output_step=0.0, headroom=None, neural_engine="", whole=None,
):  # fmt: skip
    """Compare Keras with a converted model and return a CheckReport.

    `source` is an Exportable; `run` maps one image [1, H, W, C] to {output name: array} by the converted model;
    `images` are pixels float32 [n, H, W, C]; `written` is the file that will be at `path`; `start` is
    time.perf_counter() before the conversion. `output_step` is that of a quantized output: an error of one step more
    is allowed. `headroom` is the file's Headroom, and `neural_engine` what is known of it there, for the report.
    `whole` is the FileModel of the finished file, whose answers are compared, where it has more than what `run`
    computes.

    Raises:
        VerificationError: an error above the tolerance, other shapes than Keras's, or outputs that can't tell right
            from wrong: Keras's not finite, the same for every image, or within a few steps.
    """
    expected = source.predict(images)
    for name, values in expected.items():
        _expect_information(name, values)
    rows = [run(image[None]) for image in images]
    received = {name: np.concatenate([row[name] for row in rows]) for name in source.output_names}
    figures = {name: figures_of(expected[name], received[name]) for name in source.output_names}
    output = worst_output(figures)
    exact = tolerance.max_error <= EXACT
    plain = source.in_own_form()
    own = expected if plain.form == source.form else plain.predict(images)
    agreement = _agreement(source, own, received, images, whole, exact)
    least = tolerance.min_agreement
    if least is None:
        least = source.task.exact_agreement if exact else source.task.half_agreement
        least = min(least, source.task.half_agreement) if output_step else least  # steps make near classes equal
    report = CheckReport(
        path=str(path),
        format=format,
        precision=precision,
        output=output,
        num_images=len(images),
        agreement=agreement,
        size_bytes=size_bytes(written),
        seconds=time.perf_counter() - start,
        headroom=headroom and headroom.value,
        headroom_at=headroom.text if headroom and headroom.value is not None else "",
        neural_engine=neural_engine,
        **figures[output],
    )
    if report.spread < 4 * output_step:
        raise VerificationError(
            f"Expected outputs spread over four steps of {output_step:g} or more, which is what a quantized output can "
            f"tell apart. Received: a spread of {report.spread:.2g} on {len(images)} images. Take float32 output.",
            report,
        )
    are_probabilities, fits, mean, spread = output in source.task.probabilities, True, "", report.spread
    if are_probabilities and expected[output].ndim == 4:
        # A softmax moves by up to half of what its scores do, and a map has pixels where it does
        spread = max(spread, *(float(np.ptp(scores)) / 2 for scores in own.values()))
        error = float(np.abs(received[output] - expected[output]).max(-1).mean())
        fits, mean = error <= tolerance.max_probability_error, f", {error:.2e} in the mean of pixels"
    limit = tolerance.max_error * spread + output_step
    if are_probabilities and expected[output].ndim < 4:
        limit = min(limit, tolerance.max_probability_error)
    if fits and report.max_abs_error <= limit and (agreement is None or agreement >= least):  # False for NaN
        return report
    step = f" and one step of {output_step:g}" if output_step else ""
    same = source.task.agreement_title
    expected_same = "" if agreement is None else f" and {same} from {least:.1%}"
    received_same = "" if agreement is None else f", {agreement:.1%}"
    wider = "" if report.precision == "fp32" else "try a wider precision, or "
    raise VerificationError(
        f"Expected the {report.precision} {report.format} model to agree with Keras in {output!r} on {len(images)} "
        f"images: a max abs error up to {limit:.2e} "
        f"({_limit_text(tolerance, spread, are_probabilities)}{step}){expected_same}. "
        f"Received: {report.max_abs_error:.2e}{mean}, {report.snr_db:.1f} dB{received_same}. "
        f"No file was kept: {wider}check with images of the kind that the model was trained on. From Python: give a "
        "Tolerance that you can accept.",
        report,
    )


def _agreement(source, own, received, images, whole, exact):
    """The task's agreement of the Keras model's own outputs with what a file computes, or finally gives."""
    if whole is None:
        return source.task.agreement(own, received, exact=exact)
    if set(whole.given_names) != set(received):
        received = named(whole.predict_on_batch(images), *whole.given_names[:1])
    return source.task.agreement(own, received, source.task.for_file(whole), exact)


def _limit_text(tolerance, spread, are_probabilities):
    share = f"{tolerance.max_error:.0e} of the spread {spread:.2e}"
    if are_probabilities and tolerance.max_probability_error < 1:
        return f"{share}, and {tolerance.max_probability_error:.0e} for probabilities"
    return share


def _expect_information(name, values):
    """Refuse outputs on which every conversion would look right, or none."""
    if not np.isfinite(values).all():
        raise VerificationError(f"Expected finite outputs from the Keras model. Received: NaN or infinity in {name!r}.")
    varies = np.ptp(values, axis=0).max() if len(values) > 1 else np.ptp(values)
    if varies <= 1e-6 * np.abs(values).max():  # float32 rounding: nothing of the image is left
        raise VerificationError(
            "Expected Keras outputs that depend on the image, to check the conversion by. Received: the same "
            f"{name!r} for all {len(values)} images. Train the model or load weights, or call "
            "keras_mobattn.randomize_weights(model) if it is only for timing."
        )


def worst_output(figures):
    """The name of the output with the largest error for its spread, of {name: what `figures_of` returns}."""
    return max(figures, key=lambda name: np.nan_to_num(share_of(figures[name]), nan=np.inf))


def share_of(figures):
    """The largest error of an output as a share of its spread; without a spread 0, or infinity for any error."""
    error, spread = figures["max_abs_error"], figures["spread"]
    return error / spread if spread else float(error and np.inf)


def figures_of(expected, received):
    """{"max_abs_error", "spread", "snr_db"} of an output, as in a CheckReport.

    Raises:
        VerificationError: they have other shapes.
    """
    if expected.shape != received.shape:
        raise VerificationError(
            f"Expected outputs of shape {expected.shape}. Received: {received.shape} from the converted model."
        )
    expected, difference = expected.astype(np.float64), received.astype(np.float64) - expected
    noise = max(np.mean(np.square(difference)), expected.var() * 10 ** (-_MAX_SNR_DB / 10))
    return {
        "max_abs_error": float(np.abs(difference).max()),
        "spread": float(np.ptp(expected)),
        "snr_db": float(10 * np.log10(expected.var() / noise)),
    }


def report_table(reports: Iterable[CheckReport]) -> rich.table.Table:
    """Return a rich table of CheckReports."""
    table = rich.table.Table(
        title="Converted models against Keras",
        box=rich.box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),  # fits 80 columns
        pad_edge=False,
    )
    for heading in ("format", "precision", "size", "max error", "of spread", "SNR", "same", "time"):
        table.add_column(heading, justify="left" if heading in ("format", "precision") else "right", no_wrap=True)
    for r in reports:
        table.add_row(
            r.format,
            r.precision,
            f"{r.size_bytes / 1e6:.2f} MB",
            f"{r.max_abs_error:.1e}",
            f"{r.max_abs_error / r.spread:.1e}" if r.spread else "-",
            f"{r.snr_db:.1f} dB",
            "-" if r.agreement is None else f"{r.agreement:.1%}",
            f"{r.seconds:.0f} s",
        )
    return table
