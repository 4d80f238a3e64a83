"""The table of a delivery: for the screen, and for a page."""

import collections

import rich.box
import rich.table

from keras_mobattn.delivery.rows import Delivery
from keras_mobattn.formats.kinds import COREML
from keras_mobattn.report import Table


def _share(value):
    return f"{100 * value:.1f} %"


def _verdict(value):
    return "yes" if value else "no"


COLUMNS = {  # heading -> field of a Row, and how its value is written
    "size MB": ("size_bytes", lambda value: f"{value / 1e6:.2f}"),
    "ms": ("latency_ms", lambda value: f"{value:.3g}"),
    "score": ("score", None),  # by the metric
    "error": ("max_error", lambda value: f"{value:.0e}"),
    "SNR dB": ("snr_db", lambda value: f"{value:.0f}"),
    "same": ("agreement", _share),
    "XNNPACK": ("partitions", str),
    "GPU": ("gpu", _verdict),
    "ANE": ("neural_engine", _verdict),
}
SHARES = {"accuracy": "accuracy", "map": "mAP", "miou": "mIoU"}  # metrics shown in percent -> what they are called
MISSING = "-"


def cells(delivery):
    """(headings, rows of texts, notes), with "-" for what is not known and a note for each reason."""
    named = {"score": _called(delivery.metric or "score"), "agreement": delivery.agreement}
    headings = {field: named.get(field, name) for name, (field, _) in COLUMNS.items()}
    rows = []
    for row in delivery.rows:
        values = {field: getattr(row, field) for field, _ in COLUMNS.values()}
        texts = [
            MISSING if values[field] is None else (write or _score(delivery.metric))(values[field])
            for field, write in COLUMNS.values()
        ]
        rows.append((row.format, row.precision, *texts))
    return ["format", "precision", *headings.values()], rows, _notes(delivery.rows, headings)


def _called(metric):
    return SHARES.get(metric, metric)


def _score(metric):
    return _share if metric in SHARES else lambda value: f"{value:.4g}"


def _notes(rows, headings):
    """Why cells are empty, as "ANE of TFLite fp32, TFLite int8: of .mlpackage folders alone."."""
    where = collections.defaultdict(list)  # (reason, headings) -> rows
    for row in rows:
        name = f"{row.format} {row.precision}"
        if row.error:
            where[row.error, ()].append(name)
            continue
        reasons = collections.defaultdict(list)
        for field, heading in headings.items():
            if getattr(row, field) is None and field in row.missing:
                reasons[row.missing[field]].append(heading)
        for reason, empty in reasons.items():
            where[reason, tuple(empty)].append(name)
    return tuple(
        f"{', '.join(empty)} of {', '.join(names)}: {reason}" if empty else f"No {', '.join(names)}: {reason}"
        for (reason, empty), names in where.items()
    )


def caption(delivery):
    """What the columns mean, and what they were measured with."""
    parts = []
    if delivery.metric:
        parts.append(
            f"{_called(delivery.metric)} on {delivery.num_images} of the run's test images, the same for all rows."
        )
    if delivery.runtime:
        threads = "one thread" if delivery.num_threads == 1 else f"{delivery.num_threads} threads"
        parts.append(f"ms: median of one image on {delivery.device}, {delivery.runtime}; of .tflite with {threads}.")
    parts.append(
        "error: the largest difference from Keras as a share of the outputs' spread, on "
        f"{delivery.num_checked} images. XNNPACK: into how many pieces it takes the file, 1 is best. GPU, ANE (Apple's "
        "Neural Engine): whether it would run there alone, as mobattn describe judges."
    )
    if rooms := [f"{row.format} {row.precision} {row.headroom:.3g}" for row in delivery.rows if row.headroom]:
        parts.append(
            "Headroom, how many times larger the numbers of a file may get before half precision overflows: "
            f"{', '.join(rooms)}."
        )
    if any(row.format == COREML.name for row in delivery.rows):
        parts.append("Core ML's scores and errors are by this package's evaluator of its programs, not by Apple's.")
    return " ".join(parts)


def delivery_table(delivery: Delivery) -> Table:
    """The table as a `report.Table`."""
    headings, rows, notes = cells(delivery)
    failed = tuple(index for index, row in enumerate(delivery.rows) if row.error)
    return Table(tuple(headings), tuple(map(tuple, rows)), caption(delivery), notes, failed)


def screen_table(delivery: Delivery) -> tuple[rich.table.Table, str, tuple[str, ...]]:
    """(rich table, caption, notes) for the screen."""
    headings, rows, notes = cells(delivery)
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("format", "precision") else "right")
    for row, record in zip(rows, delivery.rows, strict=True):
        table.add_row(*row, style="red" if record.error else None)
    return table, caption(delivery), notes
