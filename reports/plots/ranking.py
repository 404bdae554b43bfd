"""Draw the scores and mean ranks of three or more systems on each criterion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reports.plots.chart import Chart, make_chart, typed
from reports.plots.panels import dotted
from reports.plots.preference import about
from reports.statistics.analysis import CriterionResult, StudyResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = (
    "criterion", "system", "score", "low", "high", "rank", "rank from", "rank to",
    "share of first ranks", "mean rank", "votes", "note",
)  # fmt: skip


def ranking(analysis: Any) -> Chart | None:
    """Draw Bradley-Terry (Davidson) scores; None for fewer than three systems or no votes."""
    study = typed(analysis, StudyResult)
    systems = list(study.systems)
    found = [c for c in study.kept.criteria if any(sum(o.votes.values()) for o in c.comparisons)]
    if len(systems) < 3 or not found:
        return None
    rows = [_row(criterion, system) for criterion in found for system in systems]
    return make_chart(
        "ranking",
        "Scores and mean ranks",
        [
            f"Scores of {len(systems)} systems on each criterion.",
            *about(study),
            "A score is a log strength (Bradley and Terry, with ties after Davidson); on each "
            "criterion the scores sum to zero, and a difference of 1 is odds of 2.7 to 1 among "
            f"votes for either. Lines are {100 * study.level:g} % intervals, clustered by dialogue "
            "and rater. The mean rank is 1 + the shares of votes lost to each other system, a tie "
            "counting half.",
        ],
        _COLUMNS,
        rows,
        lambda width: _draw(rows, systems, study.level, width),
        counts="votes",
    )


def mean_rank(criterion: CriterionResult, system: str) -> float | None:
    """Return the mean rank of pairwise votes: 1 + sum over the others of (lost + tied / 2) / n.

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


def _row(criterion: CriterionResult, system: str) -> tuple[Any, ...]:
    own = [c for c in criterion.comparisons if system in (c.first, c.second)]
    end = mean_rank(criterion, system), sum(sum(one.votes.values()) for one in own)
    standings = criterion.scores.standings if criterion.scores else []
    one = next((one for one in standings if one.system == system), None)
    if one is None:
        note = criterion.scores.note if criterion.scores else criterion.note
        return (criterion.criterion, system, *[None] * 7, *end, note)
    score = one.score.value, one.score.low, one.score.high
    return (criterion.criterion, system, *score, one.rank, *one.ranks, one.first, *end,
            one.score.note)  # fmt: skip


def _draw(rows: list[tuple[Any, ...]], systems: list[str], level: float, width: float) -> Figure:
    import pandas as pd

    found = pd.DataFrame(rows, columns=_COLUMNS)
    ranks = found["mean rank"].map(lambda rank: "" if pd.isna(rank) else f"{rank:.2f}")
    dots = pd.DataFrame(
        {
            "heading": "",
            "label": found["criterion"],
            "series": found["system"].map(systems.index),
            "value": found["score"],
            "low": found["low"],
            "high": found["high"],
            "right": ranks.where(found["score"].notna(), (ranks + " (no score)").str.strip()),
        }
    )
    axis = f"score, {100 * level:g} % intervals"
    return dotted(dots, systems, width, label=axis, right="mean rank", mark=0.0)
