"""What the pages show and store, one run after the other, without a browser."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import select

from sessions.study.app import APP, VARIABLE
from sessions.study.people import invite, invite_raters, revoke
from sessions.study.session import open_session
from sessions.study.store import FILE
from sessions.study.study import Study, set_state
from sessions.study.tables import actions, drafts, pages, ratings
from sessions.study.views import Answer, RatingView
from tests.sessions.study.studies import Clock, StudyMaker, begin, rate_all

testing = pytest.importorskip("streamlit.testing.v1")

QUESTION = {"ask": "Ready?", "options": ["yes", "no"], "answer": "yes", "because": "It is so."}

Opener = Callable[..., Any]


class Page:
    """Stands for the component that draws a page: remembers its data, and says what it is told."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}
        self.said: dict[str, Any] | None = None

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        self.data = data
        return {"said": self.said}

    @property
    def answers(self) -> list[Any]:
        """What is shown of each question: the ranks, and "both bad" where it was said."""
        shown = (self.data["answers"].get(one["name"]) for one in self.data["criteria"])
        return [one and (*one["places"], *["bad"] * one["both_bad"]) for one in shown]


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Page:
    from sessions.study.app import rating

    page = Page()
    monkeypatch.setattr(rating, "draw", page)
    return page


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch, page: Page) -> Opener:
    """Opens a page of a study in a new session, with parameters of the address."""

    def opened(study: Study, **parameters: str) -> Any:
        from sessions.study.app import look

        page.said = None
        monkeypatch.setenv(VARIABLE, str(study.folder))
        monkeypatch.setattr(look, "opened", lambda folder, database: study)
        app = testing.AppTest.from_file(str(APP), default_timeout=60)
        for name, value in parameters.items():
            app.query_params[name] = value
        return app.run()

    return opened


@pytest.fixture
def says(page: Page) -> Callable[..., None]:
    """Lets the browser say something of the page that it shows."""

    def say(
        app: Any,
        *,
        go: str | None = None,
        comment: str | None = None,
        opened: Sequence[str] = (),
        **answers: Any,
    ) -> None:
        data = page.data
        page.said = {name: data[name] for name in ("page", "number", "nonce")} | {
            "message": data["heard"] + 1,
            "answers": {
                name: {"places": places[:3], "both_bad": places[-1] == "bad"}
                if places[-1] != "bad"
                else {"places": places[:-1], "both_bad": True}
                for name, places in answers.items()
            },
            "comment": comment,
            "opened": opened,
            "replayed": [],
            "go": go,
        }
        app.run()

    return say


LEFT, RIGHT, TIE, BAD = (1, 2), (2, 1), (1, 1), (1, 1, "bad")


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


def test_from_consent_to_the_first_page(make_sqlite: StudyMaker, opens: Opener, page: Page) -> None:
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
    assert (page.data["number"], page.data["total"]) == (1, 4)
    assert not app.exception


def test_each_click_is_stored_and_shown_again(
    make_sqlite: StudyMaker, opens: Opener, page: Page, says: Callable[..., None]
) -> None:
    study = make_sqlite()
    token = at_work(study)
    app = opens(study, t=token)
    assert page.answers == [None, None]
    says(app, sense=TIE)
    view = open_session(study, token).view()
    assert isinstance(view, RatingView)
    assert view.answers == {"sense": Answer.of("tie")}
    says(app, comment="*why* <b>")
    opens(study, t=token)
    assert page.answers == [None, TIE]
    assert page.data["comment"] == "*why* <b>"
    again = opens(study, t=token)
    says(again, go="next")
    assert page.data["problem"] == "Please answer also: Speed."
    assert page.data["number"] == 1
    says(again, go="next", speed=LEFT)
    assert (page.data["number"], page.data["total"]) == (2, 4)
    assert number(study, ratings) == 2
    assert number(study, drafts) == 0


def test_what_is_said_twice_or_by_no_page_of_ours_changes_nothing(
    make_sqlite: StudyMaker, opens: Opener, page: Page, says: Callable[..., None]
) -> None:
    study = make_sqlite()
    token = at_work(study)
    app = opens(study, t=token)
    says(app, go="next", speed=LEFT, sense=TIE)
    late = page.said
    app.run()
    assert page.data["number"] == 2
    opens(study, t=token)  # a new server, to which the browser says its last word again
    page.said = late
    app.run()
    assert page.data["number"] == 2
    assert number(study, actions, actions.c.kind == "submit") == 1
    other = at_work(study)
    opens(study, t=other)
    theirs = page.data["page"]
    app = opens(study, t=token)
    for said in (
        {**(late or {}), "message": 9, "page": theirs},
        {**(late or {}), "message": 10, "go": "elsewhere"},
        {**(late or {}), "message": 11, "answers": {"speed": {"places": [1], "both_bad": False}}},
        {**(late or {}), "message": 12, "answers": {"beauty": {"places": [1, 2], "both_bad": 0}}},
        {"message": 13},
        "nonsense",
    ):
        page.said = said  # type: ignore[assignment]
        app.run()
        assert not app.exception
    assert number(study, ratings) == 2
    assert number(study, drafts) == 0


def test_back_and_forward_store_only_what_changed(
    make_sqlite: StudyMaker, opens: Opener, page: Page, says: Callable[..., None]
) -> None:
    study = make_sqlite(items=2)
    token = at_work(study)
    app = opens(study, t=token)
    says(app, speed=LEFT, sense=LEFT)
    says(app, go="next")
    says(app, go="back")
    assert page.data["number"] == 1
    assert page.answers == [LEFT, LEFT]
    says(app, go="next")
    assert number(study, actions, actions.c.kind == "submit") == 1
    says(app, go="back")
    says(app, speed=BAD)
    assert page.data["changed"]
    says(app, go="next")
    assert page.data["number"] == 2
    assert number(study, actions, actions.c.kind == "submit") == 2
    says(app, speed=RIGHT, sense=RIGHT)
    says(app, go="next")
    assert "Thank you" in texts(app)
    (code,) = app.code
    assert code.value == open_session(study, token).view().code  # type: ignore[union-attr]
    button(app, "Look at my answers again").click().run()
    assert page.data["number"] == 2
    assert page.answers == [RIGHT, RIGHT]
    says(app, go="back", sense=TIE)
    assert page.data["number"] == 1
    assert number(study, drafts) == 0  # of a page that was submitted before, changes are submitted


def test_the_consent_page_has_the_facts_that_are_given(
    make_sqlite: StudyMaker, opens: Opener
) -> None:
    study = make_sqlite(about={"who": "Ada <b>L.</b>", "pay": "$5"})
    assert set(study.design.about.missing) == {
        "contact", "purpose", "duration", "data", "withdrawal",
    }  # fmt: skip
    said = texts(opens(study, t=invite_raters(study, 1)[0].token))
    assert "Who does this study" in said
    assert "Ada &lt;b&gt;L.&lt;/b&gt;" in said
    assert "$5" in said
    assert "Contact" not in said


def test_a_page_says_what_must_be_seen_first(
    make_sqlite: StudyMaker, opens: Opener, page: Page, says: Callable[..., None]
) -> None:
    study = make_sqlite(checks={"exposure": "opened"})
    (invitation,) = invite_raters(study, 1)
    session = open_session(study, invitation.token)
    session.consent(True)
    assert "Look at each conversation" in texts(opens(study, t=invitation.token))
    session.understood()
    app = opens(study, t=invitation.token)
    says(app, go="next", speed=LEFT, sense=LEFT, opened=["A"])
    assert page.data["problem"] == "Please look at conversation B first."
    assert (page.data["number"], page.answers) == (1, [LEFT, LEFT])
    with study.database.read() as connection:  # the time until now led to the answers
        kinds = list(connection.execute(select(actions.c.kind).order_by(actions.c.id)).scalars())
    assert kinds[-3:] == ["draft", "draft", "exposure"]
    says(app, go="next", opened=["A", "B"])
    assert page.data["number"] == 2


def test_more_than_two_are_ranked(
    make_sqlite: StudyMaker, opens: Opener, page: Page, says: Callable[..., None]
) -> None:
    study = make_sqlite(systems=("x", "y", "z"))
    token = at_work(study)
    app = opens(study, t=token)
    says(app, speed=(3, 1, 3), sense=(1, 1, 1, "bad"))
    view = open_session(study, token).view()
    assert isinstance(view, RatingView)
    assert view.answers["speed"] == Answer((2, 1, 2))
    assert view.answers["sense"] == Answer((1, 1, 1), both_bad=True)
    app = opens(study, t=token)
    assert page.answers == [(2, 1, 2), (1, 1, 1, "bad")]
    says(app, speed=(3, 1, 3, "bad"))  # a ranking, and still none of them acceptable
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


def test_a_link_with_a_placeholder_says_what_is_wrong(
    make_sqlite: StudyMaker, opens: Opener
) -> None:
    study = make_sqlite(panel={"participant": "who"})
    token = invite(study, "panel", label="p").token
    app = opens(study, t=token, who="{{%PROLIFIC_PID%}}")
    assert "who={{%PROLIFIC_PID%}} is a placeholder that was not filled in" in texts(app)
    assert "If you run the study" in texts(app)
    assert "participant number" in texts(opens(study, t=token, PROLIFIC_PID="5f"))
    assert "May we?" in texts(opens(study, t=token, who="5f"))
    assert "May we?" in texts(opens(study, t=token, participant="6f"))


def test_who_declines_gets_a_code_and_the_way_back(make_sqlite: StudyMaker, opens: Opener) -> None:
    url = "https://x.org/?cc={code}&who={participant}"
    study = make_sqlite(completion={"declined": {"text": "NO1", "return_url": url}})
    app = opens(study, t=invite(study, "panel", label="p").token, PROLIFIC_PID="5 &f")
    button(app, "I do not want to take part").click().run()
    (code,) = app.code
    assert code.value == "NO1"
    (link,) = app.get("link_button")
    assert link.proto.url == "https://x.org/?cc=NO1&who=5%20%26f"


def test_a_rater_who_is_revoked_at_work_is_told(
    make_sqlite: StudyMaker, opens: Opener, says: Callable[..., None]
) -> None:
    study = make_sqlite()
    app = opens(study, t=at_work(study))
    revoke(study, ["r001"])
    says(app, speed=LEFT)
    assert "no longer valid" in texts(app)
    assert number(study, drafts) == 0
    button(app, "Withdraw from the study").click().run()
    button(app, "Withdraw and delete my answers").click().run()
    assert "Your answers were deleted" in texts(app)
    assert number(study, pages) == 0


@pytest.mark.parametrize("state", ["paused", "closed"])
def test_a_study_that_rests_says_so(make_sqlite: StudyMaker, opens: Opener, state: str) -> None:
    study = make_sqlite()
    (invitation,) = invite_raters(study, 1)
    set_state(study, state)
    assert f"The study is {state}" in texts(opens(study, t=invitation.token))


def test_nothing_just_now_and_done_are_two_pages(
    make_sqlite: StudyMaker, opens: Opener, page: Page, says: Callable[..., None]
) -> None:
    clock = Clock()
    study = make_sqlite(items=2, raters_per_item=1, clock=clock)
    open_session(study, at_work(study)).view()  # and leaves
    token = at_work(study)
    app = opens(study, t=token)
    says(app, go="next", speed=LEFT, sense=LEFT)
    assert "Nothing to rate just now" in texts(app)
    assert "You are not done yet: 1 of 2 pages" in texts(app)
    assert "the next one in 60 minutes" in texts(app)
    assert not app.code
    (invitation,) = invite_raters(study, 1)
    late = opens(study, t=invitation.token)
    assert "Nothing to rate just now" in texts(late)
    assert "You are not done" not in texts(late)
    clock.pass_(3601)
    app.run()
    assert page.data["number"] == 2
    says(app, go="next", speed=LEFT, sense=LEFT)
    assert "Thank you: that was all" in texts(app)
    late.run()
    assert "All places in this study are taken" in texts(late)
    assert not late.code
    assert not late.exception


def test_a_database_that_fails_is_a_clear_page(
    make_sqlite: StudyMaker,
    opens: Opener,
    page: Page,
    says: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = make_sqlite()
    token = at_work(study)
    app = opens(study, t=token)

    def broken(*_: Any, **__: Any) -> None:
        raise sqlite3.OperationalError("disk I/O error at /secret/place")

    with monkeypatch.context() as patch:
        patch.setattr("sessions.study.session.Session.draft", broken)
        says(app, speed=LEFT)
    assert "could not be stored" in page.data["problem"]
    assert page.answers == [None, None]  # it shows what is stored
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
    agreement, raters, items = (one.value for one in app.dataframe)
    assert texts(app).count("less than 60 s") == 2
    assert list(agreement["criterion"]) == ["speed", "sense"]
    assert list(raters["pages"]) == ["4 of 4"] * 2
    assert list(items["rated"]) == ["2"] * 4
    button(app, "Pause").click().run()
    assert {one.label: one.value for one in app.metric}["State"] == "paused"
    assert button(app, "Close").disabled
    next(one for one in app.checkbox if one.label == "Yes, close it").check().run()
    button(app, "Close").click().run()
    assert {one.label: one.value for one in app.metric}["State"] == "closed"
    next(one for one in app.selectbox if one.label == "Rater").set_value("r002")
    button(app, "Revoke").click().run()
    assert list(app.dataframe[1].value["state"]) == ["finished", "revoked"]
    revoke(study, ["me"])
    app.run()
    assert "no longer valid" in texts(app)


def test_the_administrator_reads_comments(make_sqlite: StudyMaker, opens: Opener) -> None:
    study = make_sqlite(items=2)
    for text in ("<b>Too</b> fast\nfor me", "A was *fine*"):
        session = open_session(study, at_work(study))
        view = session.view()
        assert isinstance(view, RatingView)
        session.draft_comment(view.page, text)
        rate_all(session)
    app = opens(study, admin=invite(study, "admin", label="me").token)
    said = texts(app)
    assert "&lt;b&gt;Too&lt;/b&gt; fast" in said
    assert "A was *fine*" in said
    assert "2 of 2, the latest first" in said
    next(one for one in app.selectbox if one.label == "Comments of").set_value("r001").run()
    assert "A was *fine*" not in texts(app)
    app.text_input[0].set_value("FINE").run()
    assert "None of these." in texts(app)
    next(one for one in app.selectbox if one.label == "Comments of").set_value(None).run()
    assert "1 of 2, the latest first" in texts(app)
    app.toggle[0].set_value(False).run()  # from now on by hand
    assert not app.exception


def test_a_rater_has_no_way_to_the_administrator(make_sqlite: StudyMaker, opens: Opener) -> None:
    study = make_sqlite()
    admin = invite(study, "admin", label="me")
    assert "not known" in texts(opens(study, admin=at_work(study)))
    assert "not known" in texts(opens(study, t=admin.token))
