"""Draw win, tie and loss of one system against another by criterion (the paper's Figure 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reports.plots.chart import Chart, make_chart, typed
from reports.plots.panels import Fill, stacked
from reports.statistics.analysis import Comparison, StudyResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OUTCOMES = {
    "win": Fill("query", "", "query", "on-mark"),
    "tie": Fill("grid", "", "faint"),
    "both_bad": Fill("paper", "-----", "faint"),
    "loss": Fill("speech-tint", "/////", "speech"),
}
#: Comparisons, each with the name of its criterion.
_Compared = list[tuple[str, Comparison]]
#: With more systems than these, only the pairs of the first are drawn.
_ALL_PAIRS = 3
_COLUMNS = (
    "criterion", "first", "second", "votes", *OUTCOMES, "win share", "low", "high", "net",
    "net low", "net high", "p", "p (Holm)", "dialogues", "raters", "note",
)  # fmt: skip


def preference(analysis: Any) -> Chart | None:
    """Draw stacked bars of all votes; None if there is not one."""
    study = typed(analysis, StudyResult)
    compared = [(c.criterion, one) for c in study.kept.criteria for one in c.comparisons]
    if not any(sum(one.votes.values()) for _, one in compared):
        return None
    first, *others = study.systems
    who = f"{first} against {others[0]}" if len(others) == 1 else "each pair of systems"
    drawn = _in_order(study, compared)
    return make_chart(
        "preference",
        "Preference by criterion",
        [
            f"Which of two answers raters preferred, {who}, by criterion.",
            *about(study),
            f"The lines below the bars are {100 * study.level:g} % intervals of the share of votes "
            "for the first, clustered by dialogue and rater; p values in the table are "
            "Holm-adjusted over all comparisons.",
            f"Pairs without {first} are in the table only." if len(drawn) < len(compared) else "",
        ],
        _COLUMNS,
        [_row(criterion, one) for criterion, one in compared],
        lambda width: _draw(drawn, study.level, width),
        counts="votes",
    )


def about(study: StudyResult) -> list[str]:
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


def _in_order(study: StudyResult, compared: _Compared) -> _Compared:
    """Choose what is drawn, pair by pair; of many systems, the pairs of the first."""
    pairs = list(dict.fromkeys((one.first, one.second) for _, one in compared))
    if len(study.systems) > _ALL_PAIRS:
        pairs = [pair for pair in pairs if study.systems[0] in pair]
    found = [row for pair in pairs for row in compared if (row[1].first, row[1].second) == pair]
    return found if any(sum(one.votes.values()) for _, one in found) else compared


def _row(criterion: str, one: Comparison) -> tuple[Any, ...]:
    win, net = one.estimates.get("win"), one.estimates.get("net")
    shares = [x for e in (win, net) for x in ((e.value, e.low, e.high) if e else [None] * 3)]
    votes = [one.votes.get(outcome, 0) for outcome in OUTCOMES]
    return (
        criterion, one.first, one.second, sum(votes), *votes, *shares, one.preference.p,
        one.preference.p_holm, one.dialogues, one.raters, one.note,
    )  # fmt: skip


def _draw(compared: _Compared, level: float, width: float) -> Figure:
    import pandas as pd

    pairs = {(one.first, one.second) for _, one in compared}
    first, second = pairs.pop() if len(pairs) == 1 else ("the first", "the second")
    rows = pd.DataFrame([_row(*one) for one in compared], columns=_COLUMNS)
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
