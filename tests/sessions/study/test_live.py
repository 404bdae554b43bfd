"""A live study: who may talk when, what is stored of it, and that nothing tells the systems."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from duo.errors import BadInput
from sessions.study.design import Design, read_design
from sessions.study.exports import export_all
from sessions.study.materials import create_study, live_materials
from sessions.study.people import Refused, revoke
from sessions.study.session import Session
from sessions.study.study import TALK_ADDRESS, Study, set_address, set_state
from sessions.study.tables import actions, raters
from sessions.study.talks import TICKET_SECONDS, Talk, all_talks, begin, end, language_of, tidy
from sessions.study.views import RatingView, TalkView
from sessions.study.votes import votes
from tests.sessions.study.studies import Clock, StudyMaker, all_left, design, newcomer
from tests.sessions.study.studies import begin as begin_rating

SYSTEMS = ("duo", "duplex", "turn-based")
TOPICS = [{"name": f"topic-{n}", "title": f"Topic {n}", "text": "Talk about it."} for n in range(3)]

Maker = Callable[..., Study]


def live_design(systems: int = 2, topics: int = 3, **changes: object) -> Design:
    live = {
        "topics": TOPICS[:topics],
        "systems": {name: {"model": "none"} for name in SYSTEMS[:systems]},
    }
    return design(live=live | dict(changes.pop("live", {})), **changes)  # type: ignore[call-overload]


@pytest.fixture
def make_live(make_sqlite: StudyMaker, tmp_path: Path) -> Maker:
    def make(*, clock: Clock | None = None, **changes: object) -> Study:
        chosen = live_design(**changes)  # type: ignore[arg-type]
        folder = tmp_path / f"live{len(make_sqlite.made)}"
        study = create_study(folder, chosen, live_materials(chosen), sound="none")
        object.__setattr__(study, "clock", clock or Clock())
        make_sqlite.made.append(study)
        return study

    return make


def due(session: Session) -> TalkView:
    view = session.view()
    assert isinstance(view, TalkView)
    return view


def start(session: Session) -> Talk:
    return begin(session.study, session.ticket(due(session).page))


def record(study: Study, talk: Talk, words: int = 7) -> Path:
    """End a conversation, with a recording."""
    file = study.folder / talk.folder / f"{talk.topic}.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text("{}\n")
    file.with_suffix(".flac").write_bytes(b"sound")
    end(study, talk, "stopped", seconds=12.5, words=words)
    return file


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def talk_and_rate(session: Session) -> list[Talk]:
    talks = []
    while isinstance(session.view(), TalkView):
        talks.append(start(session))
        record(session.study, talks[-1], words=len(talks))
    view = session.view()
    assert isinstance(view, RatingView)
    assert session.submit(view.page, all_left(view), nonce=view.nonce)
    return talks


@pytest.mark.parametrize(("systems", "topics", "people"), [(2, 2, 3), (3, 1, 3)])
def test_orders_are_balanced_for_each_topic(
    make_live: Maker, systems: int, topics: int, people: int
) -> None:
    study = make_live(systems=systems, topics=topics, raters_per_item=people)
    firsts: dict[str, Counter[str]] = {}
    for _ in range(people):
        session = newcomer(study)
        for _ in range(topics):
            talks = talk_and_rate(session)
            assert {talk.system for talk in talks} == set(SYSTEMS[:systems])
            assert [talk.label for talk in talks] == ["A", "B", "C"][:systems]
            assert len({talk.topic for talk in talks}) == 1
            firsts.setdefault(talks[0].topic, Counter(dict.fromkeys(SYSTEMS[:systems], 0)))
            firsts[talks[0].topic][talks[0].system] += 1
    assert len(firsts) == topics
    assert all(max(one.values()) - min(one.values()) <= 1 for one in firsts.values())


def test_a_ticket_opens_one_conversation_once_and_soon(make_live: Maker) -> None:
    clock = Clock()
    study = make_live(clock=clock)
    session, other = newcomer(study), newcomer(study)
    page = due(session).page

    def refused(action: Callable[[], object], reason: str) -> None:
        with pytest.raises(Refused) as error:
            action()
        assert error.value.reason == reason

    refused(lambda: begin(study, "forged"), "unknown")
    refused(lambda: language_of(study, ""), "unknown")
    refused(lambda: other.ticket(page), "page")
    late = session.ticket(page)
    clock.pass_(TICKET_SECONDS)
    refused(lambda: begin(study, late), "expired")
    token, spare = session.ticket(page), session.ticket(page)
    assert language_of(study, token) == "en"
    talk = begin(study, token)
    refused(lambda: begin(study, token), "expired")
    end(study, talk, "stopped")
    refused(lambda: begin(study, spare), "expired")  # it was for A, and B is due
    mine = session.ticket(page)
    set_state(study, "closed")
    refused(lambda: begin(study, mine), "closed")
    set_state(study, "open")
    with study.database.read() as connection:
        stored = connection.execute(select(actions.c.data, actions.c.key)).all()
        name = connection.execute(select(raters.c.name).where(raters.c.id == session.rater))
        revoked = [name.scalar_one()]
    assert not any(mine in str(row) for row in stored)
    revoke(study, revoked)
    refused(lambda: begin(study, mine), "revoked")


def test_what_broke_off_may_be_begun_anew_once(make_live: Maker) -> None:
    study = make_live()
    session = newcomer(study)
    first = start(session)
    assert due(session).goes_on
    second = start(session)  # in another tab: the first is lost
    assert (second.attempt, due(session).attempts_left) == (2, 0)
    with pytest.raises(Refused):
        session.ticket(due(session).page)
    tidy(study)  # the server was killed and comes back
    assert due(session).label == "B"
    assert [talk.outcome for talk in all_talks(study)] == ["lost", "lost"]
    end(study, first, "stopped")  # too late
    assert all_talks(study)[0].outcome == "lost"
    page = due(session).page
    answers = dict.fromkeys(study.design.criterion_names)
    with pytest.raises(Refused):
        session.submit(page, answers, nonce="early")  # type: ignore[arg-type]


def test_votes_exports_and_withdrawal_go_with_the_recordings(
    make_live: Maker, tmp_path: Path
) -> None:
    study = make_live()
    one, other = newcomer(study), newcomer(study)
    talks = talk_and_rate(one)
    talk_and_rate(other)
    (vote, *_) = votes(study)
    assert (vote.system_left, vote.words_left, vote.words_right) == (talks[0].system, 1, 2)
    export_all(study, tmp_path / "export")
    rows = table(tmp_path / "export" / "talks.csv")
    assert [row["system"] for row in rows[:2]] == [talk.system for talk in talks]
    assert all((tmp_path / "export" / row["sound"]).read_bytes() == b"sound" for row in rows)
    assert len(rows) == 4

    half = start(one)  # goes on while the rater withdraws
    one.withdraw(erase=True)
    record(study, half)
    assert not list((study.folder / "talks").glob("r001/*"))
    assert len(list((study.folder / "talks").glob("r002/*/*"))) == 4
    export_all(study, tmp_path / "again", withdrawn=True)
    assert len(table(tmp_path / "again" / "talks.csv")) == 2


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"checks": {"attention": 1}}, "checks.attention"),
        ({"checks": {"exposure": "opened"}}, "checks.exposure"),
        ({"marks": {"kinds": {"stop": "Stop"}}}, "marks.kinds"),
        ({"live": {"topics": TOPICS[:1] * 2}}, "live.topics.1.name"),
        ({"live": {"voice": "none"}}, "live.captions"),
    ],
)
def test_a_design_that_cannot_be_live_is_refused(changes: dict[str, object], field: str) -> None:
    from pydantic import ValidationError

    with pytest.raises(ValidationError) as error:
        live_design(**changes)  # type: ignore[arg-type]
    problem = error.value.errors()[0]
    at = (*problem["loc"], *problem.get("ctx", {}).get("at", ()))
    assert ".".join(map(str, at)) == field


def test_the_built_in_design_is_live_only_where_that_is_asked_for() -> None:
    chosen = read_design(live={"systems": {}})
    assert chosen.live is not None
    assert len(chosen.criteria) == 5
    assert read_design().live is None


def test_a_live_design_says_that_it_is_one(tmp_path: Path) -> None:
    path = tmp_path / "design.yaml"
    path.write_text(live_design().as_yaml())
    with pytest.raises(BadInput, match="say --live"):
        read_design(path)
    assert read_design(path, live={"topics": TOPICS[:1]}).live


def test_the_page_opens_a_conversation_and_goes_on_when_it_is_over(
    make_live: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    testing = pytest.importorskip("streamlit.testing.v1")
    from sessions.study.app import APP, VARIABLE, look, rating
    from sessions.study.people import invite_raters
    from sessions.study.session import open_session

    study = make_live()
    set_address(study, "http://localhost:8502", TALK_ADDRESS)
    (invitation,) = invite_raters(study, 1)
    session = open_session(study, invitation.token)
    begin_rating(session)
    shown: dict[str, object] = {}
    monkeypatch.setattr(rating, "draw", lambda data: shown.update(data) or {})
    monkeypatch.setenv(VARIABLE, str(study.folder))
    monkeypatch.setattr(look, "opened", lambda folder, database: study)
    app = testing.AppTest.from_file(str(APP), default_timeout=60)
    app.query_params["t"] = invitation.token

    def frames() -> list[str]:
        return [one.proto.src for one in app.get("iframe")]

    def press(label: str) -> None:
        [button] = [one for one in app.button if one.label == label]
        button.click().run()

    app.run()
    for label in "AB":
        assert f"Conversation {label}" in str([one.proto.body for one in app.get("html")])
        press("Open the conversation")
        [address] = frames()
        token = address.removeprefix("http://localhost:8502/").strip("/")
        talk = begin(study, token)
        assert talk.label == label
        app.run()
        assert frames() == [address]  # the same while it goes on
        if label == "A":
            end(study, talk, "lost")
            app.run()
            press("Begin it anew")
            talk = begin(study, frames()[0].split("/")[3])
        end(study, talk, "time")
        app.run()
    assert not app.exception
    assert shown["topic"]
    assert not any(system in str(shown) for system in study.systems)
