"""The status that both databases give, the preregistration, and the load test."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import krippendorff
import pytest

from duo.errors import BadInput
from sessions.study.load import load_test
from sessions.study.people import invite_raters
from sessions.study.preregistration import preregister
from sessions.study.status import agreement
from sessions.study.votes import Vote
from tests.sessions.study.studies import StudyMaker, newcomer, rate_all


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


def test_a_load_test_loses_nothing(database: str, tmp_path: Path) -> None:
    found = load_test(tmp_path / "load", raters=8, pages=2, processes=2, think=0)
    assert (found.sent, found.stored, found.lost, found.changed) == (80, 80, 0, 0)
    assert [one["operation"] for one in found.timings] == ["draft", "open", "submit", "view"]
    assert all(0 <= one["median"] <= one["p95"] <= one["longest"] for one in found.timings)
