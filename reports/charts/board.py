"""Charts in rows: a label at the left, bars or dots on one axis, a remark at the right.

All is laid out in points (1/72 inch), so that a picture of any width has type of the same size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reports.charts.looks import Fill, look
from reports.escape import visible
from reports.figures.style import LABEL, LIGHT, house_style
from reports.figures.typeset import Weight, fit
from reports.figures.typeset import width as text_width

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARGIN, _GAP = 4.0, 5.0
_HEADING, _AXIS, _LEGEND = 15.0, 27.0, 12.0
_BAR, _WHISKER, _BETWEEN = 10.5, 6.0, 4.5
_LANE, _MARK = 9.0, 3.8
_SWATCH = 15.0
#: From the middle of a line of figures down to its baseline.
_DROP = 0.36 * LABEL


@dataclass(frozen=True)
class Bar:
    """A row with one bar.

    Attributes:
        label: at its left.
        parts: shares that add up to one; none for a row that only says `right`.
        interval: low and high of the first part; None for none.
        right: at its right.
        heading: a line above, where a new group of rows begins.
    """

    label: str
    parts: Sequence[float] = ()
    interval: tuple[float, float] | None = None
    right: str = ""
    heading: str = ""


@dataclass(frozen=True)
class Dot:
    """A dot with its interval.

    Attributes:
        series: its number, which gives its look.
        value: None where there is none: `right` may say why.
        low, high: its interval; None for none.
        right: at its right.
    """

    series: int
    value: float | None
    low: float | None = None
    high: float | None = None
    right: str = ""


@dataclass(frozen=True)
class Dots:
    """A row with dots, one below the other."""

    label: str
    dots: Sequence[Dot]
    heading: str = ""


@dataclass(frozen=True)
class Axis:
    """The axis below the rows.

    Attributes:
        label: what is measured.
        low, high: where it begins and ends; None to take them from what is shown.
        percent: whether shares are shown, from 0 to 100.
        mark: a value with a line through all rows; None for none.
    """

    label: str
    low: float | None = None
    high: float | None = None
    percent: bool = False
    mark: float | None = None


def stacked(
    bars: Sequence[Bar],
    fills: Sequence[tuple[Fill, str]],
    axis: Axis,
    width: float,
    *,
    whisker: str = "",
    right: str = "",
) -> Figure:
    """Stacked bars over a share from 0 to 100 %.

    Args:
        bars: from top to bottom.
        fills: of the parts, with what the legend calls them.
        axis: what the shares are of.
        width: of the figure in points.
        whisker: what the legend calls the intervals below the bars.
        right: heading of the remarks at the right.
    """
    whiskers = any(bar.interval for bar in bars)
    tall = _BAR + (_WHISKER if whiskers else 0)
    page = _Page(
        width,
        [(bar.label, bar.heading, tall, _BAR / 2, [(_BAR / 2, bar.right)]) for bar in bars],
        axis,
        right,
    )
    legend: list[tuple[str, Callable[[Any, float, float], None]]] = []
    for number, (fill, name) in enumerate(fills):
        if any(number < len(bar.parts) and bar.parts[number] > 0 for bar in bars):
            legend.append((name, _patch(fill)))
    if whiskers:
        legend.append((whisker, _line_swatch))
    with house_style():
        figure, axes = page.open(legend)
        axes.set(xlim=(0, 1))
        for bar, top in zip(bars, page.tops, strict=True):
            left = 0.0
            for share, (fill, _) in zip(bar.parts, fills, strict=False):
                _part(axes, left, share, top, fill, page.inner)
                left += share
            if bar.interval:
                y = top + _BAR + 0.5 * _WHISKER
                _interval(axes, *bar.interval, y, LIGHT["ink"])
                axes.plot([bar.parts[0]], [y], "|", color=LIGHT["ink"], markersize=5, mew=1.1,
                          clip_on=False)  # fmt: skip
        page.close(axes)
    return figure


def dotted(
    rows: Sequence[Dots], names: Sequence[str], axis: Axis, width: float, *, right: str = ""
) -> Figure:
    """Dots with intervals; `names` are those of the series, `right` heads the remarks."""
    page = _Page(
        width,
        [
            (
                row.label,
                row.heading,
                _LANE * len(row.dots),
                _LANE * len(row.dots) / 2,
                [((n + 0.5) * _LANE, dot.right) for n, dot in enumerate(row.dots)],
            )
            for row in rows
        ],
        axis,
        right,
    )
    used = {dot.series for row in rows for dot in row.dots}
    legend = [(name, _marker(n)) for n, name in enumerate(names) if n in used]
    with house_style():
        figure, axes = page.open(legend)
        axes.set(xlim=_limits(rows, axis))
        for row, top in zip(rows, page.tops, strict=True):
            for number, dot in enumerate(row.dots):
                if dot.value is None:
                    continue
                y, how = top + (number + 0.5) * _LANE, look(dot.series)
                if dot.low is not None and dot.high is not None:
                    _interval(axes, dot.low, dot.high, y, how.ink)
                axes.plot([dot.value], [y], how.marker, color=how.ink, markersize=_MARK,
                          clip_on=False)  # fmt: skip
        page.close(axes)
    return figure


class _Page:
    """Where everything stands.

    Args:
        width: of the figure.
        rows: of each its label, heading and height, where in it the label stands, and its remarks
            with where these stand.
        axis: below.
        right: heading of the remarks.
    """

    def __init__(
        self,
        width: float,
        rows: Sequence[tuple[str, str, float, float, Sequence[tuple[float, str]]]],
        axis: Axis,
        right: str,
    ) -> None:
        self.width, self.axis, self.right = width, axis, visible(right)
        self._rows = rows
        self._labels = [fit(visible(row[0]), 0.3 * width, LABEL) for row in rows]
        self.gutter = max((text_width(text, LABEL) for text in self._labels), default=0) + _GAP
        remarks = [text for row in rows for _, text in row[4]]
        self.aside = max((text_width(text, LABEL) for text in [*remarks, self.right]), default=0)
        self.aside += _GAP if self.aside else 0.5 * text_width("100 %", LABEL)
        self.inner = width - 2 * _MARGIN - self.gutter - self.aside
        self.tops: list[float] = []
        y = _HEADING * 0.6 if self.right else 0.0
        for _, heading, tall, _, _ in rows:
            y += _HEADING if heading else 0
            self.tops.append(y + _BETWEEN / 2)
            y += tall + _BETWEEN
        self.deep = y

    def open(
        self, legend: Sequence[tuple[str, Callable[[Any, float, float], None]]]
    ) -> tuple[Figure, Any]:
        """The figure with its labels, and the axes of the rows; their y runs down in points."""
        from matplotlib.figure import Figure

        lines = _wrapped(legend, self.width - 2 * _MARGIN)
        below = _AXIS + len(lines) * _LEGEND + _MARGIN
        height = _MARGIN + self.deep + below
        figure = Figure(figsize=(self.width / 72, height / 72))
        sheet = figure.add_axes((0, 0, 1, 1), zorder=2)
        sheet.set(xlim=(0, self.width), ylim=(height, 0))
        sheet.axis("off")
        at = _MARGIN + self.gutter
        for label, top, (_, heading, _, middle, remarks) in zip(
            self._labels, self.tops, self._rows, strict=True
        ):
            _text(sheet, at - _GAP, _MARGIN + top + middle, label, ha="right")
            if heading:
                line = fit(visible(heading), self.width - 2 * _MARGIN, LABEL, "bold")
                y = _MARGIN + top - _BETWEEN / 2 - _HEADING / 2
                _text(sheet, _MARGIN, y, line, weight="bold", over=True)
            for down, text in remarks:
                _text(sheet, self.width - _MARGIN, _MARGIN + top + down, visible(text), "soft",
                      ha="right")  # fmt: skip
        if self.right:
            _text(sheet, self.width - _MARGIN, _MARGIN + 0.3 * _HEADING, self.right, "soft",
                  ha="right")  # fmt: skip
        for number, line_of in enumerate(lines):
            y = _MARGIN + self.deep + _AXIS + (number + 0.5) * _LEGEND
            for x, text, swatch in line_of:
                swatch(sheet, _MARGIN + x, y)
                _text(sheet, _MARGIN + x + _SWATCH + 3, y, text, "soft")
        box = (
            at / self.width,
            below / height,
            self.inner / self.width,
            self.deep / height,
        )
        axes = figure.add_axes(box)
        axes.set(ylim=(self.deep, 0), yticks=[])
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.set_axisbelow(True)
        return figure, axes

    def close(self, axes: Any) -> None:
        """The axis, once its limits are known."""
        from matplotlib.ticker import FuncFormatter, MaxNLocator

        if self.axis.percent:
            few = self.inner < 120
            axes.set_xticks([0, 0.5, 1] if few else [0, 0.25, 0.5, 0.75, 1])
            axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:g} %"))
        else:
            axes.xaxis.set_major_locator(MaxNLocator(max(2, int(self.inner / 40))))
        axes.grid(axis="x", color=LIGHT["grid"], linewidth=0.6)
        axes.tick_params(length=2, pad=2)
        if self.axis.mark is not None:
            axes.axvline(self.axis.mark, color=LIGHT["faint"], linewidth=0.7, zorder=0.6)
        axes.set_xlabel(self.axis.label, fontsize=LABEL, labelpad=2, color=LIGHT["soft"])


def _text(
    sheet: Any,
    x: float,
    y: float,
    text: str,
    ink: str = "ink",
    *,
    ha: str = "left",
    weight: Weight = "normal",
    over: bool = False,
) -> None:
    """A line of type about the height `y`; `over` what else is there."""
    box = {"pad": 1.5, "facecolor": LIGHT["paper"], "edgecolor": "none"} if over else None
    sheet.text(
        x, y + _DROP, text, fontsize=LABEL, color=LIGHT[ink], ha=ha, va="baseline",
        weight=weight, bbox=box,
    )  # fmt: skip


def _part(axes: Any, left: float, share: float, top: float, fill: Fill, inner: float) -> None:
    """One part of a bar, with its share written in it if there is room."""
    if not share:
        return
    axes.barh(
        top + _BAR / 2, share, height=_BAR, left=left, color=LIGHT[fill.paint],
        hatch=fill.hatch or None, edgecolor=LIGHT[fill.ink], linewidth=0.6,
    )  # fmt: skip
    text = f"{100 * share:.0f}"
    if share * inner >= text_width(text, LABEL) + 4:
        box = {"pad": 0.8, "facecolor": LIGHT[fill.paint], "edgecolor": "none"}
        axes.text(
            left + share / 2, top + _BAR / 2 + _DROP, text, fontsize=LABEL, color=LIGHT[fill.words],
            ha="center", va="baseline", bbox=box if fill.hatch else None,
        )  # fmt: skip


def _interval(axes: Any, low: float, high: float, y: float, ink: str) -> None:
    axes.plot([low, high], [y, y], color=ink, linewidth=0.9, solid_capstyle="butt", clip_on=False)
    for end in (low, high):
        axes.plot([end, end], [y - 1.6, y + 1.6], color=ink, linewidth=0.9, clip_on=False)


def _limits(rows: Sequence[Dots], axis: Axis) -> tuple[float, float]:
    """What holds all dots and intervals, with some room where the axis does not say."""
    ends = [end for row in rows for dot in row.dots for end in (dot.value, dot.low, dot.high)]
    known = [end for end in (*ends, axis.mark) if end is not None] or [0.0, 1.0]
    low, high = min(known), max(known)
    spare = 0.06 * (high - low) or 0.5
    return (
        low - spare if axis.low is None else axis.low,
        high + spare if axis.high is None else axis.high,
    )


def _patch(fill: Fill) -> Callable[[Any, float, float], None]:
    def paint(sheet: Any, x: float, y: float) -> None:
        sheet.bar(
            x, 7, width=_SWATCH, bottom=y - 3.5, align="edge", color=LIGHT[fill.paint],
            hatch=fill.hatch or None, edgecolor=LIGHT[fill.ink], linewidth=0.6,
        )  # fmt: skip

    return paint


def _line_swatch(sheet: Any, x: float, y: float) -> None:
    _interval(sheet, x, x + _SWATCH, y, LIGHT["ink"])
    sheet.plot([x + _SWATCH / 2], [y], "|", color=LIGHT["ink"], markersize=5, mew=1.1)


def _marker(series: int) -> Callable[[Any, float, float], None]:
    def paint(sheet: Any, x: float, y: float) -> None:
        how = look(series)
        _interval(sheet, x, x + _SWATCH, y, how.ink)
        sheet.plot([x + _SWATCH / 2], [y], how.marker, color=how.ink, markersize=_MARK)

    return paint


def _wrapped(
    entries: Sequence[tuple[str, Callable[[Any, float, float], None]]], room: float
) -> list[list[tuple[float, str, Callable[[Any, float, float], None]]]]:
    """The legend's entries `(x, text, swatch)`, as many to a line as fit."""
    lines: list[list[tuple[float, str, Callable[[Any, float, float], None]]]] = []
    x = room
    for name, swatch in entries:
        text = fit(visible(name), room - _SWATCH - 3, LABEL)
        wide = _SWATCH + 3 + text_width(text, LABEL)
        if not lines or x + wide > room:
            lines.append([])
            x = 0.0
        lines[-1].append((x, text, swatch))
        x += wide + 10
    return lines
