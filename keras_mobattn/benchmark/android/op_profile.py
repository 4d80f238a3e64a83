"""Op profiles as tables: which kinds of operators take longest."""

import itertools
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from keras_mobattn.benchmark.texts import number_text, title_of
from keras_mobattn.errors import expect_range

if TYPE_CHECKING:
    from rich.console import Console

    from keras_mobattn.benchmark.measurement import Measurement


def top_operators(op_profile: Collection[Mapping[str, Any]], count: int = 10) -> list[tuple[str, int, float, float]]:
    """The kinds of operators that take longest: [(kind, how many, ms, share of all)], the slowest first.

    What a delegate does inside its pieces, where it tells, stands in place of the pieces.

    Raises:
        InputError: a count below 1.
    """
    expect_range("count", count, 1, whole=True)
    delegates = any(operator["inside"] for operator in op_profile)
    kinds: dict[str, list[float]] = {}
    for operator in op_profile:
        if operator["inside"] or not (delegates and "delegate" in operator["op"].lower()):
            kinds.setdefault(operator["op"], []).append(operator["ms"])
    total = sum(itertools.chain.from_iterable(kinds.values())) or 1.0
    slowest = sorted(kinds.items(), key=lambda kind: -sum(kind[1]))[:count]
    return [(kind, len(ms), sum(ms), sum(ms) / total) for kind, ms in slowest]


def print_op_profiles(measurements: Iterable["Measurement"], console: "Console", count: int = 10) -> None:
    """Print the `top_operators` of every measurement that was profiled."""
    from rich.markup import escape
    from rich.table import Table

    for row in measurements:
        if row.error:
            continue
        if not row.detail("op_profile"):
            console.print(f"{title_of(row)}: the profiling run gave no op profile.", style="yellow", markup=False)
            continue
        layout: dict[str, Any] = dict(box=None, padding=(0, 2, 0, 0), pad_edge=False, title_justify="left")
        table = Table("operator", title=escape(title_of(row)), **layout)
        for heading in ("count", "ms", "share"):
            table.add_column(heading, justify="right", no_wrap=True)
        for kind, number, ms, share in top_operators(row.detail("op_profile"), count):
            table.add_row(escape(kind), str(number), number_text(ms), f"{100 * share:.1f} %")
        console.print()
        console.print(table)
