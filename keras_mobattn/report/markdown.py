"""A Report as a Markdown file, with its pictures as files beside it."""

from pathlib import Path

from keras_mobattn._types import PathLike
from keras_mobattn.errors import expect_path
from keras_mobattn.files import replacing, write_text
from keras_mobattn.report.page import PNG, Report, cell_text, check_report

SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\`*_[]<>#|"})


def write_markdown(path: PathLike, report: Report) -> None:
    """Write `report` to a Markdown file, and each figure to NAME_1.png, NAME_2.svg, ... beside it.

    Raises:
        InputError: a table's row is not as long as its header.
        OSError: a file can't be written.
    """
    path = expect_path(path)
    check_report(report)
    parts = [f"# {_plain(report.title)}", _plain(report.subtitle)]
    pictures: list[tuple[Path, bytes]] = []
    if report.summary:
        parts.append("\n".join(f"- {_plain(label)}: **{_plain(cell_text(value))}**" for label, value in report.summary))
    for section in report.sections:
        parts += [f"## {_plain(section.title)}", *map(_plain, section.text.split("\n\n"))]
        for figure in section.figures:
            suffix = ".png" if figure.data.startswith(PNG) else ".svg"
            pictures.append((path.with_name(f"{path.stem}_{len(pictures) + 1}{suffix}"), figure.data))
            parts += [f"![{_plain(figure.alt)}]({pictures[-1][0].name})", _plain(figure.caption)]
        if section.table:
            parts += _table(section.table)
        if section.code:
            parts.append(f"```{section.language}\n{section.code.strip()}\n```")
    for file, data in pictures:
        with replacing(file) as beside:
            beside.write_bytes(data)
    write_text(path, "\n\n".join(part for part in parts if part.strip()) + "\n")


def _plain(text):
    """Text on one line, escaped so that nothing in it is markup."""
    return " ".join(str(text).translate(SPECIAL).split())


def _table(table):
    lines = [table.header, ["---"] * len(table.header), *table.rows]
    yield "\n".join(f"| {' | '.join(_cell(value) for value in line)} |" for line in lines)
    yield _plain(table.caption)
    yield "\n".join(f"- {_plain(note)}" for note in table.notes)


def _cell(value):
    text = cell_text(value)
    return text if text == "---" else _plain(text)
