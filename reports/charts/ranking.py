"""Three or more systems: scores on each criterion, and mean ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reports.charts.board import Axis, Dot, Dots, dotted
from reports.charts.chart import Chart
from reports.charts.forms import Criterion, Standing
from reports.charts.preference import about, study_of
from reports.figures.typeset import clean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = (
    "criterion", "system", "score", "low", "high", "rank", "rank from", "rank to",
    "share of first ranks", "mean rank", "votes", "note",
)  # fmt: skip


def ranking(analysis: Any) -> Chart | None:
    """Bradley-Terry (Davidson) scores; None for fewer than three systems or no votes.

    Args:
        analysis: see `reports.charts.preference.study_of`.

    Raises:
        BadInput: of the analysis.
    """
    study = study_of(analysis)
    systems = study.systems
    found = [c for c in study.kept.criteria if any(sum(o.votes.values()) for o in c.comparisons)]
    if len(systems) < 3 or not found:
        return None
    caption = " ".join(
        [
            f"Scores of {len(systems)} systems on each criterion.",
            *about(study),
            "A score is a log strength (Bradley and Terry, with ties after Davidson); on each "
            "criterion the scores sum to zero, and a difference of 1 is odds of 2.7 to 1 among "
            f"votes for either. Lines are {100 * study.level:g} % intervals, clustered by dialogue "
            "and rater. The mean rank is 1 + the shares of votes lost to each other system, a tie "
            "counting half.",
        ]
    )
    return Chart(
        name="ranking",
        title="Scores and mean ranks",
        caption=clean(caption),
        columns=_COLUMNS,
        rows=tuple(_row(c, system) for c in found for system in systems),
        draw=lambda width: _draw(found, systems, study.level, width),
    )


def mean_rank(criterion: Criterion, system: str) -> float | None:
    """The mean rank that pairwise votes come to: 1 + sum over the others of (lost + tied / 2) / n.

    Where every rater orders all systems of a dialogue, that is the mean of the ranks given. None if
    a pair has no votes.
    """
    rank = 1.0
    for one in criterion.comparisons:
        if system not in (one.first, one.second):
            continue
        total = sum(one.votes.values())
        if not total:
            return None
        lost = one.votes.get("loss" if system == one.first else "win", 0)
        tied = one.votes.get("tie", 0) + one.votes.get("both_bad", 0)
        rank += (lost + tied / 2) / total
    return rank


def _standing(criterion: Criterion, system: str) -> Standing | None:
    standings = criterion.scores.standings if criterion.scores else []
    return next((one for one in standings if one.system == system), None)


def _row(criterion: Criterion, system: str) -> tuple[object, ...]:
    own = [c for c in criterion.comparisons if system in (c.first, c.second)]
    votes = sum(sum(one.votes.values()) for one in own)
    one = _standing(criterion, system)
    rank = mean_rank(criterion, system)
    if one is None:
        note = criterion.scores.note if criterion.scores else criterion.note
        return (criterion.criterion, system, *[None] * 7, rank, votes, note)
    score = one.score.value, one.score.low, one.score.high
    ranks = one.rank, one.ranks[0], one.ranks[1]
    return (
        criterion.criterion, system, *score, *ranks, one.first, rank, votes, one.score.note,
    )  # fmt: skip


def _draw(found: list[Criterion], systems: list[str], level: float, width: float) -> Figure:
    rows = [
        Dots(criterion.criterion, [_dot(criterion, n, name) for n, name in enumerate(systems)])
        for criterion in found
    ]
    axis = Axis(f"score, {100 * level:g} % intervals", mark=0.0)
    return dotted(rows, systems, axis, width, right="mean rank")


def _dot(criterion: Criterion, number: int, system: str) -> Dot:
    one, rank = _standing(criterion, system), mean_rank(criterion, system)
    text = "" if rank is None else f"{rank:.2f}"
    if one is None:
        return Dot(number, None, right=f"{text} (no score)" if text else "no score")
    return Dot(number, one.score.value, one.score.low, one.score.high, text)
