"""The status that both databases give, the preregistration, and the load test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import krippendorff
import pytest

from duo.errors import BadInput
from reports.statistics.raters import excluded
from reports.statistics.ratings import frame
from sessions.study.people import invite_raters
from sessions.study.preregistration import preregister
from sessions.study.signs import Rules
from sessions.study.status import agreement, study_status
from sessions.study.views import CHOICES, Answer, RatingView
from sessions.study.votes import Vote, votes
from tests.sessions.study.studies import (
    Clock,
    StudyMaker,
    all_left,
    newcomer,
    rate_all,
    rate_page,
)


def vote(rater: str, item: str, winner: str, **more: object) -> Vote:
    choice = {"a": "left", "b": "right"}.get(winner, winner)
    facts: dict[str, object] = {
        "study": "s", "rater": rater, "item": item, "scenario": item, "repeat": 0, "criterion": "c",
        "system_left": "a", "system_right": "b", "choice": choice, "seconds": 1.0,
        "submitted_at": datetime.now(UTC), "attention": False, "passed": None, "synthetic": False,
        "position": 1, "order": '["a", "b"]', "ranking": "[1, 2]", "all_bad": False, "seed": 0,
        "comment": "", "revisions": 0, "rater_number": 0, "rater_state": "rating",
        "revoked": False,
    }  # fmt: skip
    return Vote(**(facts | more))  # type: ignore[arg-type]


def test_agreement_is_krippendorffs() -> None:
    said = ["aab", "abt", "bbb", "att", "aaa"]
    names = {"a": "a", "b": "b", "t": "tie"}
    cast = [
        vote(f"r{rater}", f"i{item}", names[said[item][rater]])
        for item in range(5)
        for rater in range(3)
    ]
    codes = {"a": 0, "b": 1, "t": 2}
    data = [[codes[said[item][rater]] for item in range(5)] for rater in range(3)]
    expected = krippendorff.alpha(reliability_data=data, level_of_measurement="nominal")
    assert agreement(cast) == pytest.approx(expected)
    swapped = [
        vote(one.rater, one.item, one.winner, system_left="b", system_right="a",
             choice={"left": "right", "right": "left"}.get(one.choice, one.choice))
        for one in cast
    ]  # fmt: skip
    assert agreement(swapped) == pytest.approx(expected)


def test_agreement_needs_two_raters_and_two_opinions() -> None:
    assert agreement([]) is None
    assert agreement([vote("r1", "i", "a"), vote("r1", "j", "b")]) is None
    assert agreement([vote("r1", "i", "a"), vote("r2", "i", "a")]) is None


def test_the_administrator_and_the_analysis_go_by_one_rule(make_sqlite: StudyMaker) -> None:
    """Whoever is flagged while the study runs is who would be left out of it."""
    clock = Clock()
    study = make_sqlite(items=10, raters_per_item=4, clock=clock)

    def at_pace(seconds: float, choose: Callable[[RatingView], Mapping[str, Answer]]) -> None:
        def answer(view: RatingView) -> Mapping[str, Answer]:
            clock.pass_(seconds)
            return choose(view)

        rate_all(newcomer(study), answer)

    def by_turns(view: RatingView) -> Mapping[str, Answer]:
        return dict.fromkeys(all_left(view), Answer.of(CHOICES[view.number % 4]))

    for seconds, choose in ((1, by_turns), (9, by_turns), (9, all_left)):
        at_pace(seconds, choose)
    rows = frame([vote.row() for vote in votes(study)])
    left_out = {one.rater: one.reasons for one in excluded(rows, Rules())}
    flagged = {one.name: one.flags for one in study_status(study).raters if one.flags}
    assert flagged == left_out
    assert set(flagged) == {"r001", "r003"}


def test_who_is_slow_or_stopped_is_named(make_sqlite: StudyMaker) -> None:
    clock = Clock()
    study = make_sqlite(items=4, raters_per_item=6, clock=clock)
    for seconds in (10, 12, 50):
        session = newcomer(study)
        for _ in range(3 if seconds == 12 else 4):
            session.view()
            clock.pass_(seconds)
            rate_page(session)
    found = {one.name: one.flags for one in study_status(study).raters}
    assert found == {
        "r001": (),
        "r002": (),
        "r003": ("slow: median page took 50 s, the usual one takes 12 s",),
    }
    clock.pass_(25 * 3600)
    assert study_status(study).raters[1].flags == ("stopped: 3 of 4 pages, not seen for 1.0 days",)


def test_the_preregistration_says_what_will_be_done(make: StudyMaker) -> None:
    study = make(hypotheses=["duo wins"], analysis="Count.", exclusions="Nobody.", seed=7)
    day = datetime(2026, 5, 4, tzinfo=UTC)
    path = preregister(study, now=day)
    assert path.name == "preregistration-2026-05-04.md"
    text = path.read_text(encoding="utf-8")
    for said in ("1. duo wins", "Count.", "Nobody.", "seed: 7", study.name, "by people", "0" * 64):
        assert said in text
    assert "had begun" not in text
    with pytest.raises(BadInput, match="is not overwritten"):
        preregister(study, now=day)
    invite_raters(study, 1, synthetic=True)
    rate_all(newcomer(study))
    late = preregister(study, study.folder / "late.md").read_text(encoding="utf-8")
    assert "at that time: 8 (**data collection had begun**)" in late
