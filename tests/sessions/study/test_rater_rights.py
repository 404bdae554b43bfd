"""Withdrawal, questionnaires, strength of preference and marks, on both databases."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from duo.csv_file import csv_text
from duo.errors import BadInput
from sessions.study.exports import export_marks, export_replies
from sessions.study.importing import import_ratings
from sessions.study.people import Refused, invite, invite_raters
from sessions.study.session import Session, Unanswered, Unmarked, open_session
from sessions.study.status import study_status
from sessions.study.study import Study, open_study, set_state
from sessions.study.tables import actions, drafts, marks, pages, ratings, replies
from sessions.study.views import (
    Answer,
    FinishedView,
    InstructionsView,
    Mark,
    QuestionnaireView,
    RatingView,
    StoppedView,
)
from sessions.study.votes import export, votes
from tests.sessions.study.studies import StudyMaker, begin, newcomer, rate_all, rate_page

AGE = {"name": "age", "kind": "choice", "ask": "Age?", "options": ["young", "old"]}
BEFORE = [
    AGE | {"required": True},
    {"name": "speaks", "kind": "several", "ask": "Languages?", "options": ["en", "zh", "fr"]},
    {"name": "often", "kind": "scale", "ask": "How often?", "points": 5, "low": "never"},
    {"name": "years", "kind": "number", "ask": "Years?", "least": 0, "most": 120},
]
AFTER = [{"name": "trouble", "kind": "text", "ask": "Trouble?"}]
STRENGTH = {"levels": {"slightly": "Slightly", "clearly": "Clearly"}}
MARKS = {"kinds": {"stop": "Here it should have stopped", "late": "Too late"}}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return [
            {name: csv_text(text) for name, text in row.items()} for row in csv.DictReader(stream)
        ]


def kept(study: Study, rater: int) -> dict[str, int]:
    """How many rows there are of a rater, by table."""
    with study.database.read() as connection:
        own = select(pages.c.id).where(pages.c.rater_id == rater)
        found = {
            table.name: len(connection.execute(select(table).where(where)).all())
            for table, where in (
                (pages, pages.c.rater_id == rater),
                (ratings, ratings.c.rater_id == rater),
                (drafts, drafts.c.page_id.in_(own)),
                (marks, marks.c.page_id.in_(own)),
                (replies, replies.c.rater_id == rater),
            )
        }
    return {name: count for name, count in found.items() if count}


def page_of(session: Session) -> RatingView:
    view = session.view()
    assert isinstance(view, RatingView)
    return view


@pytest.mark.parametrize("erase", [True, False])
def test_who_withdraws_frees_the_places_and_is_not_exported(
    make: StudyMaker, tmp_path: Path, erase: bool
) -> None:
    study = make(
        items=2,
        raters_per_item=1,
        before=[AGE],
        marks=MARKS,
        completion={"withdrawn": {"text": "BYE", "return_url": "https://x.org/{code}"}},
    )
    token = invite(study, "panel", label="p").token
    session = open_session(study, token, "someone", {"study": "S", "session": "private"})
    session.consent(True)
    session.answer_questionnaire({"age": "old"})
    session.understood()
    page = page_of(session)
    session.mark(page.page, [Mark(0, 1, "stop")])
    session.draft_comment(page.page, "between us")
    assert rate_page(session)
    session.draft(page_of(session).page, "speed", Answer.of("tie"))
    (invitation,) = invite_raters(study, 1)
    late = open_session(study, invitation.token)
    before = tmp_path / "before.csv"
    export(study, before)
    assert not isinstance(late.view(), InstructionsView | RatingView | QuestionnaireView)

    session.withdraw(erase=erase)
    assert session.view() == StoppedView("withdrawn", "BYE", "https://x.org/BYE", kept=not erase)
    assert open_session(study, token, "someone").rater == session.rater  # no second time
    with pytest.raises(Refused) as caught:
        session.draft_comment(page.page, "still here")
    assert caught.value.reason == "withdrawn"
    assert votes(study) == []
    assert export_replies(study, tmp_path / "q.csv") == 0
    assert export_marks(study, tmp_path / "m.csv") == 0
    (status, _) = study_status(study).raters
    assert (status.name, status.state) == ("r001", "withdrawn")
    late.consent(True)
    late.answer_questionnaire({})
    late.understood()
    assert rate_all(late) == 2  # both places are free again

    if erase:  # no older export brings back what was deleted
        with pytest.raises(BadInput, match="r001 withdrew and had the answers deleted"):
            import_ratings(study, before)
    if not erase:
        assert len(votes(study, withdrawn=True)) == len(votes(study)) + 2
        assert {one.withdrawn for one in votes(study, withdrawn=True)} == {True, False}
        assert export_replies(study, tmp_path / "q.csv", withdrawn=True) == 1
        assert export_marks(study, tmp_path / "m.csv", withdrawn=True) == 1
        set_state(study, "closed")
        session.withdraw(erase=True)  # thinks again, even after the study
    assert kept(study, session.rater) == {}
    with study.database.read() as connection:
        mine = select(actions.c.kind, actions.c.data).where(actions.c.rater_id == session.rater)
        history = connection.execute(mine).all()
    assert {row.kind for row in history} == {"invite", "consent", "withdraw"}
    assert "private" not in json.dumps([row.data for row in history])
    assert len(votes(study, withdrawn=True)) == 4


def test_withdrawal_is_as_the_design_says_and_needs_consent(make_sqlite: StudyMaker) -> None:
    keeps = make_sqlite(items=1, withdrawal="keep")
    session = newcomer(keeps)
    rate_all(session)
    assert isinstance(session.view(), FinishedView)
    assert session.may_withdraw()
    session.withdraw(erase=True)
    assert kept(keeps, session.rater)
    deletes = make_sqlite(items=1, withdrawal="delete")
    session = newcomer(deletes)
    rate_all(session)
    session.withdraw(erase=False)
    assert not kept(deletes, session.rater)
    (invitation,) = invite_raters(deletes, 1)
    stranger = open_session(deletes, invitation.token)
    assert not stranger.may_withdraw()
    stranger.withdraw(erase=True)
    assert not isinstance(stranger.view(), StoppedView)


def test_questionnaires_stand_before_and_after(make: StudyMaker, tmp_path: Path) -> None:
    study = make(items=1, before=BEFORE, after=AFTER)
    (invitation,) = invite_raters(study, 1)
    session = open_session(study, invitation.token)
    session.consent(True)
    assert session.view() == QuestionnaireView("before")
    with pytest.raises(Unanswered) as caught:
        session.answer_questionnaire({"speaks": ["en"]})
    assert caught.value.missing == ("age",)
    for wrong in (
        {"age": "dead"},
        {"age": "old", "speaks": ["en", "xx"]},
        {"age": "old", "often": 6},
        {"age": "old", "often": True},
        {"age": "old", "years": 121},
        {"age": "old", "years": float("nan")},
        {"age": "old", "years": "ten"},
    ):
        with pytest.raises(ValueError, match="cannot be"):
            session.answer_questionnaire(wrong)
    assert kept(study, session.rater) == {}
    session.answer_questionnaire(
        {"age": "old", "speaks": ["zh", "en"], "often": 1, "years": 2.0, "more": "x"}
    )
    session.answer_questionnaire({"age": "young"})  # a second click changes nothing
    assert isinstance(session.view(), InstructionsView)
    session.understood()
    rate_all(session)
    assert session.view() == QuestionnaireView("after", 1)
    assert isinstance(session.view(1), RatingView)
    assert study_status(study).raters[0].state == "after"
    session.answer_questionnaire({"trouble": "=cmd()\0"})
    assert isinstance(session.view(), FinishedView)
    path = tmp_path / "questionnaire.csv"
    again = open_study(study.folder)  # a server that is started again looks at what is stored
    assert export_replies(again, path) == 5
    again.database.close()
    assert "'=cmd()" in path.read_text("utf-8")  # no spreadsheet runs it
    said = [(row["part"], row["question"], row["answer"]) for row in rows(path)]
    assert said == [
        ("before", "age", "old"),
        ("before", "speaks", '["en", "zh"]'),
        ("before", "often", "1"),
        ("before", "years", "2"),
        ("after", "trouble", "=cmd()"),
    ]


def test_the_strength_of_a_preference_is_kept_and_comes_back(
    make: StudyMaker, tmp_path: Path
) -> None:
    study = make(items=2, strength=STRENGTH | {"required": True})
    session = newcomer(study)
    view = page_of(session)
    left, tie = Answer.of("left"), Answer.of("tie")
    with pytest.raises(Unanswered) as caught:
        session.submit(view.page, {"speed": left, "sense": tie}, nonce="1")
    assert caught.value.missing == ("speed",)  # a tie has no strength
    with pytest.raises(ValueError, match="unknown strength"):
        session.draft(view.page, "speed", Answer((1, 2), strength="madly"))
    with pytest.raises(ValueError, match="a strength goes with"):
        Answer((1, 1), strength="clearly")
    session.submit(
        view.page, {"speed": Answer((1, 2), strength="clearly"), "sense": tie}, nonce="1"
    )
    assert {one.criterion: one.strength for one in votes(study)} == {
        "speed": "clearly",
        "sense": "",
    }
    export(study, tmp_path / "ratings.csv")
    other = make(items=2, strength=STRENGTH)
    assert import_ratings(other, tmp_path / "ratings.csv") == 2
    assert {one.criterion: one.strength for one in votes(other)} == {
        "speed": "clearly",
        "sense": "",
    }
    own = newcomer(other)
    assert rate_all(own) == 2  # not required, never missed


def test_marks_are_of_turns_of_assistants(make: StudyMaker, tmp_path: Path) -> None:
    study = make(items=1, marks=MARKS | {"least": 1})
    session = newcomer(study)
    view = page_of(session)
    answers: dict[str, Any] = {name: Answer.of("left") for name in ("speed", "sense")}
    with pytest.raises(Unmarked):
        session.submit(view.page, answers, nonce="1")
    for wrong in (Mark(0, 0, "stop"), Mark(0, 9, "stop"), Mark(2, 1, "stop"), Mark(0, 1, "no")):
        with pytest.raises(ValueError, match="no such mark"):
            session.mark(view.page, [wrong])
    session.mark(view.page, [Mark(0, 1, "stop"), Mark(1, 1, "late")])
    session.mark(view.page, [Mark(1, 1, "late"), Mark(1, 1, "stop")])
    assert page_of(session).marks == (Mark(1, 1, "late"), Mark(1, 1, "stop"))
    assert export_marks(study, tmp_path / "marks.csv") == 0  # until the page is submitted
    session.submit(view.page, answers, nonce="1")
    assert export_marks(study, tmp_path / "marks.csv") == 2
    right = {one.system_right for one in votes(study)}
    for row in rows(tmp_path / "marks.csv"):
        assert {row["system"]} == right
        assert (row["turn"], row["start"], row["end"]) == ("2", "1.0", "12.5")
        assert row["text"].startswith("here speaks number")
    with study.database.read() as connection:
        noted = select(actions.c.data).where(actions.c.kind == "mark")
        history = list(connection.execute(noted).scalars())
    assert history[1] == {"added": [[1, 1, "stop"]], "removed": [[0, 1, "stop"]]}


def test_a_rater_chooses_a_language_of_the_design(make_sqlite: StudyMaker) -> None:
    study = make_sqlite(
        language=["en", "zh"],
        translations={"zh": {"title": "研究", "criteria": [{"title": "速度"}, {}]}},
    )
    (invitation,) = invite_raters(study, 1)
    session = open_session(study, invitation.token)
    session.speak("fr")
    assert session.language is None
    session.speak("zh")
    assert open_session(study, invitation.token).language == "zh"
    begin(session)
    rate_page(session)
    assert {one.language for one in votes(study)} == {"zh"}
