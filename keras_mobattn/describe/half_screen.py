"""What half precision makes of a file, on the terminal, 80 columns wide; JSON has every tensor."""

import collections
import re

from rich.markup import escape

from keras_mobattn.describe.difference import NO_NUMBER
from keras_mobattn.describe.half import MAX_ERROR
from keras_mobattn.describe.tables import count_text, plain_table, short_name
from keras_mobattn.formats.float16 import HALF_MAX, HALF_NORMAL
from keras_mobattn.half.report import ENOUGH

COMPUTED = {  # mode -> what is float16 in it
    "stored": "values stored",
    "reductions": "and sums over axes",
    "products": "and products",
    "neural_engine": "as on record of it",
    "neural_engine_tables": "and activations",
}
WIDTH = 28  # of a tensor's name


def print_half(verdict, console):
    """Print a HalfVerdict on a rich console."""
    if not verdict.modes:
        why = verdict.problem or verdict.not_judged
        style, said = ("red", "not run") if verdict.problem else ("dim", "not judged")
        console.print(f"[bold]Half precision[/]  [{style}]{said}:[/] {escape(why)}", highlight=False)
        return
    names = _Names(verdict.tensors)
    room = _figure(f"headroom {verdict.headroom:.3g}", verdict.headroom >= ENOUGH)
    said = "[green]passed[/]" if verdict.passed else "[red]not passed[/]"
    images = count_text(verdict.num_images, "image")
    console.print(f"[bold]Half precision[/]  {said} on {images}: {room} (from {ENOUGH:g})", highlight=False)
    *_, last = verdict.modes.values()
    parts = {
        f"Error against float32, as a share of the output's spread (up to {MAX_ERROR:g})": _modes(verdict.modes, names),
        f"Headroom: {_limits(verdict.tensors)} by the largest value, or the largest sum on its way": _tightest(
            verdict.tightest, names
        ),
        "Where error comes in and stays, as a share of a tensor's largest value": _jumps(last.jumps, names),
        f"Values below {HALF_NORMAL:.1e}, of which float16 keeps fewer bits or none": _subnormal(
            verdict.subnormal, names
        ),
    }
    for title, table in parts.items():
        if table.row_count:
            console.print(title, table, sep="\n", highlight=False)


class _Names:
    """Names of tensors as rows show them: without what most of them begin with, the model's name."""

    def __init__(self, tensors):
        names = [tensor.name for tensor in tensors if tensor.operator]
        heads = collections.Counter(name[: at.end()] for name in names for at in re.finditer("[/_]", name))
        common = [head for head, count in heads.items() if 3 * count > 2 * len(names)]
        self.head = max(common, key=len, default="")

    def cells(self, tensor):
        """(operator, name); several layers that became one operator are called after the last of them."""
        name = tensor.name.split(";")[0].removeprefix(self.head).removesuffix("_cast_fp16")
        return tensor.operator or "(as given)", escape(short_name(name, WIDTH))


def _modes(modes, names):
    table = plain_table("float16 are", "output", "error", "first overflow", right=("error",))
    for mode, run in modes.items():
        overflow = "" if run.first_overflow is None else " ".join(names.cells(run.first_overflow))
        for name, error in run.errors.items():
            text = "no number" if error == NO_NUMBER else f"{error:.1e}"
            table.add_row(COMPUTED[mode], escape(short_name(name)), _figure(text, error <= MAX_ERROR), overflow)
    return table


def _limits(tensors):
    """Where the tensors end: "65504, products 32752"."""
    lower = {tensor.limit for tensor in tensors} - {HALF_MAX}
    return ", products ".join(f"{limit:g}" for limit in (HALF_MAX, *lower))


def _tightest(tensors, names):
    table = plain_table("operator", "tensor", "largest", "sum", "headroom", right=("largest", "sum", "headroom"))
    for tensor in tensors:
        running = "" if tensor.running_sum is None else f"{tensor.running_sum:.3g}"
        room = _figure(f"{tensor.headroom:.3g}", tensor.headroom >= ENOUGH)
        table.add_row(*names.cells(tensor), f"{tensor.largest:.3g}", running, room)
    return table


def _jumps(tensors, names):
    table = plain_table("operator", "tensor", "before", "after", right=("before", "after"))
    for tensor in tensors:
        table.add_row(*names.cells(tensor), f"{tensor.inherited:.1e}", f"{tensor.error:.1e}")
    return table


def _subnormal(tensors, names):
    table = plain_table("operator", "tensor", "share", "largest", right=("share", "largest"))
    for tensor in tensors:
        table.add_row(*names.cells(tensor), f"{100 * tensor.subnormal:.0f} %", f"{tensor.largest:.3g}")
    return table


def _figure(text, good):
    return f"[{'green' if good else 'red'}]{text}[/]"
