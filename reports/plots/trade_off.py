"""Draw how fast a system answers against how often it is interrupted by what is no query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evaluation.interaction.bootstrap import Figure as Estimate
from evaluation.interaction.results import Interaction
from reports.plots.chart import Chart, make_chart, typed
from reports.plots.panels import panels, percent, spot
from reports.plots.takeover import about

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = (
    "system", "response latency p50 (s)", "low", "high", "answered queries", "false interruptions",
    "low", "high", "remarks",
)  # fmt: skip


def trade_off(interaction_result: Any) -> Chart | None:
    """Draw a point for each system that has both figures; None if none has."""
    found = typed(interaction_result, Interaction)
    points = [
        (name, seconds.p50, system.false_interruptions)
        for name, system in found.systems.items()
        if (seconds := system.response_latency.get("seconds")) is not None
        and seconds.p50.value is not None
        and system.false_interruptions.value is not None
    ]
    if not points:
        return None
    return make_chart(
        "trade-off",
        "Latency against false interruptions",
        [
            "How soon a query is answered (median) against how often an answer is given up for "
            "something that is no query; low and to the left is better.",
            *about(found),
        ],
        _COLUMNS,
        [(name, *parts(x), *parts(y)) for name, x, y in points],
        lambda width: _draw(points, width),
        counts="remarks",
    )


def parts(of: Estimate) -> tuple[float | int | None, ...]:
    """Return an estimate as cells of a row."""
    return of.value, of.low, of.high, of.n


def _draw(points: list[tuple[str, Estimate, Estimate]], width: float) -> Figure:
    names = [name for name, _, _ in points]
    with panels(width, 1, names, lines=False) as (figure, [axes]):
        for number, (_, x, y) in enumerate(points):
            assert x.value is not None
            assert y.value is not None
            spot(axes, number, x.value, y.value, across=(x.low, x.high), up=(y.low, y.high))
        axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
        axes.locator_params(axis="x", nbins=6)
        axes.set_xlabel("response latency, median (s)")
        axes.set_ylabel("false interruptions")
        percent(axes)
    return figure
