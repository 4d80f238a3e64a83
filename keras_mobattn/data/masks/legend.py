"""What the numbers and colours of masks mean: the classes' names, read from a file or told by the numbers alone."""

import csv
import dataclasses
import re
import warnings
from collections.abc import Mapping

from keras_mobattn.data.masks.mask import COLOURS, GREY, PALETTE
from keras_mobattn.data.targets import IGNORED
from keras_mobattn.errors import InputError

FILES = ("classes.txt", "class_names.txt", "labelmap.txt", "_classes.csv")
SHARES = (0, IGNORED)  # what masks hold that were drawn in black and white
ADVICE = "Put a classes.txt there, a line a class: its name, or name, red, green and blue."
COLOUR = re.compile(r"(.*?)[\s,:]+(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})")


@dataclasses.dataclass(frozen=True)
class Legend:
    """The classes, and the place among them, or IGNORED, of a number and, where masks are in colours, of a colour."""

    class_names: tuple[str, ...]
    places: Mapping[int, int]
    colours: Mapping[int, int] | None = None  # of 0xRRGGBB

    def classes(self, path, facts):
        """The places of `facts.codes`.

        Raises:
            InputError: a number or a colour that has none.
        """
        by_colour = facts.kind == COLOURS or (facts.kind == PALETTE and self.colours is not None)
        if not by_colour:
            return tuple(self._place(path, code) for code in facts.codes)
        if self.colours is None:
            raise InputError(
                f"Expected numbers of classes in {str(path)!r}, or a file that tells the classes' colours. Received: "
                f"colours. {ADVICE}"
            )
        colours = facts.palette if facts.kind == PALETTE else facts.codes
        pairs = zip(facts.codes, colours, strict=True)
        return tuple(
            IGNORED if (facts.kind, code) == (PALETTE, IGNORED) else self._colour(path, colour)
            for code, colour in pairs
        )

    def _place(self, path, code):
        if code not in self.places:
            raise InputError(
                f"Expected numbers of {len(self.class_names)} classes in {str(path)!r}: "
                f"{_ranges(self.places)}. Received: {code}. Correct the mask, or name the class."
            )
        return self.places[code]

    def _colour(self, path, colour):
        if colour not in self.colours:
            raise InputError(
                f"Expected colours of {len(self.class_names)} classes in {str(path)!r}. Received: "
                f"{colour >> 16} {colour >> 8 & 255} {colour & 255}, red, green and blue. Correct the mask, or name "
                "the class of this colour."
            )
        return self.colours[colour]


def legend_of(class_names, where, first=0, colours=None):
    """The Legend of classes whose numbers follow each other from `first` on.

    Raises:
        InputError: a name twice, fewer than two classes, or more than a mask's byte can tell.
    """
    names = tuple(class_names)
    if not 2 <= len(names) <= IGNORED or len(set(names)) < len(names) or "" in names:
        twice = [repr(name) for name in names if names.count(name) > 1]
        raise InputError(
            f"Expected 2 to {IGNORED} classes, each with a name of its own, in {where}. Received: {len(names)}"
            f"{', with ' + twice[0] + ' twice' if twice else ', with an empty name' if '' in names else ''}."
        )
    return Legend(names, {first + place: place for place in range(len(names))} | {IGNORED: IGNORED}, colours)


def read_legend(folder, files):
    """The Legend that one of FILES in the folder tells, or several of them that are the same; None without.

    `files` are the folder's, by suffix.

    Raises:
        InputError: several that differ, or one that can't be understood.
    """
    found = [path for suffix in (".txt", ".csv") for path in files[suffix] if path.name.lower() in FILES]
    legends = {path: PARSERS[path.name.lower()](path) for path in found}
    different = [path for path in found if legends[path] != legends[found[0]]]
    if different:
        raise InputError(
            f"Expected one list of classes in {folder}. Received: {str(found[0])!r} and another in "
            f"{str(different[0])!r}. Keep one."
        )
    return legends[found[0]] if found else None


def numbered(folder, facts, first=0):
    """The Legend of masks whose classes have no names: "class 0" and so on, up to the largest number, with a warning.

    Masks that hold 0 and 255 alone are black and white: background and foreground. `facts` are those of all masks;
    `first` is the number of the first class.

    Raises:
        InputError: colours, or numbers that aren't 2 to 255 classes.
    """
    if binary := black_and_white(folder, facts, ("background", "foreground")):
        return binary
    coloured = next((path for path, each in facts.items() if each.kind == COLOURS), None)
    if coloured:
        raise InputError(
            f"Expected the colours of the classes in a file in {folder}. Received: masks in colours, such as "
            f"{coloured.name!r}, and no such file. {ADVICE}"
        )
    largest = max((code for each in facts.values() for code in each.codes if code != IGNORED), default=0)
    legend = legend_of([f"class {number}" for number in range(first, largest + 1)], folder, first)
    warnings.warn(
        f"No file in {folder} names the classes, so they are called by their numbers, {first} to {largest}. {ADVICE}",
        stacklevel=5,
    )
    return legend


def black_and_white(folder, facts, names):
    """The Legend of two classes in grey masks of 0 and 255, with a warning; None where the masks are others."""
    codes = {code for each in facts.values() for code in each.codes}
    if codes != set(SHARES) or any(each.kind != GREY for each in facts.values()):
        return None
    warnings.warn(
        f"All masks in {folder} hold 0 and {IGNORED} alone: {IGNORED} is taken for {names[1]!r}, not for pixels that "
        "count nowhere.",
        stacklevel=5,
    )
    return Legend(names, {0: 0, IGNORED: 1})


def _read_text(path):
    """classes.txt: a name a line, or a name and its colour."""
    lines = _lines(path)
    found = [COLOUR.fullmatch(line) for line in lines]
    if not any(found):
        return legend_of(lines, repr(str(path)))
    if not all(found):
        odd = next(line for line, match in zip(lines, found, strict=True) if not match)
        raise InputError(f"Expected a colour for each class of {str(path)!r}, or for none. Received: {odd!r} without.")
    return _coloured([match.groups() for match in found], path)


def _read_labelmap(path):
    """CVAT's labelmap.txt: "label:red,green,blue:parts:actions"."""
    rows = []
    for line in _lines(path):
        if line.startswith("#"):
            continue
        name, colour, *_ = line.split(":") + [""]
        rows.append((name, *(word.strip() for word in colour.split(","))))
        if len(rows[-1]) != 4 or not all(word.isdigit() for word in rows[-1][1:]):
            raise InputError(f"Expected 'label:red,green,blue:parts:actions' in {str(path)!r}. Received: {line!r}.")
    return _coloured(rows, path)


def _read_csv(path):
    """Roboflow's _classes.csv: "Pixel Value, Class" and such rows."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = [[cell.strip() for cell in row] for row in csv.reader(file) if any(row)][1:]
    if any(len(row) < 2 or not row[0].isdigit() for row in rows):
        raise InputError(
            f"Expected 'Pixel Value, Class' and rows of these in {str(path)!r}. Received: "
            f"{next(row for row in rows if len(row) < 2 or not row[0].isdigit())}."
        )
    numbers = {int(row[0]): ", ".join(row[1:]) for row in rows}
    if sorted(numbers) != list(range(len(rows))):
        raise InputError(
            f"Expected pixel values from 0 on, each once, in {str(path)!r}. Received: "
            f"{', '.join(row[0] for row in rows)}."
        )
    return legend_of([numbers[number] for number in sorted(numbers)], repr(str(path)))


PARSERS = dict(zip(FILES, (_read_text, _read_text, _read_labelmap, _read_csv), strict=True))


def _lines(path):
    """A file's lines without space around them; empty ones may be at its end alone, since a line's number counts."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").rstrip().splitlines()]
    if "" in lines:
        raise InputError(
            f"Expected a class in each line of {str(path)!r}. Received: an empty line {lines.index('') + 1}."
        )
    return lines


def _coloured(rows, path):
    colours = {}
    for place, (_, *colour) in enumerate(rows):
        red, green, blue = map(int, colour)
        if max(red, green, blue) > 255 or (red << 16 | green << 8 | blue) in colours:
            raise InputError(
                f"Expected colours of three numbers up to 255, another for each class, in {str(path)!r}. Received: "
                f"{red} {green} {blue}."
            )
        colours[red << 16 | green << 8 | blue] = place
    return legend_of([row[0] for row in rows], repr(str(path)), colours=colours)


def _ranges(places):
    numbers = sorted(number for number, place in places.items() if place != IGNORED)
    ignored = [number for number, place in places.items() if place == IGNORED]
    return f"{numbers[0]} to {numbers[-1]}" + (f", or {ignored[-1]} for none" if ignored else "")
