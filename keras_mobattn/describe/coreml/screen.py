"""The description of a Core ML package on the terminal, 80 columns wide; JSON has everything whole."""

import collections
import dataclasses

from rich.console import Console
from rich.markup import escape

from keras_mobattn.describe.coreml.describe import CoreMLDescription
from keras_mobattn.describe.half_screen import print_half
from keras_mobattn.describe.tables import MB, MOST, count_text, operators_table, plain_table, shape_text, short_name
from keras_mobattn.formats.coreml.features import ENUMERATED

FEW = 3  # kinds of operators named in a row


def print_coreml(description: CoreMLDescription, console: Console) -> None:
    """Print a CoreMLDescription on a rich console."""
    sizes = f"{description.size_bytes / MB:.3f} MB, weights {description.weights_bytes / MB:.3f} MB"
    console.print(f"[bold]{escape(description.file)}[/]  {sizes}", highlight=False)
    for line in _about(description):
        console.print(escape(line), highlight=False)
    console.print(_ends(description))
    console.print(operators_table(description.operators))
    if description.weights:
        console.print(_weights(description))
    console.print(_figures(description), highlight=False)
    for value in description.high_rank[:MOST]:
        line = f"[red]More than 4 dimensions:[/] {escape(short_name(value.name))} {shape_text(value.shape)}"
        console.print(line, highlight=False)
    console.print(f"[bold]Neural Engine[/]  {_verdict(description.neural_engine)}", highlight=False)
    if description.neural_engine.findings:
        console.print(_findings(description.neural_engine.findings))
    if description.neural_engine.plan.operations:
        console.print(_plan(description.neural_engine.plan))
    if description.half:
        print_half(description.half, console)


def _about(description):
    systems = " and ".join(description.systems) or "systems unknown to this version"
    yield f"Specification {description.specification_version}: {systems}, and newer"
    others = [name for name in description.functions if name != description.function]
    if others:
        yield f"Function {description.function} is described; there are also {', '.join(others)}"
    told = {"Author": description.author, "licence": description.licence, "version": description.version}
    named = [f"{name} {value}" for name, value in told.items() if value]
    if named:
        yield ", ".join(named)
    if description.description:
        yield description.description


def _ends(description):
    table = plain_table("", "name", "type", "shape", "may vary")
    for side, ends in (("input", description.inputs), ("output", description.outputs)):
        for feature in ends:
            kind = " ".join(filter(None, (feature.kind, feature.colour or feature.dtype)))
            shape = "" if feature.shape is None else shape_text(feature.shape)
            table.add_row(side, escape(short_name(feature.name)), kind, shape, _flexibility(feature))
    if description.classes is not None:
        table.add_row("", "class labels", "", str(description.classes), "")
    return table


def _flexibility(feature):
    if feature.flexible == ENUMERATED:
        return f"{count_text(len(feature.shapes), 'shape')}: " + " ".join(map(shape_text, feature.shapes))
    return " ".join(_range(*sides) for sides in feature.ranges)


def _range(least, most):
    return str(least) if least == most else f"{least}..{'' if most < 0 else most}"


def _weights(description):
    table = plain_table("weights", "type", "constants", "MB", right=("constants", "MB"))
    for weights in description.weights:
        kind = "as they are" if weights.kind == "const" else weights.kind
        table.add_row(kind, weights.dtype, str(weights.count), f"{weights.size_bytes / MB:.3f}")
    return table


def _figures(description):
    macs = ", ".join(f"{count / 1e6:,.4g} M in {dtype}" for dtype, count in description.macs.items()) or "none"
    if description.macs_unknown:
        macs += f"; {count_text(description.macs_unknown, 'operation')} of open size not counted"
    counts = {
        "transpose": description.transposes,
        "reshape": description.reshapes,
        "gather": description.gathers,
        "non_zero": description.non_zeros,
    }
    listed = ", ".join(count_text(number, name) for name, number in counts.items())
    fixed = count_text(description.open_shapes, "open shape") if description.open_shapes else "fixed shapes"
    return f"MACs: {macs}\nRank up to {description.max_rank}; {listed}; {fixed}"


def _verdict(neural_engine):
    plan, against = neural_engine.plan, len({finding.tensor for finding in neural_engine.against})
    found = f"[red]{count_text(against, 'operation')} against it" if against else "[green]nothing against it"
    by_rules = f"By what is on record: {found}[/]."
    if plan.not_run:
        return f"{by_rules} [dim]Not run: {escape(plan.not_run)}[/]"
    off = plan.off_neural_engine
    verdict = f"[red]{count_text(len(off), 'operation')} it can't run[/]" if off else "[green]could run them all[/]"
    shares = ", ".join(f"{device} {100 * cost:.0f} %" for device, cost in plan.cost_by_device.items())
    return f"{by_rules}\nBy Core ML's plan for this machine: {verdict}. Estimated cost: {shares}"


def _findings(findings):
    """One row for each rule, those that speak against it first: how many operations, what, where it was seen."""
    groups = collections.defaultdict(list)
    for finding in findings:
        groups[dataclasses.replace(finding, operator="", tensor="")].append(finding)
    table = plain_table("operators", "effect", "what is on record")
    for rule, group in sorted(groups.items(), key=lambda item: not item[0].is_against)[:MOST]:
        counts = collections.Counter(finding.operator for finding in group).most_common()
        listed = [f"{kind} x{count}" if count > 1 else kind for kind, count in counts[:FEW]]
        listed += [f"and {count_text(len(counts) - FEW, 'other kind')}"] * (len(counts) > FEW)
        effect = f"[red]{rule.effect}[/]" if rule.is_against else rule.effect
        table.add_row(escape("\n".join(listed)), effect, escape(_words(rule, group[0].tensor)))
    return table


def _words(rule, tensor):
    """ "a gather (M3 Pro, macOS 27: the CPU; on record). Instead: slices. First: gather_0"."""
    seen = "; ".join(filter(None, (rule.where, rule.standing)))
    instead = f" Instead: {rule.instead}." if rule.instead else ""
    return f"{rule.reason} ({seen}).{instead} First: {short_name(tensor)}"


def _plan(plan):
    table = plain_table("operator", "count", "cost", "where", "could run on", right=("count", "cost"))
    for kind, devices in list(plan.cost_by_operator.items())[:MOST]:
        group = [operation for operation in plan.operations if operation.operator == kind]
        common = set.intersection(*(set(operation.supported) for operation in group))
        listed = ", ".join(device for device in group[0].supported if device in common)
        cost = f"{100 * sum(devices.values()):.1f} %"
        table.add_row(escape(kind), str(len(group)), cost, ", ".join(devices), listed)
    return table
