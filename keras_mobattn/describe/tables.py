"""What the descriptions of both formats share on the terminal, 80 columns wide: tables, counts, shapes, names.

Long names of tensors are cut in the middle; JSON has them whole.
"""

import rich.box
from rich.markup import escape
from rich.table import Table

MB = 1e6
MOST = 12  # rows of a list of findings; JSON has them all


def plain_table(*headings, right=()):
    """Return an empty table without frames; the columns named in `right` are numbers."""
    table = Table(box=rich.box.SIMPLE_HEAD, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    return table


def operators_table(operators):
    """{operator: count} in three pairs of columns: those of a vision transformer then fit a screen."""
    columns = 3
    items = list(operators.items())
    rows = -(-len(items) // columns)
    table = plain_table(*["operator", "count"] * columns, right=("count",))
    for row in range(rows):
        cells = []
        for kind, count in items[row::rows]:
            cells += [escape(kind), str(count)]
        table.add_row(*cells)
    table.title, table.title_justify = count_text(sum(operators.values()), "operator"), "left"
    return table


def count_text(number, noun):
    """ "1 operator", "2 operators"."""
    return f"{number} {noun}{'s'[: number != 1]}"


def shape_text(shape):
    """As rich markup: \\[1, ?, 64], or scalar."""
    sides = ", ".join("?" if side < 0 else str(side) for side in shape)
    return f"\\[{sides}]" if shape else "scalar"


def short_name(name, width=24):
    """The end says which operator of the layer it was, the beginning which layer."""
    return name if len(name) <= width else f"{name[: width // 2 - 1]}…{name[-width // 2 :]}"
