"""Train vision transformers with their own attention and with others, under one budget: accuracy, latency, memory.

    python training/compare_attention.py                 # four hosts, 3 to 5 styles, 3 seeds each: about three hours
    python training/compare_attention.py --hosts DeiT --styles own "mobile d=8" --seeds 0 --stages fashion --sides

Every run has the same stages: the digits of scenes one by one, whole scenes, whose label only comparing digits tells
(`digit_crops`, `digit_scenes`: no download), and photographs (`fashion_mnist_quarter`), after which the model is also
evaluated on smaller and larger images. It is not ImageNet. Stopped and started again, it goes on where it was, in the
middle of a run too; a row is kept as soon as its run ends.

Exit code 0: every run and every file has its figures; 1: some failed (the reason is told, and another call tries them
again); 2: bad input; 130: Ctrl-C; 143: SIGTERM.
"""

import csv
import functools
import signal
import statistics
import sys
from pathlib import Path
from typing import Literal

from rich.markup import escape
from rich.table import Table

from keras_mobattn import benchmark, cli, report
from keras_mobattn.errors import expect_range
from keras_mobattn.files import read_json, replacing, write_json, write_text
from keras_mobattn.models import MODELS
from keras_mobattn.studies import comparison
from keras_mobattn.studies.comparison import HOSTS, STAGES, STYLES, VARIANTS, StudyPlan, styles_of, timed_styles_of

CHANCE = 10.0  # percent


def main(
    hosts: tuple[Literal[tuple(MODELS)], ...] = HOSTS,
    styles: tuple[Literal[(*STYLES, *VARIANTS)], ...] | None = None,
    variant: str = "nano",
    seeds: tuple[int, ...] = (0, 1, 2),
    stages: tuple[Literal[tuple(STAGES)], ...] = tuple(STAGES),
    epochs: tuple[int, ...] | None = None,
    sides: tuple[int, ...] = (96, 192, 384),
    processes: int | None = None,
    num_threads: int = 1,
    rounds: int = 5,
    num_runs: int = 50,
    min_secs: float = 1.0,
    output_dir: Path = Path("runs/attention"),
    data_dir: str | None = None,
):
    """Train each host with each attention and each seed, time it at each size, and write tables and plots.

    Args:
        hosts: Which models.
        styles: Which attentions; when left out all but variants and "softmax", and of EfficientFormerV2 and MobileViTv2
            without "mobile d=2", which takes half an hour more. Latencies are told as ratios to the first timed one's.
            Variants of "mobile" and "softmax" are trained alone, without costs; a "gain" is the initial deviation of
            query and key times the root of the width.
        variant: The size of the hosts, of those that have such a one, else MobileViTv2 0.5; "test" is a tiny one.
        seeds: Of weights and order of the images. None of them: cost alone.
        stages: Which trainings.
        epochs: Of each stage; its own when left out.
        sides: Images' height and width in pixels for latency and memory, from 32 up. None of them: accuracy alone.
        processes: How many runs at a time; as many as there are cores when left out.
        num_threads: Of each run in training.
        rounds: How often to go round the styles of one host and size in timing, on one thread.
        num_runs: Fewest inferences of a file.
        min_secs: Fewest seconds of a file.
        output_dir: Folder for the tables, plots, runs and files.
        data_dir: Where tfds keeps its sets; its own default when left out.
    """
    epochs = tuple(STAGES[stage].epochs for stage in stages) if epochs is None else epochs
    plan = StudyPlan(variant, stages, epochs, data_dir)
    plan.check(hosts, styles, seeds, sides)
    expect_range("num_threads", num_threads, 1, whole=True)
    if processes is not None:
        expect_range("processes", processes, 1, whole=True)
    plan.claim(output_dir)
    rows = train_all(plan, hosts, styles, seeds, output_dir, processes or benchmark.describe_host().cores, num_threads)
    protocol = {"num_threads": (1,), "rounds": rounds, "num_runs": num_runs, "min_secs": min_secs}
    costs = measure_all(hosts, styles, sides, variant, output_dir, protocol)
    write_results(hosts, styles, rows, costs, output_dir)
    return int(any(row.get("error") for row in rows) or any(cost.error for cost in costs))


def train_all(plan, hosts, styles, seeds, folder, processes, num_threads):
    """The rows of all runs: from the folder, or trained now."""
    path = folder / "runs.json"
    done = {key(row): row for row in read_json(path, [])}
    wanted = [
        {"host": host, "style": style, "seed": seed}
        for seed in seeds  # one after the other: a study that is stopped early has whole comparisons
        for host in hosts
        if plan.stages_of(host)
        for style in styles_of(host, styles)
    ]
    missing = [run for run in wanted if key(run) not in done or done[key(run)].get("error")]
    if missing:
        with cli.console.status("Drawing the images"):
            plan.prepare()
    with cli.progress() as progress, comparison.Pool(processes) as pool:
        task = progress.add_task(f"Training, {processes} at a time", total=len(missing))
        jobs = [plan.job(**run, folder=folder / "runs", num_threads=num_threads) for run in missing]
        for index, answer in pool.run(jobs):
            row = {**missing[index], **answer}
            done[key(row)] = row
            write_json(path, list(done.values()))
            progress.console.print(escape(sentence(row)), style="red" if "error" in row else None, highlight=False)
            progress.advance(task)
    return [done[key(run)] for run in wanted]


def key(row):
    """The host, style and seed of a row, which tell its run from all others."""
    return row["host"], row["style"], row["seed"]


def sentence(row):
    """A sentence on how a run ended."""
    name = f"{row['host']}, {row['style']}, seed {row['seed']}"
    if row.get("error"):
        return f"{name} failed: {row['error']}"
    reached = ", ".join(f"{stage} {100 * value:.1f} %" for stage, value in row["accuracies"].items())
    return f"{name}: {reached}, {row['seconds']:.0f} s"


def measure_all(hosts, styles, sides, variant, folder, protocol):
    """The Costs of all hosts, styles and sizes; the styles of one host and size are timed in one interleaved run."""
    path = folder / "cost.json"
    known = {cost.key: cost for cost in comparison.load_costs(path)}
    found = []
    for host in hosts:
        for side in sides:
            with cli.progress() as progress:
                description = f"Converting {host} for {side} pixels"
                tracked = progress.track(timed_styles_of(host, styles), description=description)
                pairs = [comparison.convert(host, style, side, variant, folder / "files") for style in tracked]
            costs = comparison.measure(pairs, known.values(), **protocol)
            found += costs
            known |= {cost.key: cost for cost in costs}
            comparison.save_costs(path, known.values())
    return found


def write_results(hosts, styles, rows, costs, folder):
    """Write comparison.csv, comparison.md, accuracy_STAGE.png, latency.png and memory.png; print the tables."""
    table = comparison.summary_rows(hosts, styles, rows, costs)
    tables = [each for each in comparison.summary_tables(table) if len(each[0]) > 2 and each[1]]
    with replacing(folder / "comparison.csv") as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, table[0])
        writer.writeheader()
        writer.writerows(table)
    write_text(folder / "comparison.md", "\n".join(comparison.markdown_table(*each) for each in tables))
    pictures = plots(hosts, styles, rows, sorted({cost.side for cost in costs}), table)
    for name, picture in pictures.items():
        with replacing(folder / f"{name}.png") as beside:
            beside.write_bytes(picture(format="png"))
    for each in tables:
        show(*each)
    measured = [cost.measurement for cost in costs if cost.measurement]
    if measured:
        cli.console.print(escape(benchmark.devices_text(measured)), style="dim", highlight=False, soft_wrap=True)
    for cost in costs:
        if cost.error:
            text = f"{cost.host}, {cost.style}, {cost.side} pixels failed: {cost.error}"
            cli.console.print(escape(text), style="red", highlight=False, soft_wrap=True)
    written = ", ".join(f"{name}.png" for name in pictures)
    cli.console.print(f"Written: {folder}/comparison.csv, comparison.md, {written}", soft_wrap=True, highlight=False)


def plots(hosts, styles, rows, sides, table):
    """{file's stem: function that draws the plot} for all plots that there are figures for."""

    trained = {host: [row for row in rows if row["host"] == host and not row.get("error")] for host in hosts}

    def by_style(stage, figure):
        return {
            host: {style: figure(rows, host, style, stage) for style in styles_of(host, styles)}
            for host in hosts
            if any(stage in row["accuracies"] for row in trained[host])
        }

    def by_side(stage):
        return {
            host: {style: [(side, statistics.mean(values)) for side, values in found.items() if values]
                   for style, found in reached.items()}
            for host, reached in by_style(stage, comparison.accuracies_by_side).items()
        }  # fmt: skip

    def lines(name):
        return {
            host: {row["style"]: [(side, row[f"{name} at {side}"]) for side in sides if row[f"{name} at {side}"]]
                   for row in table if row["host"] == host}
            for host in hosts
        }  # fmt: skip

    pictures = {}
    for stage in STAGES:
        if reached := by_style(stage, comparison.accuracies):
            pictures[f"accuracy_{stage}"] = functools.partial(report.accuracy_by_style, reached, CHANCE)
            if STAGES[stage].sides:
                values, label = by_side(stage), "test accuracy in %"
                pictures[f"{stage}_by_size"] = functools.partial(report.by_resolution, values, label, linear=True)
    if any(row[f"ratio at {side}"] for row in table for side in sides):
        label = "median latency, ratio to the host's first style"
        pictures["latency"] = functools.partial(report.by_resolution, lines("ratio"), label, linear=True)
        pictures["memory"] = functools.partial(report.by_resolution, lines("peak MB"), "peak memory in MB")
    return pictures


def show(header, cells):
    """Print a table."""
    printed = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for index, heading in enumerate(header):
        printed.add_column(heading, justify="right" if index > 1 else "left", overflow="fold")
    for line in cells:
        printed.add_row(*map(escape, line))
    cli.table_console().print(printed)


def run():
    """Run it with the flags of the command line; at SIGTERM its runs are stopped too, and saved."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    cli.run(main)
