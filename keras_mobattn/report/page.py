"""One self-contained HTML file from plain data: no scripts, nothing fetched; for phone and desktop, light and dark."""

import base64
import dataclasses
import re
from pathlib import Path
from typing import Any

from keras_mobattn._packages import needs
from keras_mobattn._types import PathLike
from keras_mobattn.errors import InputError
from keras_mobattn.files import write_text

TEMPLATE = Path(__file__).with_name("page.html.j2")
PNG = b"\x89PNG"
NUMERIC = re.compile(r"[-−~]?[\d.]|[-–]$|failed$")
WORD = 14  # characters: columns that wrap are never narrower, see the style sheet
# Parts of matplotlib's SVG that must not be in a page: XML prolog, document type, metadata, its own style sheet (it
# would hold for the whole page) and name spaces (addresses that a reader could take for something to be fetched).
SVG_EXTRAS = re.compile(
    r"<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>|\sxmlns(:\w+)?=\"[^\"]*\"",
    re.DOTALL,
)


@dataclasses.dataclass(frozen=True)
class Table:
    """Texts or numbers in rows. `failed` are the indices of rows to show as failures; `notes` stand below."""

    header: tuple[str, ...]
    rows: tuple[tuple, ...]
    caption: str = ""
    notes: tuple[str, ...] = ()
    failed: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Figure:
    """A picture."""

    data: bytes  # of a PNG, or of an SVG; SVGs of `report.plots` follow the page's light and dark
    alt: str  # a text for readers who can't see it
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading, and what follows it, in this order."""

    title: str
    text: str = ""  # no markup; blank lines divide paragraphs
    figures: tuple[Figure, ...] = ()
    table: Table | None = None
    code: str = ""  # shown as it is
    language: str = ""  # of the code, as Markdown calls it


@dataclasses.dataclass(frozen=True)
class Report:
    """A page. `summary` has a few (label, value) pairs that a reader should see first."""

    title: str
    subtitle: str = ""
    summary: tuple[tuple[str, str | float | None], ...] = ()
    sections: tuple[Section, ...] = ()


def write_report(path: PathLike, report: Report) -> None:
    """Write `report` to one HTML file, whole or not at all. All texts are escaped.

    Raises:
        InputError: a table's row is not as long as its header, or a figure is neither SVG nor PNG.
        OSError: the file can't be written.
    """
    needs("jinja2")
    import jinja2

    check_report(report)
    options: dict[str, Any] = dict(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment = jinja2.Environment(**options)
    environment.filters.update(picture=_picture, cell=cell_text, classes=_column_classes)
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    write_text(path, page.render(report=report))


def check_report(report):
    """Raise InputError for a table with a row that is not as long as its header."""
    for table in (section.table for section in report.sections if section.table):
        for row in table.rows:
            if len(row) != len(table.header):
                raise InputError(
                    f"Expected {len(table.header)} cells, as in the header {table.header}. Received: {row}."
                )


def cell_text(value):
    """The text of a table's cell for a text or number; "–" for None."""
    return "–" if value is None or value == "" else f"{value:.4g}" if isinstance(value, float) else str(value)


def _column_classes(table):
    """The CSS class of every column: "number" (aligned on the right) when all cells begin with a digit or are empty,
    "word" (as wide as it is) when all are short, else "text"."""
    columns = [[cell_text(value) for value in column] for column in zip(*table.rows, strict=True)]
    return list(map(_class_of, columns)) or ["text"] * len(table.header)


def _class_of(texts):
    if all(map(NUMERIC.match, texts)):
        return "number"
    return "word" if max(map(len, texts)) <= WORD else "text"


def _picture(figure):
    """A Figure as HTML."""
    import markupsafe

    alt = markupsafe.escape(figure.alt)
    if figure.data.startswith(PNG):
        data = base64.b64encode(figure.data).decode()
        return markupsafe.Markup(f'<img alt="{alt}" src="data:image/png;base64,{data}">')
    text = SVG_EXTRAS.sub("", figure.data.decode("utf-8", errors="replace")).strip()
    if not text.startswith("<svg"):
        raise InputError(f"Expected a figure's bytes to be SVG or PNG. Received: {figure.data[:16]!r}.")
    opening, drawing = text.split(">", 1)
    view_box = re.search(r'viewBox="[^"]*"', opening)
    return markupsafe.Markup(f'<svg {view_box[0] if view_box else ""} role="img" aria-label="{alt}">{_themed(drawing)}')


def _themed(svg):
    """Let the page's style sheet decide on the neutral colours, so that one drawing serves light and dark."""
    from keras_mobattn.report.plots import GRID, INK, MUTED

    for colour, variable in ((INK, "currentColor"), (MUTED, "var(--muted)"), (GRID, "var(--line)")):
        svg = svg.replace(colour, variable)
    return svg
