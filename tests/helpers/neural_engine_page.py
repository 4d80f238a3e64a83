"""The table of docs/neural_engine.md, made of the rules: `cd tests && python -m helpers.neural_engine_page`."""

from helpers import ROOT
from keras_mobattn.describe.coreml.rules import NEURAL_ENGINE_RULES

PAGE = ROOT / "docs" / "neural_engine.md"
BEGIN, END = "<!-- rules -->\n", "<!-- end of rules -->\n"


def filled(text):
    """The page with the rules of today between the two marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, behind = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{behind}"


def table():
    """Markdown: one row for each rule."""
    rows = [("construct", "operations", "effect", "where", "standing", "evidence", "instead")]
    rows.append(("---",) * len(rows[0]))
    for rule in NEURAL_ENGINE_RULES.values():
        kinds = ", ".join(rule.kinds) or "any"
        rows.append((rule.construct, kinds, rule.effect, rule.where, rule.standing, rule.evidence, rule.instead))
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
