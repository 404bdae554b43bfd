"""Synthetic raters, the preregistration, the status that both databases give, and the load test."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import krippendorff
import pytest

from duo.errors import BadInput
from reports.statistics.simulate import Taste, Voting, simulate_raters
from sessions.study.load import load_test
from sessions.study.preregistration import preregister
from sessions.study.status import agreement, study_status
from sessions.study.votes import Vote, votes
from tests.sessions.study.studies import CRITERIA, StudyMaker, newcomer, rate_all


def test_synthetic_raters_like_what_they_are_told_to(make_sqlite: StudyMaker) -> None:
    study = make_sqlite(items=12, raters_per_item=6)
    taste = Taste(
        {"duo": 2.0}, Voting(dialogue_sd=0.0, rater_sd=0.0, tie=0.0, side=0.0, side_sd=0.0)
    )
    assert simulate_raters(study, 6, taste, seed=1) == 72
    cast = votes(study)
    assert all(vote.synthetic for vote in cast)
    wins = Counter(vote.winner for vote in cast)
    assert wins["duo"] / len(cast) == pytest.approx(0.88, abs=0.08)  # 1 / (1 + exp(-2))
    assert set(wins) == {"duo", "duplex"}


def test_a_left_bias_shows_and_cancels_out(make_sqlite: StudyMaker) -> None:
    study = make_sqlite(items=12, raters_per_item=6)
    simulate_raters(study, 6, Taste(voting=Voting(side=2.0, tie=0.0)), seed=1)
    cast = votes(study)
    assert sum(vote.choice == "left" for vote in cast) / len(cast) > 0.75
    assert sum(vote.winner == "duo" for vote in cast) / len(cast) == pytest.approx(0.5, abs=0.15)


def test_careless_raters_fail_checks(make_sqlite: StudyMaker) -> None:
    study = make_sqlite(items=6, checks={"attention": 4}, raters_per_item=6)
    simulate_raters(study, 6, Taste(careless=0.5), seed=3)
    flagged = [one for one in study_status(study).raters if one.flags]
    assert flagged
    assert any(one.failed for one in flagged)
    careful = [one for one in study_status(study).raters if not one.flags]
    assert careful
    assert all(one.failed == 0 for one in careful)


def test_trying_out_takes_nothing_from_the_study(make: StudyMaker) -> None:
    study = make(items=3, raters_per_item=1)
    simulate_raters(study, 2, Taste())
    assert study_status(study).synthetic
    assert study_status(study).done == 1.0
    assert rate_all(newcomer(study)) == 3
    status = study_status(study)
    assert not status.synthetic
    assert (status.done, status.votes) == (1.0, 3 * len(CRITERIA))


def test_a_strength_of_no_system(make_sqlite: StudyMaker) -> None:
    study = make_sqlite()
    with pytest.raises(BadInput, match="--prefer: unknown 'duet'"):
        simulate_raters(study, 1, Taste({"duet": 1.0}))
    assert study_status(study).raters == ()


def vote(rater: str, item: str, winner: str, **more: object) -> Vote:
    choice = {"a": "left", "b": "right"}.get(winner, winner)
    facts: dict[str, object] = {
        "rater": rater, "item": item, "scenario": item, "repeat": 0, "criterion": "c",
        "system_left": "a", "system_right": "b", "choice": choice, "seconds": 1.0,
        "submitted_at": 0.0, "attention": False, "passed": None, "synthetic": False,
        "position": 1, "order": ("a", "b"), "ranking": (1, 2), "all_bad": False, "seed": 0,
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
    simulate_raters(study, 1, Taste())
    rate_all(newcomer(study))
    late = preregister(study, study.folder / "late.md").read_text(encoding="utf-8")
    assert "at that time: 8 (**data collection had begun**)" in late


def test_a_load_test_loses_nothing(database: str, tmp_path: Path) -> None:
    found = load_test(tmp_path / "load", raters=8, pages=2, processes=2, think=0)
    assert (found.sent, found.stored, found.lost, found.changed) == (80, 80, 0, 0)
    assert {one.operation for one in found.timings} == {"open", "view", "draft", "submit"}
    assert all(0 <= one.median <= one.p95 <= one.longest for one in found.timings)
