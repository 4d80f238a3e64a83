"""Time whole training steps: forward, loss, backward, optimizer, averages, as training/train.py runs them.

    python training/benchmark_step.py                                    # MobileViTv2-1.0, separable and mobile
    python training/benchmark_step.py --peers timm kecam                 # beside PyTorch eager and another Keras model
    python training/benchmark_step.py --precisions float32 mixed_bfloat16 --jit off on --batch-sizes 128    # on a GPU

Every row is a process of its own on the device that it finds, a GPU or the CPU. Rows of one model, size and batch take
turns, a few steps a round; ratios are to the first of them, the median over the rounds. Images and weights are random.
Peers train in float32 with their own AdamW and without jit, clipping and averages. Images wait in memory: what the
input pipeline costs is benchmark_input.py's matter.

Works in a checkout (`pip install -e .`) alone: the steps are programs in training/step/, since the peers' run in other
packages' environments, and tflite/peers/ makes those. Neither is in a wheel.

Exit code 0: every row was measured; 1: some could not be (the reason is in the table); 130: Ctrl-C, and what was
measured is kept.
"""

import csv
import dataclasses
import itertools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

import numpy as np
from rich.markup import escape
from rich.table import Table

from keras_mobattn import benchmark, cli
from keras_mobattn.attention import ATTENTIONS
from keras_mobattn.errors import InputError, expect_range
from keras_mobattn.files import replacing, write_json

ROOT = Path(__file__).parents[2]  # the checkout
STEPS = ROOT / "training" / "step"
SMOOTHING = 0.1  # the recipes'
MODELS = {  # timm's name -> TrainSettings
    "mobilevitv2_050": {"model": "MobileViTv2", "width": 0.5},
    "mobilevitv2_100": {"model": "MobileViTv2", "width": 1.0},
    "mobilevit_s": {"model": "MobileViT", "variant": "s"},
    "test": {"model": "MobileViTv2", "variant": "test"},  # a tiny one, for tests
}
PEERS = {"timm": "torch_eager.py", "kecam": "kecam.py"}


@dataclasses.dataclass
class Row:
    """One step in one configuration. Times in ms; `rounds_ms` holds each round's samples."""

    package: str
    model: str
    image_size: int
    batch_size: int
    attention: str | None = None
    precision: str = "float32"
    jit: bool = False
    device: str | None = None
    first_secs: float | None = None  # the first step, with tracing and compilation
    rounds_ms: list = dataclasses.field(default_factory=list)
    peak_memory_bytes: int | None = None
    error: str | None = None

    @property
    def group(self):
        """The rows of a group take turns."""
        return self.model, self.image_size, self.batch_size

    @property
    def statistics(self):
        samples = list(itertools.chain(*self.rounds_ms))
        return benchmark.Statistics.of(samples) if samples else None

    @property
    def images_per_second(self):
        """Of the median step; None where it failed."""
        return 1e3 * self.batch_size / self.statistics.median_ms if self.statistics else None

    def ratio_to(self, other):
        """The median over the rounds, each of which saw the same machine."""
        pairs = zip(self.rounds_ms, other.rounds_ms, strict=False)
        ratios = [np.median(own) / np.median(reference) for own, reference in pairs]
        return float(np.median(ratios)) if ratios else None


def main(
    models: tuple[Literal[tuple(MODELS)], ...] = ("mobilevitv2_100",),
    attentions: tuple[Literal[tuple(ATTENTIONS)], ...] = ("separable", "mobile"),
    image_sizes: tuple[int, ...] = (128,),
    batch_sizes: tuple[int, ...] = (16,),
    precisions: tuple[Literal["float32", "mixed_bfloat16", "mixed_float16"], ...] = ("float32",),
    jit: tuple[Literal["off", "on"], ...] = ("off",),
    peers: tuple[Literal[tuple(PEERS)], ...] = (),
    rounds: int = 7,
    num_steps: int = 4,
    num_threads: int | None = None,
    output_dir: Path = Path("runs/step"),
    environments: Path = Path("runs/peers"),
):
    """Time training steps in turns; benchmark.json and benchmark.csv in the output folder.

    Args:
        models: Which, by timm's names.
        attentions: The attention styles of ours.
        image_sizes: Height and width in pixels.
        batch_sizes: Images per step.
        precisions: The dtype policies of ours.
        jit: With XLA, for ours; on a CPU its convolutions are several times slower than oneDNN's.
        peers: Other packages: timm (in this environment), kecam (keras-cv-attention-models, in its own).
        rounds: How often each row gets its turn.
        num_steps: Steps a turn.
        num_threads: On a CPU; all cores when left out.
        output_dir: Where the results go.
        environments: Where tflite/benchmark_peers.py keeps the peers' environments; made the first time, some GB.
    """
    if not STEPS.is_dir():
        raise InputError(f"Expected the package in its checkout (pip install -e .). Received: no folder {STEPS}.")
    for name, values in {
        "rounds": (rounds,),
        "num_steps": (num_steps,),
        "num_threads": (num_threads or 1,),
        "each of image_sizes": image_sizes,
        "each of batch_sizes": batch_sizes,
    }.items():
        for value in values:
            expect_range(name, value, 1, whole=True)
    host = benchmark.describe_host()
    rows = list_rows(models, attentions, image_sizes, batch_sizes, precisions, jit, peers)
    try:
        with cli.progress() as bar:
            task = bar.add_task("", total=len(rows) * (rounds + 1))
            for _, group in itertools.groupby(rows, key=lambda row: row.group):

                def done(row, what):
                    bar.update(task, advance=1, description=escape(f"{row.package} {row.attention or ''}: {what}"))

                time_group(list(group), rounds, num_steps, num_threads or host.cores, environments, done)
    finally:
        rows = [row for row in rows if row.rounds_ms or row.error]
        if rows:
            present(rows, host, output_dir)
    return int(any(row.error for row in rows))


def list_rows(models, attentions, image_sizes, batch_sizes, precisions, jit, peers):
    """Rows in the table's order: peers first, then ours."""
    rows = []
    for model, size, batch in itertools.product(models, image_sizes, batch_sizes):
        rows += [Row(peer, model, size, batch) for peer in peers]
        for style, precision, compiled in itertools.product(attentions, precisions, jit):
            rows.append(Row("ours", model, size, batch, style, precision, compiled == "on"))
    return rows


def time_group(rows, rounds, num_steps, num_threads, environments, done):
    """Start a process for each row, one after the other, and let them take turns."""
    workers = []
    try:
        for row in rows:
            done(row, "starting")
            try:
                workers.append((row, Worker(row, num_threads, environments)))
            except WorkerError as error:
                row.error = str(error)
        for turn in range(rounds):
            for row, worker in workers:
                done(row, f"round {turn + 1} of {rounds}")
                if row.error is None:
                    worker.time(num_steps)
    finally:
        for _, worker in workers:
            worker.close()


class WorkerError(Exception):
    """Why a row can't be timed, in one line."""


class Worker:
    """The process of a row: one of training/step/*.py, which answers a number of steps with their times."""

    def __init__(self, row, num_threads, environments):
        self.row = row
        command = [*command_of(row, environments), json.dumps({**job_of(row), "num_threads": num_threads})]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        self._errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115  close() closes it
        self._process = subprocess.Popen(
            list(map(str, command)), env=environment, text=True, errors="replace", stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self._errors, start_new_session=True,  # Ctrl-C is ours to handle
        )  # fmt: skip
        try:
            ready = self._answer()
        except BaseException:
            self.close()
            raise
        row.device, row.first_secs = ready["device"], round(ready["first_secs"], 3)

    def time(self, num_steps):
        """Time steps and put them down in the row, or the reason why not."""
        try:
            self._process.stdin.write(f"{num_steps}\n")
            self._process.stdin.flush()
            answer = self._answer()
        except (WorkerError, BrokenPipeError) as error:
            self.row.error = str(error)
            return
        self.row.rounds_ms.append(answer["samples_ms"])
        self.row.peak_memory_bytes = answer["peak_memory_bytes"]

    def _answer(self):
        for line in self._process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        code = self._process.wait()
        self._errors.seek(0)
        raise WorkerError(peer_builder().reason(self._errors.read()) or f"exit code {code}.")

    def close(self):
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            pipe.close()


def command_of(row, environments):
    """The interpreter and the program of a row."""
    if row.package != "kecam":
        return [sys.executable, STEPS / PEERS.get(row.package, "ours.py")]
    build = peer_builder()
    try:
        python = build.make_environment(build.PEERS["kecam"], environments / "environments" / "keras")
    except build.BuildError as error:
        raise WorkerError(str(error)) from error
    return [python, STEPS / PEERS["kecam"]]


def job_of(row):
    """What the program of a row is told."""
    job = {"image_size": row.image_size, "batch_size": row.batch_size, "label_smoothing": SMOOTHING}
    if row.package != "ours":
        return {**job, "model": row.model}
    own = {"attention": row.attention, "precision": row.precision, "jit_compile": row.jit}
    return {**job, **MODELS[row.model], **own}


def peer_builder():
    """tflite/peers/build.py, which makes the peers' environments."""
    folder = str(ROOT / "tflite")
    if folder not in sys.path:
        sys.path.append(folder)
    from peers import build

    return build


def present(rows, host, output_dir):
    """Print the tables; write benchmark.json and benchmark.csv."""
    for (model, size, batch), group in itertools.groupby(rows, key=lambda row: row.group):
        group = list(group)
        print_table(f"{model}, {size} x {size} pixels, batch {batch}", group)
    for row in rows:
        if row.error:
            cli.console.print(f"{label(row)}: {row.error}", style="yellow", markup=False, soft_wrap=True)
    devices = sorted({row.device for row in rows if row.device})
    cli.console.print(f"{', '.join(devices)}; {host.name}, {host.cores} cores, {host.os}", style="dim", soft_wrap=True)
    records = [
        {
            **dataclasses.asdict(row),
            "statistics": row.statistics and vars(row.statistics),
            "images_per_second": row.images_per_second,
        }
        for row in rows
    ]
    write_json(output_dir / "benchmark.json", {"host": dataclasses.asdict(host), "rows": records})
    write_csv(output_dir / "benchmark.csv", rows)
    cli.console.print(f"Written: {output_dir}/benchmark.json, {output_dir}/benchmark.csv", markup=False)


def label(row):
    return f"{row.package}, {row.attention}" if row.attention else row.package


def print_table(title, rows):
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("step of", overflow="fold")
    for heading in ("precision", "jit"):
        table.add_column(heading)
    for heading in ("ms", "min", "p90", "images/s", "ratio", "MB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        precision, jit = row.precision.removeprefix("mixed_"), "on" if row.jit else "off"
        table.add_row(label(row), precision, jit, *figures(row, rows[0]))
    cli.console.print(table)


def figures(row, reference):
    if row.statistics is None:
        return ["failed", "", "", "", "", ""]
    statistics, ratio = row.statistics, row.ratio_to(reference)
    times = [f"{ms:.4g}" for ms in (statistics.median_ms, statistics.min_ms, statistics.p90_ms)]
    rate = f"{row.images_per_second:.3g}"
    return [*times, rate, f"{ratio:.2f}" if ratio else "", f"{row.peak_memory_bytes / 1e6:.0f}"]


def write_csv(path, rows):
    """One line a row: what it is, and its figures."""
    plain = [field.name for field in dataclasses.fields(Row) if field.name != "rounds_ms"]
    with replacing(path) as beside, open(beside, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*plain, "median_ms", "min_ms", "p90_ms", "images_per_second", "ratio"])
        writer.writeheader()
        for _, group in itertools.groupby(rows, key=lambda row: row.group):
            group = list(group)
            for row in group:
                line = {name: getattr(row, name) for name in plain}
                if row.statistics:
                    line |= {name: getattr(row.statistics, name) for name in ("median_ms", "min_ms", "p90_ms")}
                    line["images_per_second"] = round(row.images_per_second, 3)
                    line["ratio"] = row.ratio_to(group[0])
                writer.writerow(line)


def run():
    """Run it with the flags of the command line."""
    cli.run(main)
