"""Convert every model to Core ML and print one table: size, operations, transposes, agreement with Keras, and how long
the evaluator takes for an image.

    python coreml/tabulate_models.py
    python coreml/tabulate_models.py --precision fp32 --attention mobile softmax

Weights are random, which is the hard case for agreement: each layer adds noise, and classes are nearly equal. Nothing
is kept but, with --json, the table.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Literal

import numpy as np
import rich.box
import rich.table

from keras_mobattn import cli, export
from keras_mobattn.attention import ATTENTIONS, OWN
from keras_mobattn.describe import describe_coreml
from keras_mobattn.files import write_json
from keras_mobattn.models import PUBLISHED, randomize_weights

REPORT_ONLY = export.Tolerance(float("inf"), max_probability_error=float("inf"))


def main(
    models: tuple[Literal[tuple(PUBLISHED)], ...] = tuple(PUBLISHED),
    attention: tuple[Literal[(OWN, *ATTENTIONS)], ...] = (OWN,),
    precision: Literal[tuple(export.COREML_PRECISIONS)] = "fp16",
    input_type: Literal[tuple(export.INPUT_TYPES)] = "tensor",
    image_size: int = 256,
    json: Path | None = None,
):
    """Convert every model to Core ML and print size, operations, transposes and agreement.

    Args:
        models: some of them.
        attention: one or several; own is the attention of the model's paper.
        precision: of the packages.
        input_type: tensor, image or channels_first.
        image_size: height and width in pixels, from 32 up.
        json: write the rows to this file as well.
    """
    cases = [(name, style) for name in models for style in attention]
    with cli.progress() as progress, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.mlpackage"
        rows = [
            _row(name, style, path, precision, input_type, image_size)
            for name, style in progress.track(cases, description="Converting")
        ]
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in rows[0]:
        justify = "left" if heading in ("model", "attention") else "right"
        table.add_column(heading, justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()))
    cli.table_console().print(table)
    if json:
        write_json(json, rows)


def _row(name, style, path, precision, input_type, size):
    function, options = PUBLISHED[name]
    model = function(input_shape=(size, size, 3), attention=style, **options)
    report = export.to_coreml(randomize_weights(model), path, precision, tolerance=REPORT_ONLY, input_type=input_type)
    described = describe_coreml(path)
    return {
        "model": name,
        "attention": style,
        "MB": described.size_bytes / 1e6,
        "GMACs": sum(described.macs.values()) / 1e9,
        "operations": sum(described.operators.values()),
        "transposes": described.transposes,
        "reshapes": described.reshapes,
        "rank": described.max_rank,
        "max error": report.max_abs_error,
        "of spread": report.max_abs_error / report.spread,
        "same top-1": report.agreement,
        "s an image": _seconds(path, model.input_shape),
    }


def _seconds(path, shape):
    """The evaluator's seconds for an image: the median of three, after a first one."""
    package, image, seconds = export.CoreMLModel(path), np.full((1, *shape[1:]), 127, np.float32), []
    for _ in range(4):
        start = time.perf_counter()
        package.run(image)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def run():
    """Run it with the flags of the command line."""
    cli.run(main)
