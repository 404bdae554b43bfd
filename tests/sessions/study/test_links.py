"""Links: who a token and a panel's ids let in, and the codes by which people leave."""

from __future__ import annotations

from pathlib import Path

import pytest

from sessions.study.people import Refused, invite, invite_raters, revoke
from sessions.study.session import open_session
from sessions.study.status import study_status
from sessions.study.views import FinishedView, StoppedView
from sessions.study.votes import votes
from tests.sessions.study.studies import (
    CRITERIA,
    QUESTION,
    Clock,
    StudyMaker,
    begin,
    newcomer,
    rate_all,
)


def test_tokens_are_nowhere_in_the_database_in_clear_text(
    make_sqlite: StudyMaker, tmp_path: Path
) -> None:
    study = make_sqlite()
    links = [
        *invite_raters(study, 3),
        invite(study, "admin", label="a"),
        invite(study, "panel", label="p"),
    ]
    open_session(study, links[4].token, "participant-4711")
    rate_all(newcomer(study))
    study.database.close()
    secrets = [link.token.encode() for link in links] + [b"participant-4711"]
    files = [path for path in study.folder.rglob("*") if path.is_file()]
    assert any(path.name == "study.sqlite" for path in files)
    for path in files:
        assert not any(secret in path.read_bytes() for secret in secrets)
    assert all(len(link.token) * 6 >= 128 for link in links)
    assert len({link.token for link in links}) == len(links)


def test_links_expire(make: StudyMaker) -> None:
    clock = Clock()
    study = make(clock=clock)
    (invitation,) = invite_raters(study, 1, valid_seconds=60)
    open_session(study, invitation.token)
    clock.pass_(61)
    with pytest.raises(Refused, match="has expired"):
        open_session(study, invitation.token)


@pytest.mark.parametrize(
    "token", ["", "x", "\ud800", "'; DROP TABLE raters; --", "\0", "a" * 100000]
)
def test_tokens_that_are_none(make: StudyMaker, token: str) -> None:
    with pytest.raises(Refused, match="not known"):
        open_session(make(), token)


def test_a_token_opens_only_what_it_is_for(make: StudyMaker) -> None:
    from sessions.study.status import open_admin

    study, other = make(), make()
    (rater,) = invite_raters(study, 1)
    admin = invite(study, "admin", label="me")
    assert open_admin(study, admin.token).label == "me"
    for wrong in (
        lambda: open_session(study, admin.token),
        lambda: open_admin(study, rater.token),
        lambda: open_session(other, rater.token),
        lambda: open_admin(other, admin.token),
    ):
        with pytest.raises(Refused, match="not known"):
            wrong()


def test_a_panels_participants_are_known_again(make: StudyMaker) -> None:
    study = make()
    link = invite(study, "panel", label="prolific")
    with pytest.raises(Refused, match="participant number"):
        open_session(study, link.token)
    one = open_session(study, link.token, "5f3a")
    other = open_session(study, link.token, "77bc")
    assert one.rater != other.rater
    assert open_session(study, link.token, " 5f3a ").rater == one.rater
    revoke(study, ["prolific"])
    with pytest.raises(Refused, match="no longer valid"):
        open_session(study, link.token, "5f3a")


@pytest.mark.parametrize(
    "unfilled",
    [
        "{{%PROLIFIC_PID%}}", " {{%PROLIFIC_PID%}} ", "%7B%7B%25PROLIFIC_PID%25%7D%7D",
        "{{PROLIFIC_PID}}", "${PROLIFIC_PID}", "${e://Field/PROLIFIC_PID}", "$PROLIFIC_PID$",
        "[PROLIFIC_PID]", "[%PID%]", "<id>", "%SURVEY_CODE%", "PROLIFIC_PID", "undefined", "null",
    ],
)  # fmt: skip
def test_a_placeholder_is_nobody(make: StudyMaker, unfilled: str) -> None:
    study = make()
    link = invite(study, "panel", label="prolific")
    for _ in range(2):
        with pytest.raises(Refused, match=r"PROLIFIC_PID=.* is a placeholder that was not filled"):
            open_session(study, link.token, unfilled)
    assert study_status(study).raters == ()


@pytest.mark.parametrize("given", ["5f3a9c01b2", "A-b_c.d@x.org", "007", "a=b+c/d~", "Nullus"])
def test_ids_of_panels_are_somebody(make_sqlite: StudyMaker, given: str) -> None:
    study = make_sqlite()
    link = invite(study, "panel", label="p")
    assert open_session(study, link.token, given).rater


def test_the_panels_study_and_session_are_in_the_data(make: StudyMaker) -> None:
    study = make(items=1)
    link = invite(study, "panel", label="p")
    for who, ids in (
        ("5f", {"study": "st-1", "session": "se\0-1"}),
        ("6f", {"study": "{{%STUDY_ID%}}", "session": "x" * 1000}),
    ):
        session = open_session(study, link.token, who, ids)
        begin(session)
        rate_all(session)
    open_session(study, link.token, "5f", {"study": "other", "session": "other"})
    kept = {(vote.panel_study, vote.panel_session) for vote in votes(study)}
    assert kept == {("st-1", "se\ufffd-1"), ("", "x" * 200)}


@pytest.mark.parametrize(
    ("completion", "code", "url"),
    [
        ({"code": "none"}, "", ""),
        ({"code": "study", "text": "C1AB"}, "C1AB", ""),
        (
            {"code": "study", "text": "C1", "return_url": "https://x.org/?cc={code}"},
            "C1",
            "https://x.org/?cc=C1",
        ),
    ],
)
def test_completion_codes(
    make_sqlite: StudyMaker, completion: dict[str, str], code: str, url: str
) -> None:
    session = newcomer(make_sqlite(completion=completion))
    rate_all(session)
    end = session.view()
    assert isinstance(end, FinishedView)
    assert (end.code, end.return_url) == (code, url)


ENDINGS = {
    name: {"text": name.upper(), "return_url": f"https://x.org/{name}?cc={{code}}"}
    for name in ("screened_out", "declined", "full")
}


def test_each_way_to_leave_has_its_code(make: StudyMaker) -> None:
    study = make(
        items=1,
        raters_per_item=1,
        completion=ENDINGS,
        comprehension={"attempts": 1, "questions": [QUESTION]},
    )
    sessions = [open_session(study, one.token) for one in invite_raters(study, 4)]
    declines, fails, rates, late = sessions
    declines.consent(False)
    fails.consent(True)
    fails.understood()
    fails.answer_questions(["no"])
    begin(rates)
    rate_all(rates)
    for session, reason in ((declines, "declined"), (fails, "screened_out"), (late, "full")):
        url = f"https://x.org/{reason}?cc={reason.upper()}"
        assert session.view() == StoppedView(reason, reason.upper(), url)  # type: ignore[arg-type]
    end = rates.view()
    assert isinstance(end, FinishedView)
    assert end.code not in ("", "DECLINED", "SCREENED_OUT", "FULL")


def test_the_administrator(make: StudyMaker) -> None:
    from duo.errors import BadInput
    from sessions.study.status import open_admin

    study = make()
    link = invite(study, "admin", label="me")
    admin = open_admin(study, link.token)
    session = newcomer(study)
    rate_all(session)
    status = admin.status()
    assert (status.state, status.votes, status.done) == ("open", 4 * len(CRITERIA), 0.5)
    assert [item.submitted for item in status.items] == [1, 1, 1, 1]
    admin.set_state("paused")
    assert admin.status().state == "paused"
    with pytest.raises(BadInput, match="unknown 'gone'"):
        admin.set_state("gone")
    admin.revoke("r001")
    assert admin.status().raters[0].state == "revoked"
    assert admin.status().done == 0.0
    revoke(study, ["me"])
    with pytest.raises(Refused):
        admin.status()
