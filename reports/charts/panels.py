"""Charts of curves and points: panels below one another in a column, side by side on a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from reports.charts.looks import look
from reports.escape import visible
from reports.figures.style import LABEL, LIGHT, house_style
from reports.figures.typeset import fit
from reports.figures.typeset import width as text_width

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INCH = 72.0
#: From this width on panels stand side by side.
_WIDE = 400.0
_TALL, _FLAT = 118.0, 150.0  # points: of a panel below another, and beside one
_LEGEND_LINE, _LEGEND_KEY = 11.0, 30.0


def panelled(
    width: float,
    panels: Sequence[Callable[[Any], None]],
    names: Sequence[str] = (),
    *,
    share_x: bool = False,
    lines: bool = True,
) -> Figure:
    """Draw panels.

    Args:
        width: of the figure in points.
        panels: each draws into the axes that it gets.
        names: of the series, for the legend; none for no legend.
        share_x: whether all have the same x axis.
        lines: whether the series are lines; otherwise they are points.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    wide = width >= _WIDE
    down, across = (1, len(panels)) if wide else (len(panels), 1)
    columns, rows = _legend_shape([visible(name) for name in names], width)
    height = down * (_FLAT if wide or len(panels) == 1 else _TALL) + rows * _LEGEND_LINE + 8
    with house_style():
        figure = Figure(figsize=(width / _INCH, height / _INCH), layout="constrained")
        every = figure.subplots(down, across, squeeze=False, sharex="all" if share_x else "none")
        for draw, axes in zip(panels, every.flat, strict=True):
            axes.grid(color=LIGHT["grid"], linewidth=0.6)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(length=2, pad=2)
            draw(axes)
            axes.xaxis.label.set_size(LABEL)
            axes.yaxis.label.set_size(LABEL)
        if names:
            keys = [
                Line2D(
                    [], [], color=look(n).ink, marker=look(n).marker, markersize=4,
                    linestyle=look(n).linestyle if lines else "none", linewidth=1.1,
                )
                for n in range(len(names))
            ]  # fmt: skip
            room = width / columns - _LEGEND_KEY
            figure.legend(
                keys, [fit(visible(name), room, LABEL) for name in names], ncols=columns,
                loc="outside lower left", handlelength=2.6, columnspacing=1.4, borderpad=0.2,
            )  # fmt: skip
    return figure


def curve(axes: Any, number: int, x: Sequence[float], y: Sequence[float], **more: Any) -> None:
    """A series' line with its shapes at the points."""
    how = look(number)
    axes.plot(
        x, y, color=how.ink, linestyle=how.linestyle, marker=how.marker, markersize=3.4,
        linewidth=1.1, **more,
    )  # fmt: skip


def spot(
    axes: Any,
    number: int,
    x: float,
    y: float,
    *,
    across: tuple[float | None, float | None] = (None, None),
    up: tuple[float | None, float | None] = (None, None),
) -> None:
    """A series' point with its intervals."""
    how = look(number)
    axes.errorbar(
        x, y, xerr=_reach(x, *across), yerr=_reach(y, *up), color=how.ink, marker=how.marker,
        markersize=4, capsize=1.8, linewidth=0.7, capthick=0.7, linestyle="none",
    )  # fmt: skip


def percent(axes: Any, which: str = "y", *, margin: float = 0.04) -> None:
    """Make an axis one of shares from 0 to 100 %."""
    from matplotlib.ticker import FuncFormatter

    axis = axes.yaxis if which == "y" else axes.xaxis
    (axes.set_ylim if which == "y" else axes.set_xlim)(-margin, 1 + margin)
    axis.set_ticks([0, 0.25, 0.5, 0.75, 1])
    axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))


def _reach(value: float, low: float | None, high: float | None) -> list[list[float]] | None:
    """An interval as distances below and above, as matplotlib wants it."""
    if low is None or high is None:
        return None
    return [[max(0.0, value - low)], [max(0.0, high - value)]]


def _legend_shape(names: Sequence[str], width: float) -> tuple[int, int]:
    """Columns and rows that the legend takes."""
    if not names:
        return 1, 0
    widest = max(text_width(name, LABEL) for name in names) + _LEGEND_KEY
    columns = max(1, min(len(names), int(width / widest)))
    return columns, -(-len(names) // columns)
