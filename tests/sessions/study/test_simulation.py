"""Synthetic raters, the preregistration, the status that both databases give, and the load test."""

from __future__ import annotations

from collections import Counter

import pytest

from duo.errors import BadInput
from reports.statistics.simulate import Voting, simulate_raters
from sessions.study.status import study_status
from sessions.study.votes import votes
from tests.sessions.study.studies import CRITERIA, StudyMaker, newcomer, rate_all


def test_synthetic_raters_like_what_they_are_told_to(make_sqlite: StudyMaker) -> None:
    study = make_sqlite(items=12, raters_per_item=6)
    alike = Voting(dialogue_sd=0.0, rater_sd=0.0, tie=0.0, side=0.0, side_sd=0.0)
    assert simulate_raters(study, 6, {"duo": 2.0}, voting=alike, seed=1) == 72
    cast = votes(study)
    assert all(vote.synthetic for vote in cast)
    wins = Counter(vote.winner for vote in cast)
    assert wins["duo"] / len(cast) == pytest.approx(0.88, abs=0.08)  # 1 / (1 + exp(-2))
    assert set(wins) == {"duo", "duplex"}


def test_a_left_bias_shows_and_cancels_out(make_sqlite: StudyMaker) -> None:
    study = make_sqlite(items=12, raters_per_item=6)
    simulate_raters(study, 6, {}, voting=Voting(side=2.0, tie=0.0), seed=1)
    cast = votes(study)
    assert sum(vote.choice == "left" for vote in cast) / len(cast) > 0.75
    assert sum(vote.winner == "duo" for vote in cast) / len(cast) == pytest.approx(0.5, abs=0.15)


def test_careless_raters_fail_checks(make_sqlite: StudyMaker) -> None:
    study = make_sqlite(items=6, checks={"attention": 4}, raters_per_item=6)
    simulate_raters(study, 6, {}, careless=0.5, seed=3)
    flagged = [one for one in study_status(study).raters if one.flags]
    assert flagged
    assert any(one.failed for one in flagged)
    careful = [one for one in study_status(study).raters if not one.flags]
    assert careful
    assert all(one.failed == 0 for one in careful)


def test_trying_out_takes_nothing_from_the_study(make: StudyMaker) -> None:
    study = make(items=3, raters_per_item=1)
    simulate_raters(study, 2, {})
    assert study_status(study).synthetic
    assert study_status(study).done == 1.0
    assert rate_all(newcomer(study)) == 3
    status = study_status(study)
    assert not status.synthetic
    assert (status.done, status.votes) == (1.0, 3 * len(CRITERIA))


def test_a_strength_of_no_system(make_sqlite: StudyMaker) -> None:
    study = make_sqlite()
    with pytest.raises(BadInput, match="--prefer: unknown 'duet'"):
        simulate_raters(study, 1, {"duet": 1.0})
    assert study_status(study).raters == ()
