"""Which kinds of utterance a model can tell from queries at all, whatever the threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evaluation.scores import area, threshold_answering
from reports.charts.chart import Chart
from reports.charts.forms import Case, States, checked
from reports.charts.looks import look
from reports.charts.panels import panelled, percent
from reports.figures.typeset import clean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Shares of the queries that are answered at the thresholds which are looked at, in percent.
_ANSWERED = (*range(0, 100, 5), 98, 100)
#: What the caption says: what is ignored where so many percent of the queries are answered.
_TOLD = 95
#: Kinds of fewer utterances show little but chance.
_FEWEST = 10

#: Of a kind: its size, the area under its curve, and the share ignored at each of `_ANSWERED`.
_Kind = tuple[int, float, list[float]]


def separation(states_result: Any) -> Chart | None:
    """For each kind that is to be ignored, the share that is, against the share of queries
    answered, as the threshold on p(<1>) / (p(<1>) + p(<2>)) is moved.

    None without single cases of both sorts; else as for `reports.charts.states.confusion`.

    Raises:
        BadInput: it is something else.
    """
    found = checked(States, states_result)
    queries = [_score(case) for case in found.cases if case.wanted == "respond"]
    by_kind: dict[str, list[float]] = {}
    for case in found.cases:
        if case.wanted == "ignore":
            by_kind.setdefault(case.label, []).append(_score(case))
    if not queries:
        return None
    thresholds = [threshold_answering(queries, percent) for percent in _ANSWERED]
    kinds = {
        name: _kind(queries, thresholds, scores)
        for name, scores in sorted(by_kind.items())
        if len(scores) >= _FEWEST
    }
    if not kinds:
        return None
    told = _ANSWERED.index(_TOLD)
    said = ", ".join(
        f"{100 * shares[told]:.0f} % of {name.replace('_', ' ')} ({n})"
        for name, (n, _, shares) in kinds.items()
    )
    return Chart(
        name="separation",
        title="What can be told from a query",
        caption=clean(
            "Each kind that is to be ignored: the share that is, against the share of all "
            f"{len(queries)} utterances that want an answer and get it, as the threshold on "
            "p(<1>) / (p(<1>) + p(<2>)) is moved; towards the upper right is better, on the "
            f"falling diagonal nothing is told apart. Where {_TOLD} % are answered, ignored are: "
            f"{said}. {found.about}."
        ),
        columns=("kind", "n", "area under the curve", "queries answered", "ignored"),
        rows=tuple(
            (name, n, under, share / 100, ignored)
            for name, (n, under, shares) in kinds.items()
            for share, ignored in zip(_ANSWERED, shares, strict=True)
        ),
        draw=lambda width: _draw(kinds, width),
    )


def _score(case: Case) -> float:
    """The share of answering in the probability of a decision; a half where there is none."""
    decided = case.p_respond + case.p_ignore
    return case.p_respond / decided if decided else 0.5


def _kind(queries: list[float], thresholds: list[float], scores: list[float]) -> _Kind:
    """Of the scores of queries, the thresholds that `_ANSWERED` asks for, and a kind's scores."""
    shares = [sum(s < threshold for s in scores) / len(scores) for threshold in thresholds]
    return len(scores), area(queries, scores), shares


def _draw(kinds: dict[str, _Kind], width: float) -> Figure:
    def panel(axes: Any) -> None:
        for number, (_, _, shares) in enumerate(kinds.values()):
            how = look(number)
            axes.plot(
                [share / 100 for share in _ANSWERED], shares, color=how.ink,
                linestyle=how.linestyle, marker=how.marker, markersize=3.4, markevery=4,
                linewidth=1.1,
            )  # fmt: skip
        percent(axes)
        percent(axes, "x")
        axes.set_xlabel("queries answered")
        axes.set_ylabel("ignored")

    return panelled(width, [panel], [name.replace("_", " ") for name in kinds])
