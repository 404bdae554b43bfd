"""Win, tie and loss of one system against another by criterion (the paper's Figure 2)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from reports.charts.board import Axis, Bar, stacked
from reports.charts.chart import Chart
from reports.charts.forms import Comparison, Study, Vote, checked
from reports.charts.looks import Fill
from reports.figures.typeset import clean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_OUTCOMES: tuple[Vote, ...] = ("win", "tie", "both_bad", "loss")
_FILLS = (
    Fill("query", "", "query", "on-mark"),
    Fill("grid", "", "faint"),
    Fill("paper", "-----", "faint"),
    Fill("speech-tint", "/////", "speech"),
)
#: With more systems than these, only the pairs of the first are drawn.
_ALL_PAIRS = 3
_COLUMNS = (
    "criterion", "first", "second", "votes", *_OUTCOMES, "win share", "low", "high", "net",
    "net low", "net high", "p", "p (Holm)", "dialogues", "raters", "note",
)  # fmt: skip


def study_of(analysis: Any) -> Study:
    """An analysis: `statistics.json` as parsed, or a `StudyResult`.

    Raises:
        BadInput: it is neither.
    """
    if hasattr(analysis, "kept") and not isinstance(analysis, Study):
        from reports.statistics.results import to_json

        analysis = json.loads(to_json(analysis))
    return checked(Study, analysis)


def preference(analysis: Any) -> Chart | None:
    """Stacked bars of all votes; None if there is not one.

    Args:
        analysis: see `study_of`.

    Raises:
        BadInput: of the analysis.
    """
    study = study_of(analysis)
    compared = [(c.criterion, one) for c in study.kept.criteria for one in c.comparisons]
    if not any(sum(one.votes.values()) for _, one in compared):
        return None
    drawn = _drawn(study, compared)
    return Chart(
        name="preference",
        title="Preference by criterion",
        caption=_caption(study, whole=len(drawn) == len(compared)),
        columns=_COLUMNS,
        rows=tuple(_row(name, one) for name, one in compared),
        draw=lambda width: _draw(drawn, study.level, width),
    )


def about(study: Study) -> list[str]:
    """What a caption says of any figure about a study, a sentence each."""
    kept = study.kept
    said = [f"{kept.ratings} ratings by {kept.raters} raters of {kept.dialogues} dialogues."]
    if study.excluded:
        said.append(f"{len(study.excluded)} raters were left out by the rules of exclusion.")
    if kept.raters == 1:
        said.append("One rater only: intervals are about dialogues, not about raters.")
    if study.synthetic:
        said.append("The ratings are synthetic, wholly or in part: nobody gave them.")
    # A sentence above says it of the synthetic ones; columns are no reader's business.
    notices = [n for n in study.notices if "synthetic" not in n and "columns not used" not in n]
    return [*said, *(f"{clean(notice).rstrip('.').capitalize()}." for notice in notices)]


def _drawn(study: Study, compared: list[tuple[str, Comparison]]) -> list[tuple[str, Comparison]]:
    """The rows in the order in which they are drawn: pair by pair."""
    pairs = list(dict.fromkeys((one.first, one.second) for _, one in compared))
    if len(study.systems) > _ALL_PAIRS:
        pairs = [pair for pair in pairs if study.systems[0] in pair]
    found = [row for pair in pairs for row in compared if (row[1].first, row[1].second) == pair]
    return found if any(sum(one.votes.values()) for _, one in found) else compared


def _draw(compared: list[tuple[str, Comparison]], level: float, width: float) -> Figure:
    several = len({(one.first, one.second) for _, one in compared}) > 1
    bars, before = [], None
    for name, one in compared:
        pair = one.first, one.second
        heading = f"{one.first} against {one.second}" if several and pair != before else ""
        bars.append(_bar(name, one, heading))
        before = pair
    first, second = (before or ("", "")) if not several else ("the first", "the second")
    names = (f"{first} better", "tie", "both bad", f"{second} better")
    return stacked(
        bars,
        list(zip(_FILLS, names, strict=True)),
        Axis("share of votes", percent=True),
        width,
        whisker=f"{first} better, {100 * level:g} % interval",
        right="votes",
    )


def _bar(name: str, one: Comparison, heading: str) -> Bar:
    total = sum(one.votes.values())
    if not total:
        return Bar(name, right="none", heading=heading)
    parts = [one.votes.get(outcome, 0) / total for outcome in _OUTCOMES]
    win = one.estimates.get("win")
    known = win is not None and win.low is not None and win.high is not None
    interval = (win.low, win.high) if known else None  # type: ignore[union-attr]
    return Bar(name, parts, interval, str(total), heading)  # type: ignore[arg-type]


def _row(name: str, one: Comparison) -> tuple[object, ...]:
    win, net = one.estimates.get("win"), one.estimates.get("net")
    shares = [(e.value, e.low, e.high) if e else (None, None, None) for e in (win, net)]
    votes = [one.votes.get(outcome, 0) for outcome in _OUTCOMES]
    return (
        name, one.first, one.second, sum(votes), *votes, *shares[0], *shares[1],
        one.preference.p, one.preference.p_holm, one.dialogues, one.raters, one.note,
    )  # fmt: skip


def _caption(study: Study, *, whole: bool) -> str:
    first, *others = study.systems
    who = f"{first} against {others[0]}" if len(others) == 1 else "each pair of systems"
    said = [f"Which of two answers raters preferred, {who}, by criterion.", *about(study)]
    said.append(
        f"The lines below the bars are {100 * study.level:g} % intervals of the share of votes for "
        "the first, clustered by dialogue and rater; p values in the table are Holm-adjusted over "
        "all comparisons."
    )
    if not whole:
        said.append(f"Pairs without {first} are in the table only.")
    return " ".join(clean(part) for part in said)
