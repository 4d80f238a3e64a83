"""All refusals have one grammar, and those that have another are listed."""

import ast
import re

import pytest

from helpers import ROOT

PACKAGE = ROOT / "keras_mobattn"
ERRORS = {"InputError", "VerificationError"}
TOLD_ON = "another error's own sentence, which has the grammar, and more of it"
LOST = "what became of a connection: the caller gave nothing that was wrong"
DOWNLOAD = "what became of a download: the caller gave nothing that was wrong"
OTHERS = {  # the beginning of a text, "{}" for what is filled in -> why it has another grammar
    "{} Plug it in again": LOST,
    "The server answered ": DOWNLOAD,
    "Could not download ": DOWNLOAD,
    "What {} returned is not a program.": DOWNLOAD,
    "Dataset {} is not in {} and could not be prepared there": DOWNLOAD,
    "The downloaded {} of {} is broken": DOWNLOAD,
    "{} of {} could not be downloaded": DOWNLOAD,
    "{} That is in {}.": TOLD_ON,
    "{}\nThat is in {}": TOLD_ON,
    "{} Remove it first": TOLD_ON,
    "problem": "why the GPU accelerator can't run here, as the probe says it: the caller gave nothing",
}


def text_of(node):
    """A text as it is written, with "{}" for what is filled in; of a name or a call, the code."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    if all(isinstance(part, ast.Constant | ast.FormattedValue) for part in parts):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in parts)
    return ast.unparse(node)


def texts(path):
    """(line, text) of each refusal in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ERRORS:
            yield node.lineno, text_of(node.args[0])


FOUND = [(path, line, text) for path in sorted(PACKAGE.rglob("*.py")) for line, text in texts(path)]


def test_refusals_have_one_grammar():
    assert len(FOUND) > 150
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line}: {text}"
        for path, line, text in FOUND
        if not re.match(r"Expected .*\. Received: .", text, re.DOTALL) and not text.startswith(tuple(OTHERS))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("beginning", OTHERS)
def test_other_sentences_are_still_there(beginning):
    assert any(text.startswith(beginning) for *_, text in FOUND)
