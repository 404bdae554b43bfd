"""Draw which kinds of utterance a model can tell from queries at all, whatever the threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evaluation.scores import Judged, States, area, threshold_answering
from reports.plots.chart import Chart, make_chart, typed
from reports.plots.panels import curve, panels, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Shares of the queries that are answered at the thresholds which are looked at, in percent.
_ANSWERED = (*range(0, 100, 5), 98, 100)
#: The caption says what is ignored where this percentage of the queries is answered.
_NAMED = 95
#: Kinds of fewer utterances show little but chance.
_FEWEST = 10
_COLUMNS = ("kind", "n", "area under the curve", "queries answered", "ignored")


def separation(states_result: Any) -> Chart | None:
    """Draw what is ignored of each kind that is to be, against the share of queries answered.

    The threshold on p(<1>) / (p(<1>) + p(<2>)) is moved along each line.

    Returns:
        None without single cases of both sorts.
    """
    found = typed(states_result, States)
    queries = [_score(case) for case in found.cases if case.wanted == "respond"]
    kinds: dict[str, list[float]] = {}
    for case in found.cases:
        if case.wanted == "ignore":
            kinds.setdefault(case.label, []).append(_score(case))
    kinds = {name: scores for name, scores in sorted(kinds.items()) if len(scores) >= _FEWEST}
    if not queries or not kinds:
        return None
    thresholds = {percent: threshold_answering(queries, percent) for percent in _ANSWERED}
    rows = [
        (name, len(scores), area(queries, scores), answered / 100,
         sum(score < threshold for score in scores) / len(scores))
        for name, scores in kinds.items()
        for answered, threshold in thresholds.items()
    ]  # fmt: skip
    said = ", ".join(
        f"{100 * ignored:.0f} % of {name.replace('_', ' ')} ({n})"
        for name, n, _, answered, ignored in rows
        if answered == _NAMED / 100
    )
    return make_chart(
        "separation",
        "What can be told from a query",
        [
            "Each kind that is to be ignored: the share that is, against the share of all "
            f"{len(queries)} utterances that want an answer and get it, as the threshold on "
            "p(<1>) / (p(<1>) + p(<2>)) is moved; towards the upper right is better, on the "
            f"falling diagonal nothing is told apart. Where {_NAMED} % are answered, ignored are: "
            f"{said}. {found.about}.",
        ],
        _COLUMNS,
        rows,
        lambda width: _draw(rows, width),
        counts="n",
    )


def _score(case: Judged) -> float:
    """Return the share of answering in the probability of a decision; a half without one."""
    decided = case.p_respond + case.p_ignore
    return case.p_respond / decided if decided else 0.5


def _draw(rows: list[tuple[Any, ...]], width: float) -> Figure:
    import pandas as pd

    kinds = pd.DataFrame(rows, columns=_COLUMNS).groupby("kind", sort=False)
    names = [str(name).replace("_", " ") for name in kinds.groups]
    with panels(width, 1, names) as (figure, [axes]):
        for number, (_, own) in enumerate(kinds):
            curve(axes, number, own["queries answered"], own["ignored"], markevery=4)
        percent(axes)
        percent(axes, "x")
        axes.set_xlabel("queries answered")
        axes.set_ylabel("ignored")
    return figure
