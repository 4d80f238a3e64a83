"""The records of a delivery: a row for each file, and what all rows share."""

import dataclasses
import json

from keras_mobattn._types import PathLike
from keras_mobattn.errors import InputError, expect_path
from keras_mobattn.files import write_json


@dataclasses.dataclass(frozen=True)
class Row:
    """One format of a model. What is not known is None, and `missing` says why: {field: reason}.

    Attributes:
        format, precision: "TFLite" and "int8", say; "Keras" and "float32" for the model itself.
        file: its name, in the folder of the delivery.
        size_bytes: of the file or package.
        latency_ms: the median on this machine, one image.
        score: the task's metric on the test images, 0..1 for an accuracy.
        max_error: the largest difference from Keras, as a share of the outputs' spread.
        snr_db, agreement, headroom: as in `export.CheckReport`; the last of files that are computed in half
            precision alone.
        partitions: XNNPACK's; 1 is best.
        gpu, neural_engine: whether it would run there alone, as `describe` judges.
        error: why the file could not be had, in a sentence.
    """

    format: str
    precision: str
    file: str
    size_bytes: int | None = None
    latency_ms: float | None = None
    score: float | None = None
    max_error: float | None = None
    snr_db: float | None = None
    agreement: float | None = None
    headroom: float | None = None
    partitions: int | None = None
    gpu: bool | None = None
    neural_engine: bool | None = None
    missing: dict[str, str] = dataclasses.field(default_factory=dict)
    error: str | None = None


@dataclasses.dataclass(frozen=True)
class Delivery:
    """All rows of a model, and what they were measured with.

    Attributes:
        model: its name.
        metric: what `score` is, e.g. "accuracy"; None without test images.
        agreement: what the rows' `agreement` counts, "same top-1" say.
        form: the form that was wished for: files of a kind that has it are in it, others in their default; None for the
            default of all.
        num_images: test images behind `score`; `num_checked` those behind the errors.
        device: this machine, in words; `runtime` what timed the files; `num_threads` with how many threads.
        input_type: of the Core ML packages, one of INPUT_TYPES.
        date: ISO 8601.
        rows: the Keras model first.
    """

    model: str
    metric: str | None
    num_images: int
    num_checked: int
    device: str
    runtime: str | None
    num_threads: int
    input_type: str
    date: str
    rows: tuple[Row, ...]
    agreement: str = "same top-1"
    form: str | None = None


def save_delivery(path: PathLike, delivery: Delivery) -> None:
    """Write a Delivery as JSON.

    Raises:
        OSError: the file can't be written.
    """
    write_json(path, dataclasses.asdict(delivery))


def load_delivery(path: PathLike) -> Delivery:
    """Read what `save_delivery` wrote.

    Raises:
        InputError: the file is none.
        OSError: it can't be read.
    """
    path = expect_path(path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        record.pop("input_scale", None)  # of earlier files, as is `raw`
        if record.pop("raw", False):
            record["form"] = "raw"
        return Delivery(**{**record, "rows": tuple(_row(row) for row in record["rows"])})
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"Expected the JSON file of a delivery. Received: {str(path)!r} ({error}). Run mobattn export again."
        ) from error


def _row(record):
    earlier = {"top1_agreement": "agreement"}  # fields of earlier files
    return Row(**{earlier.get(name, name): value for name, value in record.items()})
