"""Draw how often a state is predicted before a query is over (`duo eval states`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evaluation.scores import States, wilson
from reports.plots.chart import Chart, make_chart, typed
from reports.plots.confusion import about
from reports.plots.panels import curve, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = ("words to come", "predicted", "hits", "n", "share", "low", "high")
#: Words still to come that are shown one by one; what is farther from the end is one point.
_FAR = 12


def premature(states_result: Any) -> Chart | None:
    """Draw how often a state is predicted before the end, by the number of words still to come.

    Returns:
        None without single cases that were looked at word by word.
    """
    found = typed(states_result, States)
    cases = [case.early for case in found.cases if case.wanted == "respond" and case.early]
    if not cases:
        return None
    words = [
        (min(len(early) - place, _FAR), outcome)
        for early in cases
        for place, outcome in enumerate(early)
    ]
    rows = []
    for what, wanted in (("any state", ("respond", "ignore")), ("respond", ("respond",))):
        for left in sorted({left for left, _ in words}):
            outcomes = [outcome in wanted for at, outcome in words if at == left]
            hits, n = sum(outcomes), len(outcomes)
            rows.append((left, what, hits, n, hits / n, *wilson(hits, n)))
    return make_chart(
        "premature",
        "States before a query is over",
        [
            f"Share of {len(cases)} queries at which the model predicts a state within its "
            "look-ahead although words are still to come, by their number "
            f"({_FAR} stands for {_FAR} and more). Intervals: 95 % (Wilson).",
            about(found),
        ],
        _COLUMNS,
        rows,
        lambda width: _draw(rows, width),
        counts="n",
    )


def _draw(rows: list[tuple[Any, ...]], width: float) -> Figure:
    import pandas as pd
    from matplotlib.ticker import MaxNLocator

    found = pd.DataFrame(rows, columns=_COLUMNS)
    names = list(found["predicted"].unique())
    with panels(width, 1, names) as (figure, [axes]):
        for number, name in enumerate(names):
            own = found[found["predicted"] == name]
            # Side by side, so that neither's intervals hide the other's.
            at = own["words to come"] + 0.16 * (number - 0.5)
            curve(axes, number, at, own["share"], zip(own["low"], own["high"], strict=True))
        top = found["high"].max()
        axes.set_ylim(-0.04 * top, min(1.04, 1.08 * top))
        axes.invert_xaxis()
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.xaxis.set_major_formatter(lambda n, _: f"{n:g}+" if n == _FAR else f"{n:g}")
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
        axes.set_xlabel("words still to come")
        axes.set_ylabel("state predicted")
    return figure
