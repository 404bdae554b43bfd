"""Draw what raters preferred (`duo report statistics`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reports.plots.chart import Chart, make_chart
from reports.plots.panels import Fill, dotted, stacked
from reports.statistics.analysis import Comparison, CriterionResult, StudyResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

OUTCOMES = {
    "win": Fill("query", "", "query", "on-mark"),
    "tie": Fill("grid", "", "faint"),
    "both_bad": Fill("paper", "-----", "faint"),
    "loss": Fill("speech-tint", "/////", "speech"),
}
#: With more systems than these, only the pairs of the first are drawn.
_ALL_PAIRS = 3


def preference(study: StudyResult) -> Chart | None:
    """Draw stacked bars of all votes; None if there is not one."""
    compared = study.kept.comparisons
    if not any(sum(one.votes.values()) for one in compared):
        return None
    first, *others = study.systems
    who = f"{first} against {others[0]}" if len(others) == 1 else "each pair of systems"
    drawn = _drawn(study)
    return make_chart(
        "preference",
        "Preference by criterion",
        [
            f"Which of two answers raters preferred, {who}, by criterion.",
            *_about(study),
            f"The lines below the bars are {100 * study.level:g} % intervals of the share of votes "
            "for the first, clustered by dialogue and rater; p values in the table are "
            "Holm-adjusted over all comparisons.",
            f"Pairs without {first} are in the table only." if len(drawn) < len(compared) else "",
        ],
        (
            "criterion", "first", "second", "votes", *OUTCOMES, "win share", "low", "high", "net",
            "net low", "net high", "p", "p (Holm)", "dialogues", "raters", "note",
        ),
        map(_compared, compared),
        lambda numbers, width: _draw_preference(numbers.iloc[drawn], study.level, width),
        counts="votes",
    )  # fmt: skip


def _about(study: StudyResult) -> list[str]:
    """Return what a caption says of any figure about a study, a sentence each."""
    kept = study.kept
    said = [f"{kept.ratings} ratings by {kept.raters} raters of {kept.dialogues} dialogues."]
    if study.excluded:
        said.append(f"{len(study.excluded)} raters were left out by the rules of exclusion.")
    if kept.raters == 1:
        said.append("One rater only: intervals are about dialogues, not about raters.")
    if study.synthetic:
        said.append("The ratings are synthetic, wholly or in part: nobody gave them.")
    # A sentence above says it of the synthetic ones; unused columns do not concern a reader.
    notices = [n for n in study.notices if "synthetic" not in n and "columns not used" not in n]
    return [*said, *(f"{notice.rstrip('.').capitalize()}." for notice in notices)]


def _drawn(study: StudyResult) -> list[int]:
    """Choose the comparisons that are drawn, pair by pair; of many systems, the first's pairs."""
    compared = study.kept.comparisons
    pairs = list(dict.fromkeys((one.first, one.second) for one in compared))
    if len(study.systems) > _ALL_PAIRS:
        pairs = [pair for pair in pairs if study.systems[0] in pair]
    found = [
        at for pair in pairs for at, one in enumerate(compared) if (one.first, one.second) == pair
    ]
    rated = any(sum(compared[at].votes.values()) for at in found)
    return found if rated else list(range(len(compared)))


def _compared(one: Comparison) -> tuple[Any, ...]:
    win, net = one.estimates.get("win"), one.estimates.get("net")
    shares = [x for e in (win, net) for x in ((e.value, e.low, e.high) if e else [None] * 3)]
    votes = [one.votes.get(outcome, 0) for outcome in OUTCOMES]
    return (
        one.criterion, one.first, one.second, sum(votes), *votes, *shares, one.preference.p,
        one.preference.p_holm, one.dialogues, one.raters, one.note,
    )  # fmt: skip


def _draw_preference(rows: DataFrame, level: float, width: float) -> Figure:
    pairs = set(zip(rows["first"], rows["second"], strict=True))
    first, second = pairs.pop() if len(pairs) == 1 else ("the first", "the second")
    bars = rows[list(OUTCOMES)].div(rows["votes"].replace(0, float("nan")), axis="index")
    bars["low"], bars["high"] = rows["low"], rows["high"]
    bars["label"] = rows["criterion"]
    bars["heading"] = rows["first"] + " against " + rows["second"] if pairs else ""
    bars["right"] = rows["votes"].map(lambda votes: str(votes) if votes else "none")
    names = (f"{first} better", "tie", "both bad", f"{second} better")
    return stacked(
        bars,
        {part: (fill, name) for (part, fill), name in zip(OUTCOMES.items(), names, strict=True)},
        width,
        label="share of votes",
        interval=f"{first} better, {100 * level:g} % interval",
        right="votes",
    )


def ranking(study: StudyResult) -> Chart | None:
    """Draw Bradley-Terry (Davidson) scores; None for fewer than three systems or no votes."""
    systems = list(study.systems)
    found = [c for c in study.kept.criteria if any(sum(o.votes.values()) for o in c.comparisons)]
    if len(systems) < 3 or not found:
        return None
    return make_chart(
        "ranking",
        "Scores and mean ranks",
        [
            f"Scores of {len(systems)} systems on each criterion.",
            *_about(study),
            "A score is a log strength (Bradley and Terry, with ties after Davidson); on each "
            "criterion the scores sum to zero, and a difference of 1 is odds of 2.7 to 1 among "
            f"votes for either. Lines are {100 * study.level:g} % intervals, clustered by dialogue "
            "and rater. The mean rank is 1 + the shares of votes lost to each other system, a tie "
            "counting half.",
        ],
        (
            "criterion", "system", "score", "low", "high", "rank", "rank from", "rank to",
            "share of first ranks", "mean rank", "votes", "note",
        ),
        [_standing(criterion, system) for criterion in found for system in systems],
        lambda numbers, width: _draw_ranking(numbers, systems, study.level, width),
        counts="votes",
    )  # fmt: skip


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


def _standing(criterion: CriterionResult, system: str) -> tuple[Any, ...]:
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


def _draw_ranking(numbers: DataFrame, systems: list[str], level: float, width: float) -> Figure:
    known = numbers["score"].notna()
    ranks = numbers["mean rank"].map("{:.2f}".format, na_action="ignore").fillna("")
    dots = numbers.assign(
        heading="",
        label=numbers["criterion"],
        series=numbers["system"].map(systems.index),
        value=numbers["score"],
        right=ranks.where(known, (ranks + " (no score)").str.strip()),
    )
    axis = f"score, {100 * level:g} % intervals"
    return dotted(dots, systems, width, label=axis, right="mean rank", mark=0.0)
