"""Dots and intervals: a small panel for each benchmark, the paper's numbers and ours.

Each model has a band in every panel: the paper's open dot above, ours below, filled, with another
shape for each profile. Shape and place tell them apart without colour.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from duo.table import clean
from reports.escape import csv_cell
from reports.plots.style import BODY, LABEL, LIGHT, house_style
from reports.plots.typeset import fit
from reports.plots.typeset import width as text_width
from reports.table1.points import Point, points_of
from reports.table1.table import Slot, Table1

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Colours and shapes of our profiles, in the order in which they stand in the table.
_LOOKS = (("query", "o"), ("speech", "s"), ("respond", "D"), ("ignore", "^"), ("cut", "v"))
_PAPER = ("soft", "o")

# Points (1/72 inch).
_MARGIN, _GAP, _LANE, _BETWEEN = 4.0, 13.0, 6.0, 4.0
_TITLE, _AXIS, _LEGEND = 20.0, 17.0, 12.0
_MARK = 3.4
_NAME_AT_MOST = 70.0
_PANEL_AT_LEAST = 78.0

_COLUMNS = ("benchmark", "model", "source", "profile", "value", "low", "high", "n", "note")


def draw(table: Table1, *, width: float) -> Figure:
    """The figure, `width` points wide; its height follows from how many models there are."""
    from matplotlib.figure import Figure

    shown = list(points_of(table))
    profiles = list(dict.fromkeys(row.profile for row in table.rows))
    names = [fit(clean(slot.name), _NAME_AT_MOST, LABEL) for slot in table.slots]
    gutter = max(text_width(name, LABEL) for name in names) + 5
    room = width - 2 * _MARGIN - gutter
    across = 3 if (room - 2 * _GAP) / 3 >= _PANEL_AT_LEAST else 2
    panels = [list(group) for _, group in groupby(shown, key=lambda p: p.benchmark.id)]
    down = -(-len(panels) // across)
    wide = (room - (across - 1) * _GAP) / across
    band = (1 + len(profiles)) * _LANE
    inner = len(table.slots) * (band + _BETWEEN) + 2
    high = _TITLE + inner + _AXIS
    labels = _legend_labels(profiles)
    lines = _legend_lines(labels, width - 2 * _MARGIN)
    height = down * high + len(lines) * _LEGEND + 2 * _MARGIN
    with house_style():
        figure = Figure(figsize=(width / 72, height / 72))
        for number, points in enumerate(panels):
            row, column = divmod(number, across)
            left = _MARGIN + gutter + column * (wide + _GAP)
            top = _MARGIN + row * high + _TITLE
            axes = figure.add_axes(
                (left / width, 1 - (top + inner) / height, wide / width, inner / height)
            )
            _panel(axes, points, table.slots, profiles, inner, wide)
            axes.set_yticks(
                [n * (band + _BETWEEN) + _BETWEEN / 2 + band / 2 for n in range(len(names))],
                names if column == 0 else [],
            )
        _legend(figure, lines, width, height)
    return figure


def numbers(table: Table1) -> str:
    """The numbers behind the figure as CSV: percent, in the order in which they are drawn."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for point in points_of(table):
        n = point.benchmark.n if point.source == "paper" else point.cell and point.cell.first.n
        shares = (point.value, point.low, point.high)
        percents = ["" if share is None else f"{100 * share:.4f}" for share in shares]
        row = (point.benchmark.id, point.slot.name, point.source, point.profile, *percents, n)
        writer.writerow([*map(csv_cell, row), csv_cell(point.note)])
    return stream.getvalue()


def _panel(
    axes: Any,
    points: Sequence[Point],
    slots: Sequence[Slot],
    profiles: Sequence[str],
    inner: float,
    wide: float,
) -> None:
    """One benchmark; y runs in points from the top."""
    from matplotlib.ticker import MaxNLocator

    band = (1 + len(profiles)) * _LANE + _BETWEEN
    axes.set(ylim=(inner, 0))
    for n in range(1, len(slots)):
        axes.axhline(n * band, color=LIGHT["grid"], linewidth=0.7)
    about, absent = _about(points), _absent(points)
    if absent:
        said = ", ".join(part for part in (about, *(f"{name} missing" for name in absent)) if part)
        # Where the title has no room for it, every line says it.
        about, absent = (said, absent) if text_width(said, LABEL) <= wide else (about, [])
    for n, slot in enumerate(slots):
        if slot.column is None and len(absent) < len(profiles):
            _missing(axes, n * band + _BETWEEN / 2 + (1 + len(profiles) / 2) * _LANE)
    for point in points:
        if clean(point.profile) in absent:
            continue
        lane = 0 if point.source == "paper" else 1 + profiles.index(point.profile)
        y = slots.index(point.slot) * band + _BETWEEN / 2 + (lane + 0.5) * _LANE
        _dot(axes, point, y, _PAPER if lane == 0 else _look(lane - 1))
    low, high = _range(points)
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=3 if wide < 110 else 4, steps=[1, 2, 5, 10]))
    axes.tick_params(axis="x", length=2, pad=2, width=0.6)
    axes.tick_params(axis="y", length=0, pad=4, labelcolor=LIGHT["ink"])
    axes.spines["left"].set_color(LIGHT["rule"])
    place = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "baseline"}
    axes.annotate(
        points[0].benchmark.name, (0, 1), (0, 3 + LABEL + 2.5), fontsize=BODY, fontweight="bold",
        **place,
    )  # fmt: skip
    axes.annotate(
        fit(about, wide, LABEL), (0, 1), (0, 3), fontsize=LABEL, color=LIGHT["soft"], **place
    )


def _dot(axes: Any, point: Point, y: float, look: tuple[str, str]) -> None:
    if point.value is None:
        _missing(axes, y)
        return
    role, shape = look
    color = LIGHT[role]
    smoke = point.note == "smoke"
    if point.low is not None and point.high is not None:
        axes.plot(
            [100 * point.low, 100 * point.high], [y, y], color=color, linewidth=1.0,
            solid_capstyle="butt", linestyle=(0, (1.2, 1.2)) if smoke else "solid",
        )  # fmt: skip
    filled = point.source == "ours" and not smoke
    axes.plot(
        [100 * point.value], [y], marker="x" if smoke else shape, markersize=_MARK, color=color,
        markeredgewidth=0.9, markerfacecolor=color if filled else LIGHT["paper"], clip_on=False,
    )  # fmt: skip


def _missing(axes: Any, y: float) -> None:
    axes.annotate(
        "missing", (0, y), (3, 0), xycoords=("axes fraction", "data"),
        textcoords="offset points", va="center_baseline", fontsize=LABEL - 1, style="italic",
        color=LIGHT["faint"],
    )  # fmt: skip


def _absent(points: Sequence[Point]) -> list[str]:
    """Profiles under which this benchmark has no number at all."""
    there = {point.profile for point in points if point.value is not None}
    names = dict.fromkeys(point.profile for point in points)
    return [clean(name) for name in names if name not in there]


def _look(profile: int) -> tuple[str, str]:
    return _LOOKS[profile % len(_LOOKS)]


def _range(points: Sequence[Point]) -> tuple[float, float]:
    """What holds all dots and intervals in percent, with some room and at least five points."""
    ends = [100 * end for p in points for end in (p.value, p.low, p.high) if end is not None]
    low, high = min(ends), max(ends)
    spare = max(0.06 * (high - low), (5 - (high - low)) / 2)
    return low - spare, high + spare


def _about(points: Sequence[Point]) -> str:
    """What of ours is shown: how many items, and whether they are all of the benchmark's."""
    cells = [point.cell.first for point in points if point.cell]
    counts = " / ".join(dict.fromkeys(f"{cell.n:,}" for cell in cells))
    kinds = dict.fromkeys(cell.coverage for cell in cells if cell.coverage != "full")
    return ", ".join([f"n = {counts}", *kinds]) if cells else ""


def _legend_labels(profiles: Sequence[str]) -> list[tuple[tuple[str, str], str]]:
    ours = [(_look(n), f"ours, {clean(name)}") for n, name in enumerate(profiles)]
    return [(_PAPER, "paper"), *ours]


def _legend_lines(
    labels: Sequence[tuple[tuple[str, str], str]], room: float
) -> list[list[tuple[float, tuple[str, str] | None, str]]]:
    """The legend's entries, `(x, look, text)`, as many to a line as fit."""
    lines: list[list[tuple[float, tuple[str, str] | None, str]]] = [[]]
    x = 0.0
    entries: list[tuple[tuple[str, str] | None, str]] = [*labels]
    entries.append((None, "accuracy in %; lines: 95 % intervals; ×: smoke items"))
    for look, text in entries:
        text = fit(text, room - 14, LABEL)
        wide = text_width(text, LABEL) + (14 if look else 0)
        if x and x + wide > room:
            lines.append([])
            x = 0.0
        lines[-1].append((x, look, text))
        x += wide + 12
    return lines


def _legend(
    figure: Figure,
    lines: Sequence[Sequence[tuple[float, tuple[str, str] | None, str]]],
    width: float,
    height: float,
) -> None:
    axes = figure.add_axes((0, 0, 1, 1), zorder=-1)
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    for number, line in enumerate(lines):
        y = _MARGIN + (len(lines) - number - 0.6) * _LEGEND
        for x, look, text in line:
            left = _MARGIN + x
            if look:
                role, shape = look
                color = LIGHT[role]
                fill = LIGHT["paper"] if look == _PAPER else color
                axes.plot([left, left + 10], [y, y], color=color, linewidth=1.0)
                axes.plot(
                    [left + 5], [y], marker=shape, markersize=_MARK, color=color,
                    markeredgewidth=0.9, markerfacecolor=fill,
                )  # fmt: skip
            axes.text(
                left + (14 if look else 0), y, text, fontsize=LABEL, va="center_baseline",
                color=LIGHT["soft"],
            )  # fmt: skip
