"""Lay out the axes of charts: panels of curves, and rows of bars or dots over one axis.

matplotlib's constrained layout makes room for all type; widths and heights are in points, so that
rows and type have the same size in a figure of any width.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from duo.escape import visible
from reports.plots.style import LABEL, LIGHT, house_style
from reports.plots.typeset import fit
from reports.plots.typeset import width as text_width

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

# Points (1/72 inch).
_WIDE = 400.0  # from this width on panels stand side by side
_TALL, _FLAT = 118.0, 150.0  # of a panel below another, and beside one
_LEGEND_LINE, _LEGEND_KEY = 11.0, 28.0
_BAR_ROW, _LANE, _BETWEEN = 21.0, 9.0, 4.5
_AXIS, _HEADING, _PADDING = 27.0, 15.0, 6.0
_LABEL_SHARE = 0.3  # of the width, at most, for the labels of rows

_INKS = ("query", "speech", "ignore", "respond", "cut", "other")
_MARKERS = "osD^vPX"
#: Lengths of strokes and gaps in widths of the line; none for an unbroken one.
_DASHES: tuple[tuple[float, ...], ...] = (
    (), (4, 1.5), (1, 1.2), (6, 1.5, 1, 1.5), (3, 1, 1, 1, 1, 1), (8, 2),
)  # fmt: skip


class Look(NamedTuple):
    """The ink, marker and line of a series: a grey print tells them apart, too."""

    ink: str
    marker: str
    dashes: tuple[float, ...]

    @property
    def linestyle(self) -> Any:
        """Return the line as matplotlib takes it."""
        return (0, self.dashes) if self.dashes else "solid"


class Fill(NamedTuple):
    """The paint, hatch, edge and words of a part of a bar, as roles of the house's colours."""

    paint: str
    hatch: str
    ink: str
    words: str = "ink"

    @property
    def patch(self) -> dict[str, Any]:
        """Return the looks of a matplotlib patch."""
        return {
            "facecolor": LIGHT[self.paint], "edgecolor": LIGHT[self.ink], "linewidth": 0.6,
            "hatch": self.hatch or None,
        }  # fmt: skip


def look(number: int) -> Look:
    """Return the look of a series; the first 42 differ in marker and line, whatever the ink."""
    return Look(
        LIGHT[_INKS[number % len(_INKS)]],
        _MARKERS[number % len(_MARKERS)],
        _DASHES[number % len(_DASHES)],
    )


@contextmanager
def panels(
    width: float, count: int = 1, names: Sequence[str] = (), *, lines: bool = True
) -> Iterator[tuple[Figure, list[Any]]]:
    """Open a figure of panels, side by side where it is wide, and close it with a legend.

    Args:
        names: of the series, for the legend.
        lines: whether series are lines; otherwise they are points.
    """
    from matplotlib.lines import Line2D

    down, across = (1, count) if width >= _WIDE else (count, 1)
    handles = [
        Line2D(
            [], [], color=look(n).ink, marker=look(n).marker, markersize=4, linewidth=1.1,
            linestyle=look(n).linestyle if lines else "none",
        )
        for n in range(len(names))
    ]  # fmt: skip
    tall = down * (_TALL if down > 1 else _FLAT)
    with _figure(width, tall, dict(zip(names, handles, strict=True))) as figure:
        every = list(figure.subplots(down, across, squeeze=False).flat)
        for axes in every:
            axes.grid(color=LIGHT["grid"], linewidth=0.6)
        yield figure, every
        figure.align_ylabels(every)


def curve(
    axes: Any,
    number: int,
    x: Iterable[float],
    y: Iterable[float],
    intervals: Iterable[tuple[float | None, float | None]] = (),
    **more: Any,
) -> None:
    """Draw a series' line with its markers at the points, and their intervals if there are any."""
    how = look(number)
    x, y = list(x), list(y)
    more = {"marker": how.marker, "markersize": 3.4, "linewidth": 1.1, **more}
    axes.plot(x, y, color=how.ink, linestyle=how.linestyle, **more)
    for at, value, ends in zip(x, y, intervals, strict=False):
        spot(axes, number, at, value, up=ends)


def spot(
    axes: Any,
    number: int,
    x: float | None,
    y: float | None,
    *,
    across: tuple[float | None, float | None] = (None, None),
    up: tuple[float | None, float | None] = (None, None),
    **more: Any,
) -> None:
    """Draw a series' point with its intervals, each `(low, high)`; nothing if it has no place."""
    if x is None or y is None or x != x or y != y:
        return
    how = look(number)
    more = {"color": how.ink, "marker": how.marker, "markersize": 4, **more}
    axes.errorbar(
        x, y, xerr=_reach(x, *across), yerr=_reach(y, *up), capsize=1.8, linewidth=0.9,
        capthick=0.9, linestyle="none", zorder=3, clip_on=False, **more,
    )  # fmt: skip


def percent(axes: Any, which: str = "y", *, margin: float = 0.04, steps: int = 4) -> None:
    """Make an axis one of shares from 0 to 100 %."""
    axis = axes.yaxis if which == "y" else axes.xaxis
    (axes.set_ylim if which == "y" else axes.set_xlim)(-margin, 1 + margin)
    axis.set_ticks([step / steps for step in range(steps + 1)])
    axis.set_major_formatter(lambda share, _: f"{100 * share:g} %")


def stacked(
    bars: DataFrame,
    fills: Mapping[str, tuple[Fill, str]],
    width: float,
    *,
    label: str,
    interval: str,
    right: str,
) -> Figure:
    """Draw stacked bars over a share from 0 to 100 %.

    Args:
        bars: a row for each bar from top to bottom: `heading` (of the group that it belongs to, ""
            for none), `label`, the parts by the names in `fills`, `low` and `high` (interval of the
            first part), `right` (a remark). No numbers where there is nothing to show.
        fills: of each part, and what the legend calls it.
        interval: what the legend calls the intervals below the bars.
        right: heading of the remarks.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    bars = bars.astype(dict.fromkeys([*fills, "low", "high"], float))
    shown = {part: fill for part, fill in fills.items() if (bars[part] > 0).any()}
    legend: dict[str, Any] = {name: Patch(**fill.patch) for fill, name in shown.values()}
    if bars["low"].notna().any():
        legend[interval] = Line2D([], [], color=LIGHT["ink"], linewidth=0.9, marker="|")
    heights = [_BAR_ROW * len(group) for _, group in bars.groupby("heading", sort=False)]
    with _rows(bars, heights, width, legend, label=label, right=right) as (figure, every, room):
        for axes, (_, group) in zip(every, bars.groupby("heading", sort=False), strict=True):
            axes.set_ylim(len(group), 0)
            middle = [n + 0.36 for n in range(len(group))]
            axes.set_yticks(middle, _labels(group["label"], width))
            left = 0 * group["low"].fillna(0)
            for part, (fill, _) in shown.items():
                share = group[part].where(group[part] > 0)
                drawn = axes.barh(middle, share, 0.5, left, zorder=2, **fill.patch)
                texts = [f"{100 * s:.0f}" if s * room > text_width("100", LABEL) else ""
                         for s in share]  # fmt: skip
                behind = {"pad": 0.8, "facecolor": LIGHT[fill.paint], "edgecolor": "none"}
                axes.bar_label(
                    drawn, texts, label_type="center", fontsize=LABEL, color=LIGHT[fill.words],
                    bbox=behind if fill.hatch else None,
                )  # fmt: skip
                left = left + share.fillna(0)
            first = group[next(iter(fills))]
            for y, value, low, high in zip(middle, first, group["low"], group["high"], strict=True):
                spot(
                    axes, 0, value, y + 0.4, across=(low, high), color=LIGHT["ink"], marker="|",
                    markersize=5,
                )  # fmt: skip
            _remarks(axes, middle, group["right"], bars["right"], right)
            percent(axes, "x", margin=0, steps=2 if room < 120 else 4)
    return figure


def dotted(
    dots: DataFrame,
    names: Sequence[str],
    width: float,
    *,
    label: str,
    right: str = "",
    share: bool = False,
    mark: float | None = None,
) -> Figure:
    """Draw dots with intervals in rows.

    Args:
        dots: a row for each dot from top to bottom: `heading` (of the group that it belongs to, ""
            for none), `label` (neighbours of the same label share it), `series` (a number into
            `names`), `value`, `low`, `high`, `right` (a remark). No numbers where there are none.
        names: of the series.
        right: heading of the remarks.
        share: whether the axis goes from 0 to 100 %.
        mark: a value with a line through all rows.
    """
    from matplotlib.lines import Line2D

    dots = dots.astype(dict.fromkeys(("value", "low", "high"), float))
    legend = {
        names[n]: Line2D([], [], color=look(n).ink, marker=look(n).marker, markersize=3.8)
        for n in sorted(dots["series"].unique())
    }
    groups = [group for _, group in dots.groupby("heading", sort=False)]
    heights = [_LANE * len(g) + _BETWEEN * g["label"].nunique() for g in groups]
    with _rows(dots, heights, width, legend, label=label, right=right) as (figure, every, room):
        for axes, group, height in zip(every, groups, heights, strict=True):
            axes.set_ylim(height, 0)
            row = (group["label"] != group["label"].shift()).cumsum()
            y = [_LANE * (n + 0.5) + _BETWEEN * (r - 0.5) for n, r in enumerate(row)]
            middle = group.assign(y=y).groupby(row)["y"].mean()
            axes.set_yticks(middle, _labels(group.groupby(row)["label"].first(), width))
            cells = (group[name].tolist() for name in ("series", "value", "low", "high"))
            for at, series, value, low, high in zip(y, *cells, strict=True):
                spot(axes, series, value, at, across=(low, high))
            _remarks(axes, y, group["right"], dots["right"], right)
            if mark is not None:
                axes.axvline(mark, color=LIGHT["faint"], linewidth=0.7, zorder=0.6)
        if share:
            percent(axes, "x", margin=0, steps=2 if room < 120 else 4)
        else:
            axes.locator_params(axis="x", nbins=max(2, int(room / 40)))
    return figure


@contextmanager
def _figure(width: float, tall: float, legend: Mapping[str, Any]) -> Iterator[Figure]:
    """Open a figure with `tall` points of room above its legend."""
    from matplotlib.figure import Figure

    names = [visible(name) for name in legend]
    widest = max((text_width(name, LABEL) for name in names), default=0) + _LEGEND_KEY
    columns = max(1, min(len(names), int(width / widest)))
    height = tall + -(-len(names) // columns) * _LEGEND_LINE + _PADDING
    with house_style():
        figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
        yield figure
        if names:
            texts = [fit(name, width / columns - _LEGEND_KEY, LABEL) for name in names]
            figure.legend(
                list(legend.values()), texts, ncols=columns, loc="outside lower left",
                handlelength=2.4, columnspacing=1.2, borderpad=0.2, labelcolor=LIGHT["soft"],
            )  # fmt: skip


@contextmanager
def _rows(
    rows: DataFrame,
    heights: Sequence[float],
    width: float,
    legend: Mapping[str, Any],
    *,
    label: str,
    right: str,
) -> Iterator[tuple[Figure, list[Any], float]]:
    """Open a figure with axes for each group of rows, `heights` points high, over one x axis.

    Yields both, and about how many points the axes are wide.
    """
    headings = list(rows["heading"].unique())
    texts = [*rows["right"], right]
    aside = max(text_width(visible(text), LABEL) for text in texts)
    gutter = max(text_width(text, LABEL) for text in _labels(rows["label"], width))
    tall = sum(heights) + _AXIS + _HEADING * (bool(right) or any(headings[:1]))
    tall += _HEADING * sum(map(bool, headings[1:]))
    with _figure(width, tall, legend) as figure:
        every = list(
            figure.subplots(
                len(heights), 1, squeeze=False, sharex=True,
                gridspec_kw={"height_ratios": heights},
            ).flat
        )  # fmt: skip
        for axes, heading in zip(every, headings, strict=True):
            title = fit(visible(heading), width - gutter - 12, LABEL, "bold")
            axes.set_title(title, loc="left", fontsize=LABEL, weight="bold", pad=3)
            axes.grid(axis="x", color=LIGHT["grid"], linewidth=0.6)
            axes.tick_params(axis="y", length=0, pad=5, labelcolor=LIGHT["ink"])
            axes.tick_params(axis="x", bottom=axes is every[-1])
            axes.spines["left"].set_visible(False)
            axes.spines["bottom"].set_visible(axes is every[-1])
        yield figure, every, width - gutter - aside - 16
        every[-1].set_xlabel(label)


def _labels(labels: Any, width: float) -> list[str]:
    return [fit(visible(text), _LABEL_SHARE * width, LABEL) for text in labels]


def _remarks(axes: Any, at: Sequence[float], texts: Any, every: Any, heading: str) -> None:
    """Write remarks flush right beside the axes, and their heading above those of the first."""
    aside = 5 + max(text_width(visible(text), LABEL) for text in [*every, heading])
    how = {
        "textcoords": "offset points", "ha": "right", "fontsize": LABEL, "color": LIGHT["soft"],
        "annotation_clip": False,
    }  # fmt: skip
    for y, text in zip(at, texts, strict=True):
        if text:
            axes.annotate(
                visible(text), (1, y), (aside, 0), xycoords=("axes fraction", "data"),
                va="center_baseline", **how,
            )  # fmt: skip
    if axes.get_subplotspec().is_first_row() and heading:
        axes.annotate(
            visible(heading), (1, 1), (aside, 3), xycoords="axes fraction", va="baseline", **how
        )


def _reach(value: float, low: float | None, high: float | None) -> list[list[float]] | None:
    """Turn an interval into distances below and above, as matplotlib takes it."""
    if low is None or high is None or low != low or high != high:
        return None
    return [[max(0.0, value - low)], [max(0.0, high - value)]]
