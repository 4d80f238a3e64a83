"""One source's layout of a family's checkpoints: a table of rows, read in either direction."""

import dataclasses
import functools
import re
import string

from keras_mobattn.weights.layouts.kinds import KINDS


@dataclasses.dataclass(frozen=True)
class Layout:
    """The layout of one source's checkpoints of one family.

    A row is (their module, our layer, kind); KINDS says which tensors a module of that kind has. In both names {early}
    is layer 1 or 2, {late} layer 3, 4 or 5, {stage} any, each counted from `first_layer` by the source and from 1 by
    us; {block} and {unit} count from 0.
    """

    name: str  # whose: to_timm writes that of "timm"
    rows: tuple[tuple[str, str, str], ...]
    first_layer: int = 0  # the number that it gives to our layer 1
    conv: str = "conv"  # its words, which the kinds have as {conv} and {norm}
    norm: str = "bn"

    @functools.cached_property
    def parts(self):
        """Every row's every part, as (their template, our templates, transform)."""
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
        """The mirror of `find`: (their key, our names, transform) for every variable among `names` that a rule knows.

        A row with {units}, which our names don't tell, has no mirror: timm's have none.
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
    }
    pieces = string.Formatter().parse(template)
    return re.compile(
        "".join(re.escape(text) + (f"(?P<{name}>{fields[name]})" if name else "") for text, name, *_ in pieces)
    )


def fill(template, match, shift):
    """`template` with the numbers that `match` found, those of layers moved by `shift`."""
    numbers = {name: int(value) for name, value in match.groupdict().items()}
    return template.format(**{name: n + shift * (name in ("early", "late", "stage")) for name, n in numbers.items()})
