"""Draw how often an answer was right where the model gave it a certain probability."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evaluation.scores import States, wilson
from reports.plots.chart import Chart, make_chart, typed
from reports.plots.confusion import about
from reports.plots.panels import curve, look, panels, percent
from reports.plots.style import LABEL, LIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_NAMES = ("wants an answer", "is over")


def calibration(states_result: Any) -> Chart | None:
    """Draw the share that wants an answer against its probability; None without probabilities."""
    found = typed(states_result, States)
    tables = [
        (name, table)
        for name, table in zip(_NAMES, (found.calibration, found.calibration_finished), strict=True)
        if table is not None and table.bins
    ]
    if not tables:
        return None
    rows = [
        (name, one.n, one.probability, one.share, *wilson(round(one.share * one.n), one.n))
        for name, table in tables
        for one in table.bins
    ]
    errors = ", ".join(
        f"{table.ece:.3f} ({name}, n = {table.n})"
        for name, table in tables
        if table.ece is not None
    )
    return make_chart(
        "calibration",
        "Calibration of the decision",
        [
            "The share that wants an answer against the probability of the respond token (that and "
            "the ignore token adding up to one); and the share that is over, so that either is "
            "right, against the probability of the two together, of all utterances. In ten bins; "
            "intervals 95 % (Wilson). On the diagonal the model says how sure it is.",
            f"Expected calibration error: {errors}." if errors else "",
            about(found),
        ],
        ("of", "n", "probability", "share", "low", "high"),
        rows,
        lambda width: _draw(rows, width),
        counts="n",
    )


def _draw(rows: list[tuple[Any, ...]], width: float) -> Figure:
    names = list(dict.fromkeys(row[0] for row in rows))
    with panels(width, 1, names) as (figure, [axes]):
        axes.plot([0, 1], [0, 1], color=LIGHT["rule"], linewidth=0.9, zorder=0.9)
        for number, name in enumerate(names):
            own = [row[1:] for row in rows if row[0] == name]
            counts, probabilities, shares, lows, highs = zip(*own, strict=True)
            curve(axes, number, probabilities, shares, zip(lows, highs, strict=True))
            for n, x in zip(counts, probabilities, strict=True):
                axes.annotate(
                    str(n), (x, 0), (0, -4 - 8 * number), textcoords="offset points",
                    fontsize=LABEL - 1, color=look(number).ink, ha="center", va="top",
                )  # fmt: skip
        percent(axes)
        percent(axes, "x")
        axes.set_ylim(-0.26, 1.04)
        axes.set_xlabel("probability")
        axes.set_ylabel("share that is so")
    return figure
