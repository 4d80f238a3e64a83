"""Tables of results on the terminal."""

import rich.table
import rich.text


def table_by_class(title, columns, rows):
    """A rich table of `Task.class_table`; the last row is that of all classes."""
    table = rich.table.Table(title=rich.text.Text(title))
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows[:-1]:
        table.add_row(*(rich.text.Text(str(cell)) for cell in row))
    table.add_section()
    table.add_row(*map(str, rows[-1]))
    return table
