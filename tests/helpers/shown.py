"""What README and docs show: shell lines and blocks of Python, each with its page and line."""

import dataclasses
import re
import shlex

from helpers import ROOT

PAGES = {
    str(path.relative_to(ROOT)): path
    for path in (
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        *sorted((ROOT / "docs").glob("*.md")),
    )
}
FENCE = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
SHELL = ("", "sh", "bash", "console")
IN_TEXT = re.compile(r"`((?:mobattn|python) [^`]+)`")
# What a line or a block says when it can't run here: the reader sees the same words.
NEEDS = re.compile(r"needs a (?:phone|Mac|network|GPU|TPU|cluster|driver)|takes (?:an hour|hours)")
PROGRAMS = ("mobattn", "python", "make", "pip")
BEFORE = re.compile(r"[A-Z_]+=.*|srun")  # words before a program


@dataclasses.dataclass(frozen=True)
class Shown:
    """A shell line as its words, or a block of Python. `needs` says why it can't run here, "" where it can."""

    page: str
    line: int
    text: str
    needs: str
    words: tuple[str, ...] = ()

    def __str__(self):
        return f"{self.page}:{self.line}"


def blocks(languages):
    """Yield (page, number of the first line, text) of the fenced blocks of these languages."""
    for page, path in PAGES.items():
        text = path.read_text(encoding="utf-8")
        for found in FENCE.finditer(text):
            if found[2].strip() in languages:
                indented = re.sub(rf"^{found[1]}", "", found[3], flags=re.MULTILINE)
                yield page, text.count("\n", 0, found.start()) + 2, indented


def shell_lines():
    """Every shell line that calls one of PROGRAMS. A line that ends in a backslash goes on in the next."""
    for page, first, text in blocks(SHELL):
        whole, begun = "", first
        for number, line in enumerate(text.split("\n"), first):
            begun = begun if whole else number
            whole += line.removesuffix("\\")
            if line.endswith("\\"):
                continue
            if words := _words(whole):
                yield Shown(page, begun, whole, *(NEEDS.findall(whole) or [""])[:1], words)
            whole = ""


def lines_in_text():
    """Every `mobattn ...` and `python ...` in running text; with one word behind it it is a command's name."""
    for page, path in PAGES.items():
        text = FENCE.sub(lambda found: "\n" * found[0].count("\n"), path.read_text(encoding="utf-8"))
        for found in IN_TEXT.finditer(text):
            line = " ".join(found[1].split())
            yield Shown(page, text.count("\n", 0, found.start()) + 1, line, "", _words(line))


def _words(line):
    """The words from the program on, without the comment; none for a line that calls none of PROGRAMS."""
    words = shlex.split(line, comments=True)
    while words and BEFORE.fullmatch(words[0]):
        words.pop(0)
    return tuple(words) if words and words[0] in PROGRAMS else ()


def python_blocks():
    """Every block of Python."""
    for page, first, text in blocks(("python",)):
        yield Shown(page, first, text, *(NEEDS.findall(text) or [""])[:1])
