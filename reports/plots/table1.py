"""Draw Table 1: a small panel of dots and intervals for each benchmark, the paper's and ours.

Each model has a band in every panel: the paper's open dot above, ours below, filled, with another
shape for each profile. Shape and place tell them apart without colour.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from duo.escape import visible
from duo.table import Table
from evaluation.benchmarks.catalogue import BENCHMARKS
from reports.plots.chart import Chart
from reports.plots.style import BODY, LABEL, LIGHT, house_style
from reports.plots.typeset import fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from reports.table1 import Number, Table1

#: Colours and shapes of our profiles, in the order in which they stand in the table.
_LOOKS = (("query", "o"), ("speech", "s"), ("respond", "D"), ("ignore", "^"), ("cut", "v"))
_PAPER = ("soft", "o")

_TITLE = "Accuracy on the paper's benchmarks"

# Points (1/72 inch).
_LANE, _BETWEEN = 5.6, 5.0
_AROUND = 36.0  # a panel's title, numbers and label
_NAME_AT_MOST = 70.0


def accuracy(found: Table1) -> Chart:
    """Make the chart of Table 1."""
    coverages = {number.coverage for number in found.ours}
    marks = [name for name in ("limited", "smoke") if name in coverages]
    return Chart(
        name="benchmarks",
        title=_TITLE,
        caption=(
            "Open: as the paper reports it; filled: ours, a shape for each profile. Whiskers: 95 % "
            "intervals for the drawing of items."
            + (f" Some of ours are {' and '.join(marks)}: see the table's notes." if marks else "")
        ),
        table=numbers(found),
        draw=lambda width: draw(found, width=width),
    )


def draw(found: Table1, *, width: float) -> Figure:
    """Draw the figure, `width` points wide; its height follows from how many models there are."""
    from matplotlib.figure import Figure

    across = 3 if width > 300 else 2
    down = -(-len(BENCHMARKS) // across)
    lanes = 1 + len(found.profiles)
    band = lanes * _LANE + _BETWEEN
    inner = len(found.slots) * band
    with house_style():
        height = down * (inner + _AROUND) + (2 + lanes) * LABEL * 1.6
        figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
        panels = figure.subplots(down, across, squeeze=False).flat
        groups = groupby(found.numbers, key=lambda number: number.benchmark)
        for place, (benchmark, numbers) in enumerate(groups):
            axes = panels[place]
            axes.set_title(BENCHMARKS[benchmark].title, loc="left", fontsize=BODY, weight="bold")
            _panel(axes, list(numbers), found, band, int(width / across / 3.6))
            names = [fit(visible(slot.name), _NAME_AT_MOST, LABEL) for slot in found.slots]
            centres = [(n + 0.5) * band for n in range(len(names))]
            axes.set_yticks(centres, names if place % across == 0 else [])
        for axes in panels[len(BENCHMARKS) :]:
            axes.set_axis_off()
        _legend(figure, found, width)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # laid out once: every form of file shows the same
    return figure


def numbers(found: Table1) -> Table:
    """Tabulate the numbers behind the figure: percent, in the order in which they are drawn."""
    rows = [
        [
            one.benchmark, found.slots[found.place(one)].name, one.source, one.profile,
            *(None if share is None else round(100 * share, 4)
              for share in (one.value, one.low, one.high)),
            one.n, one.note,
        ]
        for one in found.numbers
    ]  # fmt: skip
    heads = ["benchmark", "model", "source", "profile", "value", "low", "high", "n", "note"]
    return Table(_TITLE, heads, rows)


def _panel(axes: Any, numbers: list[Number], found: Table1, band: float, letters: int) -> None:
    """Draw one benchmark; y runs in points from the top."""
    from matplotlib.ticker import MaxNLocator

    axes.set_ylim(len(found.slots) * band, 0)
    for n in range(1, len(found.slots)):
        axes.axhline(n * band, color=LIGHT["grid"], linewidth=0.7)
    there = {one.profile for one in numbers if one.value is not None}
    absent = [profile for profile in found.profiles if profile not in there]
    for one in numbers:
        lane = 0 if one.source == "paper" else 1 + found.profiles.index(one.profile)
        y = found.place(one) * band + _BETWEEN / 2 + (lane + 0.5) * _LANE
        if one.value is not None:
            _dot(axes, one, y, _PAPER if lane == 0 else _look(lane - 1))
        elif one.profile not in absent:
            _missing(axes, y)
    for n, slot in enumerate(found.slots):
        if slot.ours is None and there - {"published"}:
            _missing(axes, n * band + _BETWEEN / 2 + (1 + len(found.profiles) / 2) * _LANE)
    ends = [100 * e for one in numbers for e in (one.value, one.low, one.high) if e is not None]
    spare = max(0.06 * (max(ends) - min(ends)), (5 - (max(ends) - min(ends))) / 2)
    axes.set_xlim(min(ends) - spare, max(ends) + spare)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 5, 10]))
    axes.tick_params(axis="x", length=2, pad=2, width=0.6)
    axes.tick_params(axis="y", length=0, pad=4, labelcolor=LIGHT["ink"])
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines["left"].set_color(LIGHT["rule"])
    about = [*_about(numbers), *(f"{visible(profile)} missing" for profile in absent)]
    text = "\n".join(textwrap.wrap(", ".join(about), letters)[:2])
    axes.set_xlabel(text, loc="left", fontsize=LABEL, color=LIGHT["soft"], labelpad=1)


def _about(numbers: Sequence[Number]) -> list[str]:
    """Say what of ours is shown: how many items, and whether they are all of the benchmark's."""
    ours = [one for one in numbers if one.source == "ours" and one.n]
    counts = " / ".join(dict.fromkeys(f"{one.n:,}" for one in ours))
    kinds = dict.fromkeys(one.coverage or "" for one in ours if one.coverage != "full")
    return [f"n = {counts}", *kinds] if ours else []


def _dot(axes: Any, number: Number, y: float, look: tuple[str, str]) -> None:
    role, shape = look
    color, smoke = LIGHT[role], number.note == "smoke"
    if number.low is not None and number.high is not None:
        axes.plot(
            [100 * number.low, 100 * number.high], [y, y], color=color, linewidth=1.0,
            solid_capstyle="butt", linestyle=(0, (1.2, 1.2)) if smoke else "solid",
        )  # fmt: skip
    filled = number.source == "ours" and not smoke
    axes.plot(
        [100 * (number.value or 0.0)], [y], marker="x" if smoke else shape, markersize=3.4,
        color=color, markeredgewidth=0.9, clip_on=False,
        markerfacecolor=color if filled else LIGHT["paper"],
    )  # fmt: skip


def _missing(axes: Any, y: float) -> None:
    axes.annotate(
        "missing", (0, y), (3, 0), xycoords=("axes fraction", "data"),
        textcoords="offset points", va="center_baseline", fontsize=LABEL - 1, style="italic",
        color=LIGHT["faint"],
    )  # fmt: skip


def _look(profile: int) -> tuple[str, str]:
    return _LOOKS[profile % len(_LOOKS)]


def _legend(figure: Figure, found: Table1, width: float) -> None:
    from matplotlib.lines import Line2D

    looks = [(_PAPER, "paper")]
    looks += [(_look(n), f"ours, {visible(name)}") for n, name in enumerate(found.profiles)]
    handles = [
        Line2D(
            [], [], color=LIGHT[role], marker=shape, markersize=3.4, linewidth=1.0,
            markerfacecolor=LIGHT["paper"] if label == "paper" else LIGHT[role],
            label=fit(label, width / 2 - 30, LABEL),
        )
        for (role, shape), label in looks
    ]  # fmt: skip
    figure.legend(
        handles=handles, loc="outside lower left", ncols=2 if width < 300 else 3,
        title="accuracy in %; lines: 95 % intervals; ×: smoke items", title_fontsize=LABEL,
        alignment="left", handlelength=1.5,
    )  # fmt: skip
