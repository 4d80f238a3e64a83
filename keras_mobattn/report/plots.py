"""The plots of a report. Each function returns the bytes of an SVG, which follows a page's light and dark, or of a PNG.

open("latency.png", "wb").write(latency_by_style({"mobile": measurement, ...}, format="png"))
"""

import functools
import inspect
import io
import math
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, overload

import numpy as np
from numpy.typing import ArrayLike

from keras_mobattn._packages import needs
from keras_mobattn.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_mobattn.benchmark import Measurement

# The page replaces these three colours in an SVG by its own, so no data may be drawn in them.
INK, MUTED, GRID = "#14161a", "#6e717a", "#dcdde3"
SAVED: dict[str, Any] = {"svg": {"transparent": True, "metadata": {"Date": None}}, "png": {"dpi": 180}}
ACCENT = "#3b82f6"
BAD = "#e5484d"
# One (colour, marker) per attention style; all stand out on white and on near-black.
MARKS = (
    ("#3b82f6", "o"), ("#f0852d", "s"), ("#1fa463", "^"), ("#e5484d", "D"), ("#9b5de5", "v"), ("#0fa3b1", "P"),
    ("#e04e9d", "X"), ("#a8744f", "<"), ("#97991c", ">"), ("#868e96", "p"), ("#d9a400", "h"), ("#5c6ff0", "*"),
)  # fmt: skip
STYLE: dict[Any, Any] = {
    "savefig.facecolor": "white",  # an SVG is transparent all the same
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same picture everywhere
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,  # a class may be called "$x$"
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "svg.fonttype": "path",
    "svg.hashsalt": "keras_mobattn",  # ids that depend on the content alone: two figures in a page can't disagree
    "savefig.bbox": "tight",
    "savefig.pad_inches": 0.06,
}
WIDTH = 5.8  # inches; with 10 pt text this is legible at a phone's 340 pixels
P = ParamSpec("P")


class Plot(Protocol[P]):
    """What `plot` makes of a function, for type checkers: they check its arguments where `format` is left out."""

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> bytes: ...
    @overload
    def __call__(self, *args: Any, format: str, **kwargs: Any) -> bytes: ...


def plot(draw: Callable[P, "Figure"]) -> Plot[P]:
    """Decorate `draw`, which returns a matplotlib Figure, to return its bytes in the argument `format`, "svg" or
    "png"."""

    @functools.wraps(draw)
    def drawn(*args: Any, format: str = "svg", **kwargs: Any) -> bytes:
        needs("matplotlib")
        import matplotlib

        if format not in SAVED:
            raise InputError(f"Expected format 'svg' or 'png'. Received: {format!r}.")
        drawing = io.BytesIO()
        with matplotlib.rc_context(STYLE):
            draw(*args, **kwargs).savefig(drawing, format=format, **SAVED[format])
        return drawing.getvalue()

    drawn.__signature__ = inspect.signature(draw).replace(return_annotation=bytes)  # type: ignore[attr-defined]
    return drawn  # type: ignore[return-value]  # no hint can say: these arguments, and format


def figure_of(width, height):
    from matplotlib.figure import Figure  # not pyplot: no window system, no global state

    return Figure(figsize=(width, height), layout="constrained")


@plot
def learning_curves(history: Mapping[str, Sequence[float] | np.ndarray]) -> "Figure":
    """Loss and every metric of a validation, by epoch. `history` is Keras's `History.history`: {name: values}."""
    names = [name for name in history if name == "loss" or f"val_{name}" in history]
    names += [name[4:] for name in history if name.startswith("val_") and name[4:] not in history]
    if not names or not all(map(len, history.values())):
        raise InputError(f"Expected a history with 'loss', one value per epoch. Received: {list(history)}.")
    columns = 1 if len(names) <= 2 else 2
    rows = math.ceil(len(names) / columns)
    figure = figure_of(0.85 * WIDTH * columns, 2.4 * rows)
    for index, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, index + 1)
        _curve(axes, name, history.get(name, ()), history.get(f"val_{name}", ()))
    return figure


def _curve(axes, name, train, validation):
    from matplotlib.ticker import MaxNLocator

    title = name.replace("_", " ")
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    lone = "o" if len(train) == 1 else None  # one epoch makes no line
    if len(train):
        axes.plot(range(1, len(train) + 1), train, marker=lone, color=MUTED, linewidth=1.3, label="training")
    if len(validation):
        sign = -1 if "loss" in name or "error" in name else 1
        best = int(np.argmax(np.nan_to_num(sign * np.asarray(validation, float), nan=-np.inf)))
        label = f"validation, best {validation[best]:.4g} in epoch {best + 1}"
        axes.plot(range(1, len(validation) + 1), validation, color=ACCENT, linewidth=2, label=label)
        axes.plot(best + 1, validation[best], "o", color=ACCENT, markersize=5)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.legend(frameon=False, fontsize=8.5)


def _milliseconds(value):
    if value is None:
        return ""
    return f"{value:#.3g}" if value < 100 else f"{value:.0f}"


@plot
def latency_by_style(measurements: Mapping[str, "Measurement"]) -> "Figure":
    """Bars of the median, the fastest on top, whiskers to the 95th percentile. `measurements`: {style: Measurement}."""
    marks = marks_of(measurements)
    timed: dict[str, Any] = {style: row.statistics for style, row in measurements.items() if not row.error}
    failed = [style for style, row in measurements.items() if row.error]
    order = sorted(timed, key=lambda style: timed[style].typical_ms) + failed
    longest = max(map(len, order), default=0)
    figure = figure_of(WIDTH + 0.07 * max(longest - 14, 0), 0.3 * len(order) + 1)
    axes = figure.add_subplot()
    medians, highs = ([getattr(row, name) or 0 for row in timed.values()] for name in ("typical_ms", "p95_ms"))
    end = 1.08 * min(max(medians + highs), 2 * max(medians)) if timed else 1  # a busy machine must not squash the bars
    axes.set(
        xlim=(0, end), ylim=(len(order) - 0.5, -0.5), xlabel="median latency in ms, whisker to the 95th percentile"
    )
    text = {"va": "center", "ha": "right", "fontsize": 9}

    def beside(place, median, p95, colour):  # in two columns, which keep their distance however narrow the axes are
        for points, word, ink in ((42, median, colour), (76, p95, MUTED)):
            where = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points", "annotation_clip": False}
            axes.annotate(word, (1, place), (points, 0), **where, **text, color=ink)

    beside(-0.9, "median", "p95", MUTED)
    for place, style in enumerate(order):
        if style in failed:
            axes.text(0.01 * end, place, "failed", **{**text, "ha": "left"}, color=BAD)
            continue
        _bar(axes, place, timed[style], marks[style][0], end)
        beside(place, _milliseconds(timed[style].typical_ms), _milliseconds(timed[style].p95_ms), INK)
    axes.set_yticks(range(len(order)), order, color=INK)
    axes.tick_params(length=0)
    axes.grid(axis="y", visible=False)
    axes.spines["bottom"].set_visible(False)
    return figure


def _bar(axes, place, statistics, colour, end):
    """A bar to the median and a whisker to the 95th percentile; an arrow head at the axis' end if that is beyond."""
    median, high = statistics.typical_ms, statistics.p95_ms or statistics.typical_ms
    axes.barh(place, median, height=0.66, color=colour)
    axes.plot([median, min(high, end)], [place, place], color=INK, linewidth=1.2)
    axes.plot(
        min(high, end), place, ">" if high > end else "|", color=INK, markersize=5 if high > end else 7, clip_on=False
    )


@plot
def operator_bars(operators: Mapping[str, Mapping[str, float]], xlabel: str, order: Collection[str] = ()) -> "Figure":
    """Stacked bars, the longest on top. `operators`: {operator: {part: value}}; a part is a device, for example.

    Parts have the order of `order`, so that a device has the same colour in every picture; others follow as they come.
    """
    parts = list(dict.fromkeys([*order, *(part for values in operators.values() for part in values)]))
    marks = marks_of(parts)
    used = [part for part in parts if any(part in values for values in operators.values())]
    names = sorted(operators, key=lambda name: -sum(operators[name].values()))
    longest = max(map(len, names), default=0)
    figure = figure_of(WIDTH + 0.07 * max(longest - 14, 0), 0.26 * len(names) + 1)
    axes = figure.add_subplot()
    starts: dict[str, float] = dict.fromkeys(names, 0)
    for part in used:
        values = [operators[name].get(part, 0) for name in names]
        axes.barh(range(len(names)), values, 0.66, list(starts.values()), color=marks[part][0], label=part)
        starts = {name: start + value for (name, start), value in zip(starts.items(), values, strict=True)}
    for place, total in enumerate(starts.values()):
        text = f"{total:.3g}" if isinstance(total, float) else str(total)
        axes.annotate(text, (total, place), (4, 0), textcoords="offset points", va="center", fontsize=8.5, color=MUTED)
    axes.set(ylim=(max(len(names), 1) - 0.5, -0.5), xlabel=xlabel)
    axes.margins(x=0.08)
    axes.set_yticks(range(len(names)), names, color=INK)
    axes.tick_params(length=0)
    axes.grid(axis="y", visible=False)
    axes.spines["bottom"].set_visible(False)
    if len(used) > 1 or order:
        axes.legend(frameon=False, fontsize=8.5, loc="lower right")
    return figure


def loglog_slope(points: Sequence[Sequence[float]] | np.ndarray) -> float | None:
    """The exponent k of ms ~ tokens^k: least squares through [(tokens, ms)] on log axes. None below 2 sizes."""
    if len({tokens for tokens, _ in points}) < 2:
        return None
    tokens, ms = np.log(np.asarray(points, float)).T
    return float(np.polyfit(tokens, ms, 1)[0])


@plot
def latency_by_tokens(
    measurements: Mapping[str, Collection[tuple[int, "Measurement"]]], last: int | None = None
) -> "Figure":
    """Median latency against the number of tokens on log axes. `measurements`: {style: [(tokens, Measurement)]}.

    Beside each line stands its `loglog_slope`, over its `last` sizes or all: 1 is linear in the tokens, 2 quadratic.
    """
    marks = marks_of(measurements)
    lines = {
        style: sorted((tokens, row.statistics.typical_ms) for tokens, row in rows if not row.error)  # type: ignore[union-attr]
        for style, rows in measurements.items()
    }
    missing = {style: sum(row.error is not None for _, row in rows) for style, rows in measurements.items()}
    figure = figure_of(WIDTH, max(3.4, 0.24 * len(lines) + 1.8))
    axes = figure.add_subplot()
    for style, points in lines.items():
        if points:
            colour, marker = marks[style]
            axes.plot(*zip(*points, strict=True), color=colour, marker=marker, markersize=5, linewidth=1.5)
    if any(lines.values()):
        _log_axes(axes, sorted({tokens for points in lines.values() for tokens, _ in points}))
        _label_lines(axes, {style: points for style, points in lines.items() if points}, marks, last)
    if any(missing.values()):
        text = "not measured: " + ", ".join(f"{style} ({count})" for style, count in missing.items() if count)
        axes.text(0, 1.01, text, transform=axes.transAxes, va="bottom", color=BAD, fontsize=8.5)
    return figure


def _log_axes(axes, tokens):
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(tokens, [f"{count:,}".replace(",", " ") for count in tokens])
    axes.xaxis.set_minor_locator(NullLocator())
    low, high = axes.get_ylim()
    steps = (1, 2, 5) if high / low < 300 else (1,)
    axes.yaxis.set_major_locator(LogLocator(subs=steps, numticks=20))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("tokens")
    axes.set_ylabel("median latency in ms")


def _label_lines(axes, lines, marks, last):
    """Write each style and its slope beside the right end of its line, pushed apart where they would overlap."""
    to_axes = (axes.transScale + axes.transLimits).transform
    ends = sorted((to_axes(points[-1])[1], style) for style, points in lines.items())
    gap = 13.5 / (72 * axes.figure.get_figheight() * 0.8)  # 13.5 pt a line; the axes have about 4/5 of the height
    text = {"transform": axes.transAxes, "va": "center", "fontsize": 9}
    axes.text(1.46, 1.05, f"slope, last {last}" if last else "slope", **text, ha="right", color=MUTED)
    for height, (_, style) in zip(_apart([end for end, _ in ends], gap), ends, strict=True):
        colour, marker = marks[style]
        arrow = {"arrowstyle": "-", "color": colour, "linewidth": 0.8, "linestyle": ":", "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", lines[style][-1], (1.07, height), "data", "axes fraction", arrowprops=arrow)
        axes.plot(1.07, height, marker, color=colour, markersize=5, transform=axes.transAxes, clip_on=False)
        axes.text(1.1, height, style, **text)
        slope = loglog_slope(lines[style][-last if last else 0 :])
        axes.text(1.46, height, "" if slope is None else f"{slope:.2f}", **text, ha="right")


def _apart(heights, gap):
    """Move sorted heights in 0..1 as little as needed for neighbours to be `gap` apart."""
    heights = list(heights)
    for index in range(1, len(heights)):
        heights[index] = max(heights[index], heights[index - 1] + gap)
    ceiling = 1.0
    for index in reversed(range(len(heights))):
        heights[index] = ceiling = min(heights[index], ceiling)
        ceiling -= gap
    return heights


@plot
def confusion_matrix(counts: ArrayLike, class_names: Sequence[str]) -> "Figure":
    """Counts [true class, predicted class] as a heat map; shades are shares of the true class."""
    counts = np.asarray(counts)
    classes = len(class_names)
    if counts.shape != (classes, classes):
        raise InputError(f"Expected counts of shape {(classes, classes)}, as class_names. Received: {counts.shape}.")
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    numbers = classes <= 20  # beyond, they would not be legible
    figure = figure_of(WIDTH * 0.85, WIDTH * 0.85)
    axes = figure.add_subplot(aspect="equal")
    for true, predicted in np.argwhere(counts):
        share, right = shares[true, predicted], true == predicted
        square = [predicted, predicted + 1, predicted + 1, predicted], [true, true, true + 1, true + 1]
        alpha = 0.15 + 0.8 * share if right else min(1, 0.25 + 2 * share)
        axes.fill(*square, color=ACCENT if right else BAD, alpha=alpha, linewidth=0)
        if numbers:
            colour = "white" if alpha > 0.6 else INK
            size = min(10, 110 / classes)
            place = predicted + 0.5, true + 0.5
            axes.text(*place, str(counts[true, predicted]), ha="center", va="center", fontsize=size, color=colour)
    step = math.ceil(classes / 20)
    ticks, names = np.arange(0, classes, step) + 0.5, [str(name) for name in class_names[::step]]
    axes.set_xticks(ticks, names, rotation=90 if max(map(len, names)) > 3 else 0)
    axes.set_yticks(ticks, names)
    axes.tick_params(length=0)
    axes.set(xlim=(0, classes), ylim=(classes, 0), xlabel="predicted", ylabel="true")
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)
    return figure


@plot
def bars_by_class(shares: ArrayLike, class_names: Sequence[str]) -> "Figure":
    """A bar for each class with its share 0..1, from the best to the worst; classes of NaN have none."""
    values = _expect_shares(shares, class_names)
    order = [place for place in np.argsort(-values, kind="stable") if np.isfinite(values[place])]
    figure = figure_of(WIDTH, 0.24 * len(order) + 0.5)
    axes = figure.add_subplot()
    places = np.arange(len(order))
    axes.barh(places, [100 * values[place] for place in order], color=ACCENT, height=0.7)
    for row, place in enumerate(order):
        axes.text(100 * values[place] + 1, row, f"{100 * values[place]:.1f}", va="center", fontsize=8.5, color=INK)
    axes.set_yticks(places, [str(class_names[place]) for place in order])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set(xlim=(0, 108), ylim=(len(order) - 0.4, -0.6), xlabel="%")
    return figure


def _expect_shares(shares, class_names):
    try:
        values = np.array(shares, np.float64)
    except (TypeError, ValueError):
        values = np.zeros(())
    if values.shape != (len(class_names),) or not np.isfinite(values).any() or (values < 0).any() or (values > 1).any():
        raise InputError(
            f"Expected a share of 0 to 1, or NaN, for each of {len(class_names)} classes. Received: {str(shares)[:80]}."
        )
    return values


@plot
def precision_by_recall(precision: Sequence[float] | np.ndarray) -> "Figure":
    """Precision at recall 0 to 1, evenly spaced: how many found boxes are right, the more objects are found."""
    recall = np.linspace(0, 1, len(precision))
    figure = figure_of(WIDTH, 0.6 * WIDTH)
    axes = figure.add_subplot()
    axes.fill_between(recall, precision, color=ACCENT, alpha=0.15, linewidth=0)
    axes.plot(recall, precision, color=ACCENT, linewidth=2)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall: objects found", ylabel="precision: boxes that are right")
    return figure


@plot
def image_grid(
    images: np.ndarray | Sequence[np.ndarray], captions: Collection[str], wrong: Container[int] = (), columns: int = 6
) -> "Figure":
    """Small pictures, uint8 [n, h, w, 3], with captions; frame and caption are red for the indices in `wrong`."""
    if len(images) == 0 or len(images) != len(captions):
        raise InputError(f"Expected as many captions as images, at least 1. Received: {len(captions)}, {len(images)}.")
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    lines = max(str(caption).count("\n") + 1 for caption in captions)
    height, width = np.shape(images)[1:3]
    side = 1.2 * WIDTH / columns
    figure = figure_of(side * columns, rows * (side * height / width + 0.17 * lines))
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.imshow(image, interpolation="none")
        axes.set_xlabel(str(caption), color=BAD if index in wrong else INK, labelpad=3)
        axes.set(xticks=[], yticks=[])
        axes.grid(visible=False)
        axes.spines[:].set(visible=True, color=BAD if index in wrong else GRID, linewidth=2 if index in wrong else 0.7)
    return figure


def marks_of(names):
    """{name: (colour, marker)}, in the order given: plots of the same styles agree."""
    return {name: MARKS[index % len(MARKS)] for index, name in enumerate(names)}
