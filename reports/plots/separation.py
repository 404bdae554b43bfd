"""Draw what a model can tell apart at all, whatever the threshold: is it over, is it a query?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evaluation.scores import States, answers, area, finished, threshold_answering
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
_COLUMNS = ("kind", "n", "area under the curve", "told from", "at once", "held or ignored")


def separation(states_result: Any) -> Chart | None:
    """Draw what is ignored of each kind that is to be, against the share of queries answered.

    And what is held of what is unfinished, against what is finished and decided about at once. The
    threshold on p(<1>) / (p(<1>) + p(<2>)), or on their sum, is moved along each line.

    Returns:
        None without single cases of both sorts.
    """
    found = typed(states_result, States)
    queries = [answers(case) for case in found.cases if case.wanted == "respond"]
    kinds: dict[str, list[float]] = {}
    for case in found.cases:
        if case.wanted == "ignore":
            kinds.setdefault(case.label, []).append(answers(case))
    kinds = {name: scores for name, scores in sorted(kinds.items()) if len(scores) >= _FEWEST}
    if not queries or not kinds:
        return None
    over = [finished(case) for case in found.cases if case.wanted != "wait"]
    open_ones = [finished(case) for case in found.cases if case.wanted == "wait"]
    rows = [row for name, scores in kinds.items() for row in _rows(name, scores, "query", queries)]
    if len(open_ones) >= _FEWEST:
        rows = _rows("unfinished", open_ones, "finished", over) + rows
    said = ", ".join(
        f"{100 * ignored:.0f} % of {name.replace('_', ' ')} ({n})"
        for name, n, _, _, answered, ignored in rows
        if answered == _NAMED / 100
    )
    return make_chart(
        "separation",
        "What can be told apart",
        [
            "Each kind that is to be ignored: the share that is, against the share of all "
            f"{len(queries)} utterances that want an answer and get it, as the threshold on "
            "p(<1>) / (p(<1>) + p(<2>)) is moved. Unfinished: the share that is held, against the "
            f"share of all {len(over)} finished ones that are decided about at once, as that on "
            "p(<1>) + p(<2>) is moved. Towards the upper right is better, on the falling diagonal "
            f"nothing is told apart. Where {_NAMED} % are answered or decided about, held or "
            f"ignored are: {said}. {found.about}."
        ],
        _COLUMNS,
        rows,
        lambda width: _draw(rows, width),
        counts="n",
    )


def _rows(
    kind: str, scores: list[float], told_from: str, others: list[float]
) -> list[tuple[Any, ...]]:
    """Move the threshold along the scores of what has the higher ones, `others`."""
    return [
        (kind, len(scores), area(others, scores), told_from, acted / 100,
         sum(score < threshold_answering(others, acted) for score in scores) / len(scores))
        for acted in _ANSWERED
    ]  # fmt: skip


def _draw(rows: list[tuple[Any, ...]], width: float) -> Figure:
    import pandas as pd

    kinds = pd.DataFrame(rows, columns=_COLUMNS).groupby("kind", sort=False)
    names = [str(name).replace("_", " ") for name in kinds.groups]
    with panels(width, 1, names) as (figure, [axes]):
        for number, (_, own) in enumerate(kinds):
            curve(axes, number, own["at once"], own["held or ignored"], markevery=4)
        percent(axes)
        percent(axes, "x")
        axes.set_xlabel("answered, or decided about")
        axes.set_ylabel("ignored, or held")
    return figure
