"""The layout of a family's checkpoints from one source: a table of rows, read in either direction."""

import dataclasses
import functools
import re
import string

from keras_mobattn.weights.layouts.kinds import KINDS


@dataclasses.dataclass(frozen=True)
class Layout:
    """The layout of one family's checkpoints from one source.

    A row is (their module, our layer, kind): ("stages.{stage}.blocks.{block}.norm1", "stage{stage}_block{block}_norm1",
    "norm"). KINDS says which tensors a module of that kind has. In both names {early} is layer 1 or 2, {late} layer 3,
    4 or 5, {stage} any; the source counts these from `first_layer`, and we from 1. {block}, {unit} and {level} count
    from 0.
    """

    name: str  # the source's; to_timm writes "timm"
    rows: tuple[tuple[str, str, str], ...]
    first_layer: int = 0  # the source's number of our layer 1
    conv: str = "conv"  # its words, which the kinds have as {conv} and {norm}
    norm: str = "bn"

    @functools.cached_property
    def parts(self):
        """[(their template, our templates, transform)] of every part of every row."""
        words = {"conv": self.conv, "norm": self.norm}
        return [
            (
                f"{theirs}.{words_in(part.theirs, words)}".removesuffix("."),
                tuple(f"{ours}{suffix}" for suffix in part.ours),
                part.transform,
            )
            for theirs, ours, kind in self.rows
            for part in KINDS[kind]
        ]

    @functools.cached_property
    def patterns(self):
        return [(pattern(theirs, self.first_layer), ours, transform) for theirs, ours, transform in self.parts]

    def find(self, key):
        """The (our names, transform) of their tensor `key`; None if no rule knows it."""
        for theirs, ours, transform in self.patterns:
            if match := theirs.fullmatch(key):
                return tuple(fill(name, match, 1 - self.first_layer) for name in ours), transform
        return None

    def name_all(self, names):
        """[(their key, our names, transform)] for every variable among `names` that a rule knows: the mirror of `find`.

        Rows with {units} are left out, since our names don't tell that number. timm has no such rows.
        """
        found = []
        for theirs, ours, transform in self.parts:
            for match in filter(None, map(pattern(ours[0], 1).fullmatch, names) if ours else ()):
                key = fill(theirs, match, self.first_layer - 1)
                found.append((key, tuple(fill(each, match, 0) for each in ours), transform))
        return found


def words_in(template, words):
    return re.sub(r"\{(\w+)\}", lambda match: words[match[1]], template)


def pattern(template, first_layer):
    """The regular expression of a template, with a named group per field."""
    fields = {
        "early": f"[{first_layer}-{first_layer + 1}]",
        "late": f"[{first_layer + 2}-{first_layer + 4}]",
        "stage": r"\d+",
        "block": r"\d+",
        "unit": r"\d+",
        "units": r"\d+",
        "level": r"\d+",
    }
    pieces = string.Formatter().parse(template)
    return re.compile(
        "".join(re.escape(text) + (f"(?P<{name}>{fields[name]})" if name else "") for text, name, *_ in pieces)
    )


def fill(template, match, shift):
    """`template` with the numbers that `match` found; `shift` is added to the numbers of layers."""
    numbers = {name: int(value) for name, value in match.groupdict().items()}
    return template.format(**{name: n + shift * (name in ("early", "late", "stage")) for name, n in numbers.items()})
