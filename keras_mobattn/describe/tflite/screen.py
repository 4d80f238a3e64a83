"""The description of a .tflite file on the terminal, 80 columns wide; JSON has everything whole."""

import collections
import dataclasses

from rich.console import Console
from rich.markup import escape

from keras_mobattn.describe.half_screen import print_half
from keras_mobattn.describe.tables import MB, MOST, count_text, operators_table, plain_table, shape_text, short_name
from keras_mobattn.describe.tflite.describe import TFLiteDescription
from keras_mobattn.describe.tflite.record import FIRM, TARGETS


def print_tflite(description: TFLiteDescription, console: Console) -> None:
    """Print a TFLiteDescription on a rich console."""
    console.print(f"[bold]{escape(description.file)}[/]  {description.size_bytes / MB:.3f} MB", highlight=False)
    console.print(_ends(description))
    console.print(_types(description))
    console.print(operators_table(description.operators))
    for tensor in description.high_rank[:MOST]:
        line = f"[red]More than 4 dimensions:[/] {escape(short_name(tensor.name))} {shape_text(tensor.shape)}"
        console.print(line, highlight=False)
    for part, name in ((_xnnpack, "XNNPACK"), (_gpu, "GPU")):
        verdict, findings = part(description)
        console.print(f"[bold]{name}[/]  {verdict}", highlight=False)
        if findings:
            console.print(_findings(findings))
    for target, name in TARGETS.items():
        if rows := [
            finding for finding in (*description.gpu.record, *description.elsewhere) if finding.target == target
        ]:
            console.print(f"[bold]On record of {name}[/], measured by others", highlight=False)
            console.print(_record(rows))
    if unknown := description.without_record["gpu"]:
        console.print(f"No row on record of {TARGETS['gpu']}: {escape(', '.join(unknown))}", highlight=False)
    console.print(f"[bold]Processor[/]  {escape(description.processor)}", highlight=False)
    if description.half:
        print_half(description.half, console)


def _ends(description):
    signature = f"signature {description.signature}" if description.signature else "no signature"
    table = plain_table("", "name", "type", "shape", "quantized", right=())
    table.title, table.title_justify = signature, "left"
    for side, ends in (("input", description.inputs), ("output", description.outputs)):
        for name, tensor in ends.items():
            quantized = "" if tensor.scale is None else f"scale {tensor.scale:.4g}, zero point {tensor.zero_point}"
            table.add_row(side, escape(short_name(name)), tensor.dtype, shape_text(tensor.shape), quantized)
    return table


def _types(description):
    table = plain_table("type", "tensors", "constants MB", right=("tensors", "constants MB"))
    for dtype, count in description.tensors.items():
        table.add_row(dtype, str(count), f"{description.constant_bytes.get(dtype, 0) / MB:.3f}")
    return table


def _xnnpack(description):
    xnnpack = description.xnnpack
    if xnnpack.problem:
        return f"[red]the file does not run:[/] {escape(xnnpack.problem)}", ()
    partitions = count_text(xnnpack.partitions, "partition")
    if xnnpack.passed:
        return f"[green]{partitions}, nothing left over[/]", ()
    return f"[red]{partitions}, {count_text(len(xnnpack.left), 'operator')} left to the interpreter[/]", xnnpack.left


def _gpu(description):
    gpu = description.gpu
    rules = (*gpu.refused, *gpu.wrong)
    by_rules = f"By rules: {_by_rules(gpu)}."
    if gpu.not_run:
        return f"{by_rules} [dim]Not run: {escape(gpu.not_run)}[/]", rules
    where = f"Run alone on {escape(gpu.adapter or 'the accelerator')}:"
    if gpu.reasons:
        reasons = "".join(f"\n  {escape(reason)}" for reason in gpu.reasons[:MOST])
        return f"{by_rules} {where} [red]refused[/]{reasons}", rules
    errors = []
    for name, error in gpu.errors.items():
        limit = gpu.limits[name]
        errors.append(f"[{'green' if error <= limit else 'red'}]{name} error {error:.1e}[/] (up to {limit:.0e})")
    return f"{by_rules}\n{where} {', '.join(errors)} of the spread against the CPU", rules


def _by_rules(gpu):
    if gpu.refused:
        return "[red]refused[/]"
    return "[yellow]may compute wrong numbers[/]" if gpu.wrong else "[green]nothing against it[/]"


def _findings(findings):
    """One row for each operator and reason, with the name of the first tensor."""
    groups = collections.defaultdict(list)
    for finding in findings:
        groups[finding.operator, finding.reason].append(finding.tensor)
    table = plain_table("operator", "count", "first output tensor", "why", right=("count",))
    for (operator, reason), tensors in list(groups.items())[:MOST]:
        table.add_row(escape(operator), str(len(tensors)), escape(short_name(tensors[0])), escape(reason))
    return table


def _record(findings):
    """One row for each rule, the firm ones first: where, how firm, what it is, where it was seen, what instead."""
    groups = collections.defaultdict(collections.Counter)
    for finding in findings:
        groups[dataclasses.replace(finding, operator="", tensor="")][finding.operator] += 1
    table = plain_table("operators", "how firm", "what, and what instead")
    for finding, counts in sorted(groups.items(), key=lambda item: item[0].firmness != FIRM)[:MOST]:
        operators = "\n".join(f"{count} {operator}" for operator, count in counts.items())
        evidence = "; ".join((finding.runtime, *finding.threads))
        text = f"{finding.reason}: {finding.verdict} ({evidence}). Instead: {finding.instead}"
        table.add_row(escape(operators), finding.firmness, escape(text))
    return table
