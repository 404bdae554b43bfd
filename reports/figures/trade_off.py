"""How fast a system answers against how often it lets itself be interrupted for nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reports.figures.style import COLUMN, LABEL, LIGHT, house_style
from reports.figures.typeset import clean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INCH = 72.0
_MARKERS = "osD^vPX*"
_INKS = ("query", "speech", "ignore", "respond", "cut", "remark")

#: Name of a system, its latency (s) and its share of false interruptions, as figures.
Point = tuple[str, dict[str, Any], dict[str, Any]]


def points(found: dict[str, Any]) -> list[Point]:
    """The systems that have both figures; see `evaluation.interaction.report`."""
    return [
        (name, system["response_latency"]["seconds"]["p50"], system["false_interruptions"])
        for name, system in found["systems"].items()
        if system["response_latency"]["seconds"]["p50"]["value"] is not None
        and system["false_interruptions"]["value"] is not None
    ]


def trade_off(found: dict[str, Any], width: float = COLUMN) -> Figure:
    """A point for each system, with intervals; low and to the left is better.

    Args:
        found: see `points`, of which there must be at least one.
        width: in points.
    """
    from matplotlib.figure import Figure

    with house_style():
        figure = Figure(figsize=(width / _INCH, 0.72 * width / _INCH), layout="constrained")
        axes = figure.add_subplot()
        for number, (name, latency, share) in enumerate(points(found)):
            ink = LIGHT[_INKS[number % len(_INKS)]]
            x, y = latency["value"], 100 * share["value"]
            axes.errorbar(
                x, y, xerr=_reach(latency), yerr=_reach(share, 100.0), color=ink,
                marker=_MARKERS[number % len(_MARKERS)], markersize=4, capsize=2, linewidth=0.8,
            )  # fmt: skip
            axes.annotate(
                clean(name), (x, y), xytext=(5, 5), textcoords="offset points",
                color=LIGHT["ink"], fontsize=LABEL,
            )  # fmt: skip
        axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
        axes.set_ylim(-4, 108)
        axes.set_xlabel("response latency, median (s)")
        axes.set_ylabel("false interruptions (%)")
        axes.grid(color=LIGHT["grid"], linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _reach(figure: dict[str, Any], scale: float = 1.0) -> list[list[float]] | None:
    """The interval as distances below and above, as matplotlib wants it."""
    if figure["low"] is None:
        return None
    below, above = figure["value"] - figure["low"], figure["high"] - figure["value"]
    return [[scale * max(0.0, below)], [scale * max(0.0, above)]]
