"""Draw how often an answer was right where the model gave it a certain probability."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evaluation.scores import States, wilson
from reports.plots.chart import Chart, make_chart, typed
from reports.plots.confusion import about
from reports.plots.panels import curve, panels, percent
from reports.plots.style import LABEL, LIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def calibration(states_result: Any) -> Chart | None:
    """Draw the share that wants an answer against its probability; None without probabilities."""
    found = typed(states_result, States)
    table = found.calibration
    if not table.bins:
        return None
    rows = [
        (one.n, one.probability, one.share, *wilson(round(one.share * one.n), one.n))
        for one in table.bins
    ]
    return make_chart(
        "calibration",
        "Calibration of the decision",
        [
            f"Of {table.n} utterances, the share that wants an answer against the probability of "
            "the respond token (that and the ignore token adding up to one), in ten bins; numbers "
            "are utterances, intervals 95 % (Wilson). On the diagonal the model says how sure it "
            "is.",
            "" if table.ece is None else f"Expected calibration error: {table.ece:.3f}.",
            about(found),
        ],
        ("n", "probability", "share", "low", "high"),
        rows,
        lambda width: _draw(rows, width),
        counts="n",
    )


def _draw(rows: list[tuple[Any, ...]], width: float) -> Figure:
    with panels(width) as (figure, [axes]):
        axes.plot([0, 1], [0, 1], color=LIGHT["rule"], linewidth=0.9, zorder=0.9)
        counts, probabilities, shares, lows, highs = zip(*rows, strict=True)
        curve(axes, 0, probabilities, shares, zip(lows, highs, strict=True))
        for n, x in zip(counts, probabilities, strict=True):
            axes.annotate(
                str(n), (x, 0), (0, -4), textcoords="offset points", fontsize=LABEL - 1,
                color=LIGHT["soft"], ha="center", va="top",
            )  # fmt: skip
        percent(axes)
        percent(axes, "x")
        axes.set_ylim(-0.16, 1.04)
        axes.set_xlabel("probability of <1>")
        axes.set_ylabel("share that wants an answer")
    return figure
