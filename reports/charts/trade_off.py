"""How fast a system answers against how often it lets itself be interrupted for nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reports.charts.chart import Chart
from reports.charts.forms import Estimate, Interaction, checked
from reports.charts.panels import panelled, percent, spot
from reports.charts.takeover import about
from reports.figures.typeset import clean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = (
    "system", "response latency p50 (s)", "low", "high", "answered queries", "false interruptions",
    "low", "high", "remarks",
)  # fmt: skip

#: A system, its latency and its share of false interruptions.
_Point = tuple[str, Estimate, Estimate]


def trade_off(interaction_result: Any) -> Chart | None:
    """A point for each system that has both figures; None if none has.

    Args:
        interaction_result: the JSON of `duo eval interaction`.

    Raises:
        BadInput: it is something else.
    """
    found = checked(Interaction, interaction_result)
    points = [
        (name, seconds.p50, system.false_interruptions)
        for name, system in found.systems.items()
        if (seconds := system.response_latency.get("seconds")) is not None
        and seconds.p50.value is not None
        and system.false_interruptions.value is not None
    ]
    if not points:
        return None
    return Chart(
        name="trade-off",
        title="Latency against false interruptions",
        caption=clean(
            "How soon a query is answered (median) against how often an answer is given up for "
            "something that is no query; low and to the left is better. " + about(found)
        ),
        columns=_COLUMNS,
        rows=tuple(
            (name, *(part for e in (x, y) for part in (e.value, e.low, e.high, e.n)))
            for name, x, y in points
        ),
        draw=lambda width: _draw(points, width),
    )


def _draw(points: list[_Point], width: float) -> Figure:
    def panel(axes: Any) -> None:
        for number, (_, x, y) in enumerate(points):
            assert x.value is not None
            assert y.value is not None
            spot(axes, number, x.value, y.value, across=(x.low, x.high), up=(y.low, y.high))
        axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
        axes.locator_params(axis="x", nbins=6)
        percent(axes)
        axes.set_xlabel("response latency, median (s)")
        axes.set_ylabel("false interruptions")

    return panelled(width, [panel], [name for name, _, _ in points], lines=False)
