"""The one exception for mistakes that the caller can mend, and the checks that raise it."""

import math
import numbers
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TypeVar

Value = TypeVar("Value")


class InputError(ValueError):
    """What the caller gave can't be used: "Expected WHAT. Received: VALUE. WHAT TO DO." (the last where there is any).

    A ValueError, so that library users can catch it as Keras's own errors are caught; scripts print it as one sentence.
    """


def choose(table: Mapping[str, Value], name: object, what: str) -> Value:
    """Return `table[name]`, or raise an InputError that lists the choices. `what` names the thing: "precision"."""
    return table[expect_name(table, name, what)]


def expect_name(table: Collection[str], name: object, what: str) -> str:
    """Return `name`, or raise an InputError that lists the choices unless it is one of `table`'s.

    Nothing is imported, also if `table` is one of the catalog's.
    """
    if isinstance(name, str) and name in table:
        return name
    raise InputError(f"Expected {what} to be one of {', '.join(map(repr, table))}. Received: {name!r}.")


def expect_range(
    name: str,
    value: Value,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    above: bool = False,
    below: bool = False,
    whole: bool = False,
    advice: str = "",
) -> Value:
    """Return `value`, or raise an InputError that calls it `name` unless it is a number from `low` to `high`.

    With `above` the number `low` itself is too small, with `below` the number `high` too large: so `below` alone
    refuses infinity. `whole` asks for an int. NaN, True and False are no numbers here. `advice` says what to do.
    """
    number = isinstance(value, int if whole else numbers.Real) and not isinstance(value, bool)
    if number and (low < value if above else low <= value) and (value < high if below else value <= high):  # type: ignore[operator]
        return value
    kind = f"a {'whole ' if whole else ''}{'finite ' if below and high == math.inf else ''}number"
    limits = [f"{'above' if above else 'from'} {low}"] if low > -math.inf else []
    limits += [f"{'to below' if below else 'to'} {high}"] if high < math.inf else []
    limits += ["up"] if limits == [f"from {low}"] else []
    advice = f" {advice}" if advice else ""
    raise InputError(f"Expected {name} to be {' '.join([kind, *limits])}. Received: {value!r}.{advice}")


def expect_kind(name: str, value: Value, kinds: type | tuple[type, ...], wanted: str, advice: str = "") -> Value:
    """Return `value`, or raise an InputError that calls it `name` and what was `wanted` unless it is of one of `kinds`,
    a class or a tuple of them. `advice` says what to do."""
    if isinstance(value, kinds):
        return value
    raise InputError(f"Expected {name} to be {wanted}. Received: {value!r}.{f' {advice}' if advice else ''}")


def expect_path(path: str | os.PathLike[str], name: str = "path") -> Path:
    """Return a text or an os.PathLike as a Path, or raise an InputError that calls it `name`: for anything else, for an
    empty text, and for one with a NUL, which no file's name has."""
    try:
        text = os.fspath(path)
    except TypeError:
        text = ""
    if not isinstance(text, str) or not text or "\0" in text:
        raise InputError(f"Expected {name} to be the path of a file or folder. Received: {path!r}.")
    return Path(text)
