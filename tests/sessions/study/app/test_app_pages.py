"""What the pages show and store, one run after the other, without a browser."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from sessions.study.answer import Answer
from sessions.study.people import invite, invite_raters, revoke
from sessions.study.serving import APP, VARIABLE
from sessions.study.session import open_session
from sessions.study.store import FILE, actions, drafts, ratings
from sessions.study.study import Study, set_state
from sessions.study.views import RatingView
from tests.sessions.study.studies import Clock, StudyMaker, begin, rate_all

testing = pytest.importorskip("streamlit.testing.v1")

QUESTION = {"ask": "Ready?", "options": ["yes", "no"], "answer": "yes", "because": "It is so."}

Opener = Callable[..., Any]


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> Opener:
    """Opens a page of a study in a new session, with parameters of the address."""

    def page(study: Study, **parameters: str) -> Any:
        from sessions.study.app import routes

        monkeypatch.setenv(VARIABLE, str(study.folder))
        monkeypatch.setattr(routes, "_opened", lambda folder, database: study)
        app = testing.AppTest.from_file(str(APP), default_timeout=60)
        for name, value in parameters.items():
            app.query_params[name] = value
        return app.run()

    return page


def texts(app: Any) -> str:
    """All that is said on a page but what the timelines say."""
    kinds = ("html", "markdown", "warning", "error", "caption", "code", "metric")
    parts = [str(one.proto) for kind in kinds for one in app.get(kind)]
    return " ".join(parts).replace("\\'", "'")


def button(app: Any, label: str) -> Any:
    return next(one for one in app.button if one.label == label)


def number(study: Study, table: Any, *where: Any) -> int:
    with study.database.read() as connection:
        return len(connection.execute(select(table).where(*where)).all())


def at_work(study: Study) -> str:
    """The token of a rater who is at the first page."""
    (invitation,) = invite_raters(study, 1)
    begin(open_session(study, invitation.token))
    return invitation.token


def test_from_consent_to_the_first_page(make_sqlite: StudyMaker, opens: Opener) -> None:
    study = make_sqlite(comprehension={"attempts": 2, "questions": [QUESTION]})
    (invitation,) = invite_raters(study, 1)
    app = opens(study, t=invitation.token)
    assert "May we?" in texts(app)
    button(app, "I do not want to take part").click().run()
    assert "You chose not to take part" in texts(app)
    button(app, "Show me the consent page again").click().run()
    button(app, "I agree and take part").click().run()
    assert "Do this." in texts(app)
    button(app, "I have read this").click().run()
    button(app, "Check my answers").click().run()
    assert "Please answer every question" in texts(app)
    app.radio[0].set_value("no")
    button(app, "Check my answers").click().run()
    assert "It is so." in texts(app)
    button(app, "Check my answers").click().run()
    assert "You have 1 attempt left" in texts(app)  # the same again is not another attempt
    app.radio[0].set_value("yes")
    button(app, "Check my answers").click().run()
    assert "Page 1 of 4" in texts(app)
    assert not app.exception


def test_each_click_is_stored_and_shown_again(make_sqlite: StudyMaker, opens: Opener) -> None:
    study = make_sqlite()
    token = at_work(study)
    app = opens(study, t=token)
    assert [one.value for one in app.radio] == [None, None]
    app.radio[1].set_value("tie").run()
    view = open_session(study, token).view()
    assert isinstance(view, RatingView)
    assert view.answers == {"sense": Answer.of("tie")}
    app.text_area[0].set_value("*why* <b>").run()
    again = opens(study, t=token)
    assert [one.value for one in again.radio] == [None, "tie"]
    assert again.text_area[0].value == "*why* <b>"
    button(again, "Next").click().run()
    assert "Please answer also: Speed." in texts(again)
    assert "Not answered yet" in texts(again)
    again.radio[0].set_value("left").run()
    button(again, "Next").click().run()
    assert "Page 2 of 4" in texts(again)
    assert number(study, ratings) == 2
    assert number(study, drafts) == 0


def test_back_and_forward_store_only_what_changed(make_sqlite: StudyMaker, opens: Opener) -> None:
    study = make_sqlite(items=2)
    token = at_work(study)
    app = opens(study, t=token)
    for one in app.radio:
        one.set_value("left")
    app.run()
    button(app, "Next").click().run()
    button(app, "Back").click().run()
    assert "Page 1 of 2" in texts(app)
    assert [one.value for one in app.radio] == ["left", "left"]
    button(app, "Next").click().run()
    assert number(study, actions, actions.c.kind == "submit") == 1
    button(app, "Back").click().run()
    app.radio[0].set_value("both_bad").run()
    button(app, "Next").click().run()
    assert "Page 2 of 2" in texts(app)
    assert number(study, actions, actions.c.kind == "submit") == 2
    for one in app.radio:
        one.set_value("right")
    app.run()
    button(app, "Next").click().run()
    assert "Thank you" in texts(app)
    (code,) = app.code
    assert code.value == open_session(study, token).view().code  # type: ignore[union-attr]
    button(app, "Look at my answers again").click().run()
    assert "Page 2 of 2" in texts(app)
    assert [one.value for one in app.radio] == ["right", "right"]


def test_keys_answer_one_question_after_the_other(make_sqlite: StudyMaker, opens: Opener) -> None:
    study = make_sqlite()
    app = opens(study, t=at_work(study))
    assert "answer Speed" in texts(app)
    button(app, "B better").click().run()
    assert [one.value for one in app.radio] == ["right", None]
    assert "answer Sense" in texts(app)
    button(app, "Previous question").click().run()
    assert "answer Speed" in texts(app)
    button(app, "Tie").click().run()
    button(app, "Both bad").click().run()
    assert [one.value for one in app.radio] == ["tie", "both_bad"]
    assert "all is answered" in texts(app)
    # Two keys that arrive together: which came first is not known, so neither counts.
    button(app, "Previous question").click().run()
    button(app, "A better").click()
    button(app, "B better").click()
    app.run()
    assert "too quick" in texts(app)
    assert [one.value for one in app.radio] == ["tie", "both_bad"]
    app.toggle[0].set_value(False).run()
    assert not [one for one in app.button if one.label == "A better"]


def test_more_than_two_are_ranked(make_sqlite: StudyMaker, opens: Opener) -> None:
    study = make_sqlite(systems=("x", "y", "z"))
    token = at_work(study)
    app = opens(study, t=token)
    for place, rank in enumerate((3, 1, 3)):
        app.radio[place].set_value(rank).run()
    app.checkbox[1].check().run()
    view = open_session(study, token).view()
    assert isinstance(view, RatingView)
    assert view.answers["speed"] == Answer((2, 1, 2))
    assert view.answers["sense"] == Answer((1, 1, 1), both_bad=True)
    again = opens(study, t=token)
    assert [one.value for one in again.radio] == [2, 1, 2, 1, 1, 1]
    assert [one.value for one in again.checkbox] == [False, True]
    assert [one.value for one in app.radio][:3] == [3, 1, 3]  # as it was clicked
    assert "Which conversation went best?" in texts(app)
    assert [one.label for one in app.radio][:2] == ["Speed: place of A", "Speed: place of B"]
    assert list(app.radio[0].options) == ["1st", "2nd", "3rd"]
    app.checkbox[0].check().run()  # a ranking, and still none of them acceptable
    view = open_session(study, token).view()
    assert isinstance(view, RatingView)
    assert view.answers["speed"] == Answer((2, 1, 2), both_bad=True)


@pytest.mark.parametrize(
    ("systems", "said"),
    [(("x", "y"), "Both bad if neither"), (("x", "y", "z"), "Tick All bad, too")],
)
def test_the_instructions_say_how_to_answer(
    make_sqlite: StudyMaker, opens: Opener, systems: tuple[str, ...], said: str
) -> None:
    study = make_sqlite(systems=systems)
    (invitation,) = invite_raters(study, 1)
    open_session(study, invitation.token).consent(True)
    assert said in texts(opens(study, t=invitation.token))


@pytest.mark.parametrize(
    ("parameters", "said"),
    [({}, "you need the link"), ({"t": "x"}, "not known"), ({"admin": "x"}, "not known")],
)
def test_wrong_links_are_clear_pages(
    make_sqlite: StudyMaker, opens: Opener, parameters: dict[str, str], said: str
) -> None:
    app = opens(make_sqlite(), **parameters)
    assert said in texts(app)
    assert not app.exception


def test_links_that_end_are_clear_pages(make_sqlite: StudyMaker, opens: Opener) -> None:
    clock = Clock()
    study = make_sqlite(clock=clock)
    revoked, expired = *invite_raters(study, 1), *invite_raters(study, 1, valid_seconds=60)
    panel = invite(study, "panel", label="p")
    revoke(study, [revoked.name])
    clock.pass_(61)
    assert "no longer valid" in texts(opens(study, t=revoked.token))
    assert "has expired" in texts(opens(study, t=expired.token))
    assert "participant number" in texts(opens(study, t=panel.token))
    assert "May we?" in texts(opens(study, t=panel.token, PROLIFIC_PID="5f"))


def test_a_rater_who_is_revoked_at_work_is_told(make_sqlite: StudyMaker, opens: Opener) -> None:
    study = make_sqlite()
    app = opens(study, t=at_work(study))
    revoke(study, ["r001"])
    app.radio[0].set_value("left").run()
    assert "no longer valid" in texts(app)
    assert number(study, drafts) == 0


@pytest.mark.parametrize("state", ["paused", "closed"])
def test_a_study_that_rests_says_so(make_sqlite: StudyMaker, opens: Opener, state: str) -> None:
    study = make_sqlite()
    (invitation,) = invite_raters(study, 1)
    set_state(study, state)
    assert f"The study is {state}" in texts(opens(study, t=invitation.token))


def test_a_database_that_fails_is_a_clear_page(
    make_sqlite: StudyMaker, opens: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_sqlite()
    token = at_work(study)
    app = opens(study, t=token)

    def broken(*_: Any, **__: Any) -> None:
        raise sqlite3.OperationalError("disk I/O error at /secret/place")

    with monkeypatch.context() as patch:
        patch.setattr("sessions.study.session.Session.draft", broken)
        app.radio[0].set_value("left").run()
    assert "could not be stored" in texts(app)
    assert app.radio[0].value is None  # it shows what is stored
    with monkeypatch.context() as patch:
        patch.setattr("sessions.study.session.Session.view", broken)
        app.run()
    assert "cannot be shown just now" in texts(app)
    assert "secret" not in texts(app)
    assert not app.exception


def test_a_newer_database_is_refused_and_not_touched(
    make_sqlite: StudyMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_sqlite()
    token = at_work(study)
    study.database.close()
    file = study.folder / FILE
    with sqlite3.connect(file) as connection:
        (table,) = (
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
            if "version" in name or "migration" in name
        )
        connection.execute(f"UPDATE {table} SET version = 999")
    connection.close()
    before = file.read_bytes()
    monkeypatch.setenv(VARIABLE, str(study.folder))
    app = testing.AppTest.from_file(str(APP), default_timeout=60)
    app.query_params["t"] = token
    app.run()
    assert "cannot be shown just now" in texts(app)
    assert file.read_bytes() == before


def test_the_administrator_sees_progress_and_has_the_switches(
    make_sqlite: StudyMaker, opens: Opener
) -> None:
    study = make_sqlite(checks={"least_seconds": 60})
    for _ in range(2):
        rate_all(open_session(study, at_work(study)))
    admin = invite(study, "admin", label="me")
    app = opens(study, admin=admin.token)
    assert not app.exception
    values = {one.label: one.value for one in app.metric}
    assert values["State"] == "open"
    assert values["Votes"] == "16"
    assert values["Raters done"] == "2"
    flags, agreement, raters, items = (one.value for one in app.dataframe)
    assert all("too fast" in flag for flag in flags["flag"])
    assert list(agreement["criterion"]) == ["speed", "sense"]
    assert list(raters["pages"]) == ["4 of 4"] * 2
    assert list(items["rated"]) == [2] * 4
    button(app, "Pause").click().run()
    assert {one.label: one.value for one in app.metric}["State"] == "paused"
    assert button(app, "Close").disabled
    next(one for one in app.checkbox if one.label == "Yes, close it").check().run()
    button(app, "Close").click().run()
    assert {one.label: one.value for one in app.metric}["State"] == "closed"
    app.selectbox[0].set_value("r002")
    button(app, "Revoke").click().run()
    assert list(app.dataframe[2].value["state"]) == ["finished", "revoked"]
    revoke(study, ["me"])
    app.run()
    assert "no longer valid" in texts(app)


def test_a_rater_has_no_way_to_the_administrator(make_sqlite: StudyMaker, opens: Opener) -> None:
    study = make_sqlite()
    admin = invite(study, "admin", label="me")
    assert "not known" in texts(opens(study, admin=at_work(study)))
    assert "not known" in texts(opens(study, t=admin.token))
