"""Plots that compare attention styles in several hosts. Each function returns the bytes of an SVG or of a PNG.

Only studies draw them; they lie here since they are public names of `report`, which can't import studies.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from keras_mobattn.errors import InputError
from keras_mobattn.report.plots import INK, MUTED, WIDTH, figure_of, marks_of, plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@plot
def accuracy_by_style(accuracies: Mapping[str, Mapping[str, Sequence[float]]], chance: float | None = None) -> "Figure":
    """A dot for each seed and a line at the mean. `accuracies`: {host: {style: [percent, ..]}}; one panel per host."""
    _expect_hosts(accuracies)
    styles = list(dict.fromkeys(style for values in accuracies.values() for style in values))
    marks = marks_of(styles)
    lines = [len(values) for values in accuracies.values()]
    figure = figure_of(WIDTH, 0.3 * sum(lines) + 0.5 * len(lines) + 0.4)
    panels = figure.subplots(len(lines), 1, sharex=True, squeeze=False, height_ratios=lines)[:, 0]
    for axes, (host, values) in zip(panels, accuracies.items(), strict=True):
        axes.set_title(host, loc="left", fontsize=11, fontweight="bold")
        for place, (style, reached) in enumerate(values.items()):
            colour, _ = marks[style]
            axes.plot(reached, [place] * len(reached), "o", color=colour, alpha=0.55, markersize=6, markeredgewidth=0)
            if reached:
                mean = statistics.mean(reached)
                axes.plot([mean, mean], [place - 0.32, place + 0.32], color=colour, linewidth=2.5)
                where = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points", "va": "center"}
                axes.annotate(f"{mean:.1f}", (1, place), (34, 0), **where, ha="right", fontsize=9, color=INK)
        if chance is not None:
            axes.axvline(chance, color=MUTED, linewidth=1, linestyle=":")
        axes.set_yticks(range(len(values)), values, color=INK)
        axes.set_ylim(len(values) - 0.5, -0.5)
        axes.tick_params(length=0)
        axes.grid(axis="y", visible=False)
    panels[-1].set_xlabel(
        "test accuracy in %, a dot for each seed" + ("" if chance is None else f"; dotted: chance, {chance:g} %")
    )
    return figure


@plot
def by_resolution(
    values: Mapping[str, Mapping[str, Sequence[tuple[int, float]]]], ylabel: str, linear: bool = False
) -> "Figure":
    """A line per style against the image's side. `values`: {host: {style: [(side, value), ..]}}.

    The values' axis is logarithmic and each panel's own; with `linear` it is linear and the same in all panels.
    """
    _expect_hosts(values)
    styles = list(dict.fromkeys(style for lines in values.values() for style in lines))
    marks = marks_of(styles)
    figure = figure_of(0.62 * WIDTH * len(values), 3.3)
    panels = figure.subplots(1, len(values), sharey=linear, squeeze=False)[0]
    for axes, (host, lines) in zip(panels, values.items(), strict=True):
        axes.set_title(host, loc="left", fontsize=11, fontweight="bold")
        for style, points in lines.items():
            colour, marker = marks[style]
            if points:
                axes.plot(*zip(*points, strict=True), color=colour, marker=marker, markersize=5, linewidth=1.5)
        _axes(axes, sorted({side for points in lines.values() for side, _ in points}), linear)
    panels[0].set_ylabel(ylabel)
    handles = [_line(*marks[style]) for style in styles]
    figure.legend(handles, styles, loc="outside lower center", ncols=len(styles), frameon=False, fontsize=9)
    return figure


def _expect_hosts(values):
    if not values:
        raise InputError(f"Expected at least one host with its styles. Received: {values!r}.")


def _line(colour, marker):
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, marker=marker, markersize=5, linewidth=1.5)


def _axes(axes, sides, linear):
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    axes.set_xscale("log")
    axes.set_xticks(sides, list(map(str, sides)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("pixels a side")
    if not linear:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=20))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
