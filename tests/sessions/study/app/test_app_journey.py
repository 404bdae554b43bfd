"""Raters on their way through a study: real browsers, a real server, one that dies in between."""

from __future__ import annotations

import re
import wave
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from sessions.study.materials import create_study
from sessions.study.people import Invitation, invite_raters, revoke
from sessions.study.session import open_session
from sessions.study.status import study_status
from sessions.study.study import Study, set_state
from sessions.study.tables import actions, drafts, pages, ratings
from sessions.study.views import FinishedView, RatingView
from sessions.study.votes import votes
from tests.sessions.study.app.browser import (
    Browser,
    Server,
    browsing,
    needs_browser,
    served,
    until,
)
from tests.sessions.study.studies import CRITERIA, StudyMaker, begin, design, materials

pytestmark = needs_browser

pytest.importorskip("streamlit")
pytest.importorskip("selenium")

QUESTION = {"ask": "Ready?", "options": ["yes", "no"], "answer": "yes", "because": "It is so."}


@pytest.fixture
def study(make_sqlite: StudyMaker) -> Study:
    return make_sqlite(items=2, comprehension={"attempts": 3, "questions": [QUESTION]})


@pytest.fixture
def server(study: Study) -> Iterator[Server]:
    with served(study) as server:
        yield server


@pytest.fixture
def one(server: Server) -> Iterator[Browser]:
    with browsing() as browser:
        yield browser


@pytest.fixture
def other(server: Server) -> Iterator[Browser]:
    with browsing(width=390, height=844) as browser:
        yield browser


def enter(browser: Browser, server: Server, invitation: Invitation) -> None:
    """From the link to the first page."""
    browser.open(invitation.link(server.address))
    browser.click("I agree")
    browser.click("I have read this")
    browser.choose(0, "yes")
    browser.click("Check my answers")
    browser.sees("Page 1 of 2")


def kept(study: Study, table: object, *where: object) -> int:
    with study.database.read() as connection:
        return len(connection.execute(select(table).where(*where)).all())  # type: ignore[call-overload]


def test_two_raters_at_once_to_the_end(
    study: Study, server: Server, one: Browser, other: Browser
) -> None:
    first, second = invite_raters(study, 2)
    one.open(first.link(server.address))
    one.click("I agree")
    one.click("I have read this")
    one.choose(0, "no")
    one.click("Check my answers", times=2)
    one.sees("You have 2 attempts left")  # two clicks are one attempt
    one.sees("It is so.")
    one.choose(0, "yes")
    one.click("Check my answers")
    one.sees("Page 1 of 2")
    enter(other, server, second)

    # Each click is in the database at once, and a reload shows it.
    one.choose(0, "A better")
    until(lambda: kept(study, drafts) == 1, why="the draft is stored")
    one.driver.refresh()
    one.sees("1 of 2 questions on this page answered")
    one.shows(0, "A better")
    assert one.chosen(1) == ""

    # Next without all answers says what is missing, and stores nothing as final.
    one.click("Next")
    one.sees("Please answer also: Sense.")
    assert kept(study, ratings) == 0

    # A key answers the question that is open.
    one.press("b")
    one.shows(1, "B better")
    one.write("between us: one")
    until(lambda: kept(study, pages, pages.c.comment != "") == 1, why="the comment is stored")
    other.choose(0, "Tie")
    other.choose(1, "Both bad")
    until(lambda: kept(study, drafts) == 4, why="drafts of both are stored")

    # The server dies and comes back: the page goes on.
    assert [*one.complaints(), *other.complaints()] == []
    server.stop()
    server.start()
    one.click("Next", times=2)
    one.sees("Page 2 of 2")
    one.complaints()  # it is there again; what was said while it was not is no matter
    assert kept(study, ratings) == 2
    assert kept(study, actions, actions.c.kind == "submit") == 1  # two clicks are one submission

    # Back: the answers are there, and can be changed.
    one.click("Back")
    one.sees("Page 1 of 2")
    one.shows(0, "A better")
    one.shows(1, "B better")
    one.choose(0, "Tie")
    until(lambda: kept(study, drafts) == 3, why="the change is stored")
    one.click("Next")
    one.sees("Page 2 of 2")
    assert kept(study, ratings) == 2

    for browser in (other, one):
        browser.sees("Next")
        if browser is other:
            browser.shows(0, "Tie")
            browser.shows(1, "Both bad")
            browser.click("Next")
            browser.sees("Page 2 of 2")
            browser.complaints()
        browser.choose(0, "B better")
        browser.choose(1, "A better")
        browser.click("Next")
        browser.sees("Your completion code")

    codes = {}
    for browser, invitation in ((one, first), (other, second)):
        end = open_session(study, invitation.token).view()
        assert isinstance(end, FinishedView)
        browser.sees(end.code)
        codes[invitation.name] = end.code
        browser.driver.refresh()
        browser.sees(end.code)
    assert len(set(codes.values())) == 2

    said = {(vote.rater, vote.position, vote.criterion): vote.choice for vote in votes(study)}
    assert len(said) == 8
    assert said["r001", 1, "speed"] == "tie"
    assert said["r001", 1, "sense"] == "right"
    assert said["r002", 1, "sense"] == "both_bad"
    assert {said[rater, 2, "speed"] for rater in ("r001", "r002")} == {"right"}
    # A wide window shows all dialogues at once, a phone one at a time.
    assert {(vote.rater, vote.opened) for vote in votes(study)} == {
        ("r001", '["A", "B"]'),
        ("r002", '["A"]'),
    }
    assert study_status(study).done == 1
    assert b"between us" not in other.received()
    for browser in (one, other):
        assert browser.complaints() == []


def clock(browser: Browser) -> int:
    """Where the replay is, in seconds."""
    found = re.search(r"(\d+):(\d\d) / 0:12", browser.text())
    assert found
    return 60 * int(found[1]) + int(found[2])


def test_replay_is_played_and_noted(study: Study, server: Server, one: Browser) -> None:
    (invitation,) = invite_raters(study, 1)
    enter(one, server, invitation)
    one.click("▶ Play")
    one.sees("❚❚")
    until(lambda: clock(one) >= 2, why="time passes")
    one.choose(0, "Tie")  # the page runs again; the replay does not stop for that
    seen = clock(one)
    until(lambda: clock(one) >= seen + 2, why="time still passes")
    one.click("❚❚ Pause")
    one.sees("▶")
    until(lambda: kept(study, actions, actions.c.kind == "pause") == 1, why="it is noted")
    assert kept(study, actions, actions.c.kind == "play") == 1
    one.driver.execute_script("arguments[0].focus()", one.find("h1"))
    one.press("p")
    one.sees("❚❚")


#: What has the focus, in shadow roots, too: its tag, and what it says.
FOCUS = """
let one = document.activeElement;
while (one.shadowRoot?.activeElement) one = one.shadowRoot.activeElement;
return one.tagName + " " + (one.closest("label") ?? one).textContent.trim();
"""


def test_keyboard_alone(study: Study, server: Server, one: Browser) -> None:
    """The focus stays where it was while the page runs again, and keys work from there."""
    from selenium.webdriver.common.keys import Keys

    (invitation,) = invite_raters(study, 1)
    enter(one, server, invitation)
    one.choose(0, "A better")
    until(lambda: kept(study, drafts) == 1, why="the draft is stored")
    one.settled()
    assert one.driver.execute_script(FOCUS) == "INPUT A better"
    one.press(Keys.ARROW_RIGHT)
    one.shows(0, "Tie")
    until(lambda: "tie" in drafted(study, invitation), why="the arrow's choice is stored")
    one.settled()
    assert one.driver.execute_script(FOCUS) == "INPUT Tie"
    one.press("n")
    one.sees("Please answer also: Sense.")
    one.press("x")
    one.shows(1, "Both bad")
    until(lambda: kept(study, drafts) == 2, why="the key's choice is stored")
    one.press("z")
    one.sees("answer Sense")
    one.press("b")
    one.shows(1, "B better")
    until(lambda: "right" in drafted(study, invitation), why="the second choice is stored")
    one.write("no: t, x, z")  # letters in a text are letters
    until(lambda: kept(study, pages, pages.c.comment != "") == 1, why="the comment is stored")
    assert drafted(study, invitation) == ["tie", "right"]
    one.press("n")
    one.sees("Page 2 of 2")
    until(lambda: one.driver.execute_script(FOCUS).startswith("H1 Which"), why="the title is read")


def test_on_a_phone_both_must_be_opened_and_who_waits_goes_on_by_itself(
    make_sqlite: StudyMaker,
) -> None:
    study = make_sqlite(items=2, raters_per_item=1, checks={"exposure": "opened"})
    gone, stays = invite_raters(study, 2)
    idler = open_session(study, gone.token)
    begin(idler)
    idler.view()
    begin(open_session(study, stays.token))
    with served(study) as server, browsing(width=390, height=844) as browser:
        browser.open(stays.link(server.address))
        browser.choose(0, "Tie")
        browser.choose(1, "Tie")
        browser.click("Next")
        browser.sees("Please look at conversation B first.")
        browser.click("Conversation B")
        browser.click("Next")
        browser.sees("Nothing to rate just now")
        browser.sees("You are not done yet: 1 of 2 pages")
        assert "completion code" not in browser.text()
        revoke(study, [gone.name])
        browser.sees("Page 2 of 2")
        assert browser.complaints() == []


def drafted(study: Study, invitation: Invitation) -> list[str]:
    """What the rater chose on the page, by criterion."""
    view = open_session(study, invitation.token).view()
    assert isinstance(view, RatingView)
    return [view.answers[name].choice for name in CRITERIA if name in view.answers]


def test_three_are_ranked(make_sqlite: StudyMaker) -> None:
    study = make_sqlite(items=1, systems=("x", "y", "z"))
    (invitation,) = invite_raters(study, 1)
    begin(open_session(study, invitation.token))
    with served(study) as server, browsing() as browser:
        browser.open(invitation.link(server.address))
        browser.sees("Which conversation went best?")
        for place, rank in enumerate(("2nd", "1st", "2nd")):
            browser.choose_in(f"Speed: place of {'ABC'[place]}", rank)
            browser.choose_in(f"Sense: place of {'ABC'[place]}", "1st")
        until(lambda: kept(study, drafts) == 2, why="both rankings are stored")
        browser.settled()
        browser.click("Next")
        browser.sees("Your completion code")
    said = {(one.criterion, *sorted((one.system_left, one.system_right))) for one in votes(study)}
    assert len(said) == len(votes(study)) == 6  # three pairs on each of two criteria
    ranks = {one.criterion: one.ranking for one in votes(study)}
    assert ranks == {"speed": "[2, 1, 2]", "sense": "[1, 1, 1]"}


def test_sound_is_played_with_the_replay(tmp_path: Path, make_sqlite: StudyMaker) -> None:
    sound = tmp_path / "sound.wav"
    with wave.open(str(sound), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(8000)
        file.writeframes(bytes([128]) * 8000 * 12)
    talks = materials(1)
    (item,) = talks.items
    heard = tuple(replace(one, audio=sound) for one in item.recordings)
    study = create_study(
        tmp_path / "sounding", design(), replace(talks, items=(replace(item, recordings=heard),))
    )
    make_sqlite.made.append(study)
    (invitation,) = invite_raters(study, 1)
    begin(open_session(study, invitation.token))
    where = "return [...document.querySelectorAll('audio')].map(one => one.currentTime)"
    with served(study) as server, browsing() as browser:
        browser.open(invitation.link(server.address))
        browser.sees("Sound of conversation B")
        browser.click("▶ Play")
        run = browser.driver.execute_script
        until(lambda: (at := run(where)) and at[0] > 1, why="A is heard")
        assert run(where)[1] == 0  # one after the other
        browser.click("❚❚ Pause")
        paused = "return [...document.querySelectorAll('audio')].every(one => one.paused)"
        until(lambda: run(paused), why="the sound stops with the replay")
        assert b"sound.wav" not in browser.received()


def test_a_study_that_closes_meanwhile_says_so(study: Study, server: Server, one: Browser) -> None:
    (invitation,) = invite_raters(study, 1)
    enter(one, server, invitation)
    set_state(study, "closed")
    one.choose(0, "Tie", stays=False)
    one.sees("closed")
    assert kept(study, drafts) == 0


def test_a_click_while_the_server_is_away_is_stored_when_it_is_back(
    study: Study, server: Server, one: Browser
) -> None:
    (invitation,) = invite_raters(study, 1)
    enter(one, server, invitation)
    server.stop()
    one.driver.execute_script("arguments[0].click()", one.find("label", "Tie"))
    one.sees("Not stored yet")
    server.start()
    until(lambda: kept(study, drafts) == 1, why="the click is stored")
    until(lambda: "Not stored yet" not in one.text(), why="the page says so")
    one.shows(0, "Tie")
