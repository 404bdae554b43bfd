"""A rater's way through a study, on both databases."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from sessions.study.pages import pages_of, skeleton
from sessions.study.people import Refused, invite, invite_raters, revoke
from sessions.study.session import COMMENT_LIMIT, Session, Unanswered, Unseen, open_session
from sessions.study.status import study_status
from sessions.study.store import actions, pages, ratings
from sessions.study.study import Study, open_study, set_state
from sessions.study.views import (
    CHOICES,
    Answer,
    ComprehensionView,
    ConsentView,
    FinishedView,
    InstructionsView,
    RatingView,
    StoppedView,
    View,
    WaitingView,
)
from sessions.study.votes import passed, votes
from tests.sessions.study.studies import (
    CRITERIA,
    Clock,
    StudyMaker,
    all_left,
    begin,
    newcomer,
    rate_all,
    rate_page,
)

LEFT = dict.fromkeys(CRITERIA, Answer.of("left"))
QUESTION = {"ask": "?", "options": ["yes", "no"], "answer": "yes", "because": "it is so"}


def rating(view: View) -> RatingView:
    assert isinstance(view, RatingView)
    return view


def count(study: Study, table: object) -> int:
    with study.database.read() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()  # type: ignore[arg-type]


def test_the_whole_way(make: StudyMaker) -> None:
    study = make(comprehension={"attempts": 2, "questions": [QUESTION]})
    (invitation,) = invite_raters(study, 1)
    session = open_session(study, invitation.token)
    assert isinstance(session.view(), ConsentView)
    session.consent(False)
    assert isinstance(session.view(), StoppedView)
    session.reconsider()
    session.consent(True)
    assert isinstance(session.view(), InstructionsView)
    session.understood()
    asked = session.view()
    assert isinstance(asked, ComprehensionView)
    assert asked.attempts_left == 2
    assert not asked.mistakes
    assert not session.answer_questions(["no"])
    asked = session.view()
    assert isinstance(asked, ComprehensionView)
    assert asked.attempts_left == 1
    assert asked.mistakes == {0: "it is so"}
    assert session.answer_questions(["yes"])
    assert rate_all(session) == 4
    end = session.view()
    assert isinstance(end, FinishedView)
    assert len(end.code) == 8
    assert session.view() == end
    assert rating(session.view(2)).answers == LEFT


def test_too_many_wrong_answers_end_it(make_sqlite: StudyMaker) -> None:
    study = make_sqlite(comprehension={"attempts": 1, "questions": [QUESTION]})
    (invitation,) = invite_raters(study, 1)
    session = open_session(study, invitation.token)
    session.consent(True)
    session.understood()
    assert not session.answer_questions([])
    view = session.view()
    assert isinstance(view, StoppedView)
    assert view.reason == "screened_out"
    assert not session.answer_questions(["yes"])
    assert count(study, pages) == 0


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


def test_nothing_is_lost_by_a_reload(make: StudyMaker) -> None:
    study = make()
    (invitation,) = invite_raters(study, 1)
    begin(open_session(study, invitation.token))
    view = rating(open_session(study, invitation.token).view())
    session = open_session(study, invitation.token)
    session.draft(view.page, "speed", Answer.of("both_bad"))
    session.draft_comment(view.page, "<b>hm</b>")
    again = open_study(study.folder)  # as after a restart
    seen = rating(open_session(again, invitation.token).view())
    again.database.close()
    assert seen.answers == {"speed": Answer.of("both_bad")}
    assert seen.comment == "<b>hm</b>"
    assert seen.missing == ("sense",)
    assert not seen.submitted
    assert (seen.page, seen.dialogues) == (view.page, view.dialogues)
    session.draft(view.page, "speed", None)
    assert rating(session.view()).answers == {}


def test_back_and_change(make: StudyMaker) -> None:
    study = make()
    session = newcomer(study)
    rate_page(session)
    current = rating(session.view())
    assert (current.number, current.last, current.total) == (2, 2, 4)
    first = rating(session.view(1))
    assert (first.submitted, first.changed, first.answers) == (True, False, LEFT)
    session.draft(first.page, "speed", Answer.of("tie"))
    first = rating(session.view(1))
    assert (first.changed, first.answers["speed"].choice) == (True, "tie")
    assert [vote.choice for vote in votes(study)] == ["left", "left"]
    assert session.submit(first.page, nonce=first.nonce)
    assert [vote.choice for vote in votes(study)] == ["tie", "left"]
    assert {vote.revisions for vote in votes(study)} == {1}
    assert rating(session.view()).page == current.page
    assert rating(session.view(99)).page == current.page


def test_an_answer_to_each_criterion_is_needed(make: StudyMaker) -> None:
    session = newcomer(make())
    view = rating(session.view())
    session.draft(view.page, "sense", Answer.of("tie"))
    with pytest.raises(Unanswered) as caught:
        session.submit(view.page, nonce=view.nonce)
    assert caught.value.missing == ("speed",)
    assert rating(session.view()).page == view.page
    assert count(session.study, ratings) == 0


def test_the_same_submission_is_stored_once(make: StudyMaker) -> None:
    study = make()
    session = newcomer(study)
    view = rating(session.view())
    assert session.submit(view.page, LEFT, nonce=view.nonce)
    changed = LEFT | {"sense": Answer.of("right")}
    assert session.submit(view.page, changed, nonce=view.nonce)
    assert not session.submit(view.page, LEFT, nonce=view.nonce)  # a late copy of the first
    assert [vote.choice for vote in votes(study)] == ["left", "right"]
    assert {vote.revisions for vote in votes(study)} == {1}


def test_what_is_wrong_is_a_bug_of_the_page(make_sqlite: StudyMaker) -> None:
    session = newcomer(make_sqlite())
    page = rating(session.view()).page
    with pytest.raises(ValueError, match="unknown criterion"):
        session.draft(page, "beauty", Answer.of("left"))
    with pytest.raises(ValueError, match="3 ranks for 2 dialogues"):
        session.draft(page, "speed", Answer((1, 2, 3)))
    with pytest.raises(ValueError, match="unknown event"):
        session.happened(page, "sneeze")


def test_raters_see_nothing_of_each_other(make: StudyMaker) -> None:
    study = make()
    one, other = newcomer(study), newcomer(study)
    page = rating(one.view()).page
    one.draft(page, "speed", Answer.of("left"))
    for act in (
        lambda: other.draft(page, "speed", Answer.of("right")),
        lambda: other.draft_comment(page, "x"),
        lambda: other.submit(page, LEFT, nonce="n"),
        lambda: other.happened(page, "play"),
    ):
        with pytest.raises(Refused, match="not one of yours"):
            act()
    assert rating(one.view()).answers == {"speed": Answer.of("left")}
    assert rating(other.view()).answers == {}
    assert rating(other.view()).page != page


@pytest.mark.parametrize("systems", [("duo", "duplex"), ("duo", "duplex", "turn-based")])
def test_a_view_says_nothing_of_the_system(make: StudyMaker, systems: tuple[str, ...]) -> None:
    study = make(systems=systems)
    session = newcomer(study)
    rate_page(session)
    for view in (session.view(), session.view(1)):
        text = repr(view)
        assert all(system not in text for system in systems)
        assert [shown.label for shown in rating(view).dialogues] == list("ABC"[: len(systems)])


def test_sides_of_an_item_are_those_of_the_export(make: StudyMaker) -> None:
    """What stands on the left is what `system_left` says, whatever the placement."""
    study = make(items=6, systems=("duo", "duplex", "turn-based"), raters_per_item=3)
    for _ in range(3):
        session = newcomer(study)
        while isinstance(view := session.view(), RatingView):
            said = [
                int(shown.dialogue.of("assistant")[0].text.split()[3]) for shown in view.dialogues
            ]
            ranks = tuple(place + 1 for place in said)  # the first system is best
            session.submit(view.page, dict.fromkeys(CRITERIA, Answer(ranks)), nonce=view.nonce)
    better = {"duo": 0, "duplex": 1, "turn-based": 2}
    cast = votes(study)
    assert len(cast) == 3 * 6 * 2 * 3
    for vote in cast:
        assert vote.winner == min(vote.system_left, vote.system_right, key=better.__getitem__)


def test_repeats_and_attention_checks(make: StudyMaker) -> None:
    study = make(items=6, checks={"attention": 2, "repeats": 2})

    def attentive(view: RatingView) -> dict[str, Answer]:
        text = [shown.dialogue.of("assistant")[0].text for shown in view.dialogues]
        left = "choose this conversation" in text[0] or text[1].startswith("here speaks number")
        return dict.fromkeys(CRITERIA, Answer.of("left" if left else "right"))

    session = newcomer(study)
    assert rating(session.view()).total == 10
    assert rate_all(session, attentive) == 10
    cast = votes(study)
    checks = [vote for vote in cast if vote.attention]
    assert len(checks) == 2 * len(CRITERIA)
    assert all(vote.passed and vote.winner == "wanted" for vote in checks)
    assert {vote.system_left for vote in checks} == {"wanted", "other"}
    assert all(vote.passed is None for vote in cast if not vote.attention)
    again = [vote for vote in cast if vote.repeat]
    assert len({vote.item for vote in again}) == 2
    for vote in again:
        (first,) = (
            one
            for one in cast
            if (one.item, one.criterion, one.repeat) == (vote.item, vote.criterion, 0)
        )
        assert (first.system_left, first.system_right) == (vote.system_right, vote.system_left)
        assert first.position < vote.position - 3
    (status,) = study_status(study).raters
    assert (status.checks, status.failed, status.consistency) == (2, 0, 0.0)


def test_nobody_sees_at_once_again_what_they_have_just_seen(make: StudyMaker) -> None:
    """Neither who waits nor who was left but one item gets it as a repeat."""
    study = make(items=8, raters_per_item=1, checks={"repeats": 2})
    holders = [newcomer(study) for _ in range(7)]
    for holder in holders:
        rating(holder.view())
    last = newcomer(study)
    assert rate_all(last) == 1
    assert isinstance(last.view(), WaitingView)
    for holder in holders:
        assert rate_page(holder)
    assert isinstance(last.view(), FinishedView)
    assert not any(vote.repeat for vote in votes(study))


def test_pages_follow_the_raters_plan(make_sqlite: StudyMaker) -> None:
    study = make_sqlite(items=12, raters_per_item=3, checks={"attention": 2, "repeats": 3})
    for number in range(3):
        session = newcomer(study)
        rate_all(session)
        with study.database.read() as connection:
            had = pages_of(connection, session.rater)
        kinds = ["repeat" if page.repeat else page.kind for page in had]
        assert tuple(kinds) == skeleton(12, 3, 2, rater=number, seed=study.design.seed)


def test_checks_of_older_studies_are_judged_as_they_were() -> None:
    assert passed({"a": "right", "b": "right", "c": "tie"}, ("shuffled", "intact"))
    assert not passed({"a": "right", "b": "left"}, ("intact", "shuffled"))


def test_a_careless_rater_is_flagged(make: StudyMaker) -> None:
    clock = Clock()
    study = make(items=10, clock=clock, checks={"attention": 2, "least_seconds": 5})
    session = newcomer(study)

    def quick_left(view: RatingView) -> dict[str, Answer]:
        clock.pass_(1)
        return dict(all_left(view))

    rate_all(session, quick_left)
    (status,) = study_status(study).raters
    assert status.flags == (
        "median page took 1.0 s, less than 5 s",
        "chose the left side in 20 of 20 untied votes",
    )
    assert (status.left, status.checks, status.failed) == (1.0, 2, 1)


def test_time_on_task_leaves_out_what_is_not_on_the_page(make: StudyMaker) -> None:
    clock = Clock()
    study = make(clock=clock, checks={"idle_seconds": 60})
    session = newcomer(study)
    view = rating(session.view())
    clock.pass_(10)
    session.happened(view.page, "play")
    clock.pass_(3600)  # lunch
    session.draft(view.page, "speed", Answer.of("left"))
    clock.pass_(5)
    session.submit(view.page, LEFT, nonce=view.nonce)
    clock.pass_(500)
    session.view()
    clock.pass_(7)
    session.view(1)
    clock.pass_(2)
    session.submit(view.page, LEFT | {"speed": Answer.of("tie")}, nonce="other")
    assert {vote.seconds for vote in votes(study)} == {10 + 60 + 5 + 2}


def test_what_was_opened_and_replayed_is_in_the_data(make: StudyMaker) -> None:
    clock = Clock()
    study = make(items=1, clock=clock)
    session = newcomer(study)
    view = rating(session.view())
    session.exposed(view.page, ["A"], [])
    session.exposed(view.page, ["A", "B", "Z"], ["B"])
    session.exposed(view.page, ["A", "B"], ["B"])  # nothing new
    clock.pass_(7)
    session.draft(view.page, "speed", Answer.of("left"))
    clock.pass_(3)
    session.draft(view.page, "sense", Answer.of("left"))
    clock.pass_(4)
    session.draft(view.page, "speed", Answer.of("tie"))
    session.submit(view.page, nonce="n")
    cast = {vote.criterion: vote for vote in votes(study)}
    assert {(vote.opened, vote.replayed) for vote in cast.values()} == {('["A", "B"]', '["B"]')}
    assert {name: vote.question_seconds for name, vote in cast.items()} == {"speed": 11, "sense": 3}
    assert count(study, actions) == len(["invite", "consent", "understood", "give"]) + 2 + 3 + 1


@pytest.mark.parametrize("needed", ["opened", "replayed"])
def test_a_page_is_taken_when_all_of_it_was_seen_if_that_is_required(
    make: StudyMaker, needed: str
) -> None:
    study = make(checks={"exposure": needed})
    session, other = newcomer(study), newcomer(study)
    view = rating(session.view())
    session.exposed(view.page, ["A", "B"] if needed == "replayed" else ["A"], ["A"])
    with pytest.raises(Refused):
        other.exposed(view.page, ["A", "B"], ["A", "B"])
    with pytest.raises(Unseen) as caught:
        session.submit(view.page, LEFT, nonce="n")
    assert (caught.value.needed, caught.value.labels) == (needed, ("B",))
    assert count(study, ratings) == 0
    session.exposed(view.page, ["B"], ["B"])
    assert session.submit(view.page, LEFT, nonce="n")
    assert count(study, ratings) == len(CRITERIA)


def test_a_page_that_is_left_alone_is_given_to_others(make: StudyMaker) -> None:
    clock = Clock()
    study = make(items=1, raters_per_item=1, clock=clock, reserve_minutes=30)
    idler = newcomer(study)
    view = rating(idler.view())
    late = newcomer(study)
    assert late.view() == WaitingView(0, 1, 30 * 60)  # it is reserved
    clock.pass_(31 * 60)
    assert rate_all(late) == 1
    assert idler.submit(view.page, LEFT, nonce="n")  # late, and still not lost
    assert len({vote.rater for vote in votes(study)}) == 2


def test_who_finds_all_reserved_waits_and_gets_no_code(make: StudyMaker) -> None:
    """Two raters open a page each and leave; the third has come too early, and is not done."""
    clock = Clock()
    study = make(items=2, raters_per_item=1, clock=clock, reserve_minutes=60)
    for _ in range(2):
        rating(newcomer(study).view())
        clock.pass_(60)
    (invitation,) = invite_raters(study, 1)
    third = open_session(study, invitation.token)
    assert third.view() == WaitingView(0, 2, 58 * 60)  # before any consent
    begin(third)
    assert third.view() == WaitingView(0, 2, 58 * 60)
    assert count(study, pages) == 2
    assert all(not one.code for one in study_status(study).raters)
    clock.pass_(24 * 3600)
    assert rate_all(open_session(study, invitation.token)) == 2
    assert isinstance(third.view(), FinishedView)


def test_the_last_page_is_had_once_its_reservation_expires(make: StudyMaker) -> None:
    clock = Clock()
    study = make(items=4, raters_per_item=1, clock=clock, reserve_minutes=60)
    gone, stays = newcomer(study), newcomer(study)
    page = rating(gone.view()).page
    assert rate_all(stays) == 3
    assert stays.view() == WaitingView(3, 4, 3600)
    assert rating(stays.view(1)).submitted  # and may look back meanwhile
    clock.pass_(3601)
    assert rating(stays.view()).number == 4
    assert rate_all(stays) == 1
    assert isinstance(stays.view(), FinishedView)
    assert rating(gone.view()).page == page


def test_who_waits_is_done_when_the_others_did_the_rest(make: StudyMaker) -> None:
    study = make(items=2, raters_per_item=1)
    slow, quick = newcomer(study), newcomer(study)
    rating(slow.view())
    assert rate_all(quick) == 1
    assert isinstance(quick.view(), WaitingView)
    assert rate_all(slow) == 1
    end = quick.view()  # nothing can become free for those who did all there was
    assert isinstance(end, FinishedView)
    assert end.code


def test_a_full_study_has_no_code_and_is_open_again_when_a_place_is_free(make: StudyMaker) -> None:
    study = make(items=2, raters_per_item=1)
    assert rate_all(newcomer(study)) == 2
    (invitation,) = invite_raters(study, 1)
    late = open_session(study, invitation.token)
    assert late.view() == StoppedView("full")
    begin(late)
    assert late.view() == StoppedView("full")
    revoke(study, ["r001"])
    assert rate_all(late) == 2
    assert isinstance(late.view(), FinishedView)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(1, 3),
    st.integers(1, 2),
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["look", "rate", "hours"])), max_size=30),
)
def test_a_code_is_for_work_and_nobody_is_shut_out_while_places_are_reserved(
    make_sqlite: StudyMaker, items: int, wanted: int, doings: list[tuple[int, str]]
) -> None:
    clock = Clock()
    study = make_sqlite(items=items, raters_per_item=wanted, clock=clock)
    sessions = [newcomer(study) for _ in range(4)]
    for who, what in doings:
        if what == "hours":
            clock.pass_(2 * 3600)
            continue
        view = sessions[who].view()
        if what == "rate" and isinstance(view, RatingView):
            rate_page(sessions[who])
        done = {item.name: item.submitted for item in study_status(study).items}
        had = {vote.item for vote in votes(study) if vote.rater == f"r{who + 1:03d}"}
        places = [name for name in done if done[name] < wanted and name not in had]
        if isinstance(view, FinishedView):
            assert had
            assert not places
        elif view == StoppedView("full"):
            assert not had
            assert not places
        elif isinstance(view, WaitingView):
            assert places
            assert 0 < view.seconds <= 3600
    clock.pass_(2 * 3600)
    for session in sessions:  # all that is left is given out to whoever comes
        rate_all(session)
    assert study_status(study).done == 1.0


def test_a_revoked_rater_is_shut_out_and_made_up_for(make: StudyMaker) -> None:
    study = make(raters_per_item=1)
    bad = newcomer(study)
    rate_page(bad)
    page = rating(bad.view()).page
    assert isinstance(newcomer(study).view(), RatingView)
    assert revoke(study, ["r001"]) == 1
    assert revoke(study, ["r001"]) == 0
    assert bad.view() == StoppedView("revoked")
    for act in (
        lambda: bad.submit(page, LEFT, nonce="n"),
        lambda: bad.draft(page, "speed", None),
    ):
        with pytest.raises(Refused, match="no longer valid"):
            act()
    good = newcomer(study)
    while rate_page(good):
        pass
    counted = {vote.item for vote in votes(study) if not vote.revoked}
    assert len(counted) >= 3  # the second rater still holds one
    assert sum(vote.revoked for vote in votes(study)) == len(CRITERIA)
    assert bad.may_withdraw()
    bad.speak("en")
    bad.withdraw(erase=True)
    assert bad.view() == StoppedView("withdrawn")
    assert study_status(study).raters[0].state == "withdrawn"
    assert not any(vote.revoked for vote in votes(study, withdrawn=True))


def test_pause_and_close(make: StudyMaker) -> None:
    study = make()
    session, late = newcomer(study), newcomer(study)
    view = rating(session.view())
    set_state(study, "paused")
    assert rating(session.view()).page == view.page  # what was begun can be finished
    assert session.submit(view.page, LEFT, nonce="n")
    for paused in (session.view(), late.view()):
        assert isinstance(paused, StoppedView)
        assert paused.reason == "paused"
    set_state(study, "open")
    assert isinstance(session.view(), RatingView)
    set_state(study, "closed")
    shut = session.view()
    assert isinstance(shut, StoppedView)
    assert shut.reason == "closed"
    with pytest.raises(Refused, match="closed"):
        session.submit(view.page, LEFT, nonce="m")
    assert len(votes(study)) == len(CRITERIA)


def test_no_rater_is_asked_for_nothing(make_sqlite: StudyMaker) -> None:
    """When all items have their raters, who comes then gets no checks alone, and no code."""
    study = make_sqlite(items=2, raters_per_item=1, checks={"attention": 2, "repeats": 1})
    assert rate_all(newcomer(study)) == 5
    assert newcomer(study).view() == StoppedView("full")


def test_pages_per_rater(make: StudyMaker) -> None:
    study = make(items=6, raters_per_item=2, pages_per_rater=3)
    assert [rate_all(newcomer(study)) for _ in range(4)] == [3, 3, 3, 3]
    counts = Counter(vote.item for vote in votes(study))
    assert set(counts.values()) == {2 * len(CRITERIA)}
    assert study_status(study).done == 1.0


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


def test_comments_of_any_kind_are_kept(make: StudyMaker) -> None:
    session = newcomer(make())
    page = rating(session.view()).page
    for text in ("<script>alert(1)</script>", "a\0b", "\ud800", "\u202e", "x" * 2 * COMMENT_LIMIT):
        session.draft_comment(page, text)
        kept = rating(session.view()).comment
        assert kept == text.replace("\0", "").replace("\ud800", "?")[:COMMENT_LIMIT]


def test_a_double_click_from_many_threads_is_one_submission(make: StudyMaker) -> None:
    study = make()
    session = newcomer(study)
    view = rating(session.view())
    barrier = threading.Barrier(6)

    def click(_: int) -> bool:
        barrier.wait()
        return session.submit(view.page, LEFT, nonce=view.nonce)

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(click, range(6))) == [False] * 5 + [True]
    with study.database.read() as connection:
        submits = select(func.count()).select_from(actions).where(actions.c.kind == "submit")
        assert connection.execute(submits).scalar_one() == 1
    assert len(votes(study)) == len(CRITERIA)


def test_raters_at_once_lose_nothing_and_stay_balanced(make: StudyMaker) -> None:
    """Ten raters in ten threads: each rating is stored once, each item has exactly its raters."""
    study = make(items=6, raters_per_item=5, pages_per_rater=3)
    tokens = [invitation.token for invitation in invite_raters(study, 10)]
    sent: list[tuple[int, int, str]] = []

    def work(number: int) -> None:
        draw = random.Random(number)
        session = open_session(study, tokens[number])
        begin(session)
        while isinstance(view := session.view(), RatingView):
            for criterion in CRITERIA:
                choice = draw.choice(CHOICES)
                session.draft(view.page, criterion, Answer.of(choice))
                sent.append((view.page, CRITERIA.index(criterion), choice))
            assert session.submit(view.page, nonce=view.nonce)

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(work, range(10)))
    with study.database.read() as connection:
        stored = [
            (row.page_id, CRITERIA.index(row.criterion), Answer.from_json(row.answer).choice)
            for row in connection.execute(select(ratings))
        ]
    assert sorted(stored) == sorted(sent)
    while rate_all(newcomer(study)):  # the last of them may have had what was still wanted
        pass
    cast = votes(study)
    assert set(Counter(vote.item for vote in cast).values()) == {5 * len(CRITERIA)}
    for item in {vote.item for vote in cast}:
        lefts = Counter(vote.system_left for vote in cast if vote.item == item)
        assert abs(lefts["duo"] - lefts["duplex"]) <= len(CRITERIA)


def test_one_rater_in_many_tabs_gets_one_page(make: StudyMaker) -> None:
    study = make()
    (invitation,) = invite_raters(study, 1)
    begin(open_session(study, invitation.token))
    barrier = threading.Barrier(6)

    def open_tab(_: int) -> int:
        barrier.wait()
        return rating(open_session(study, invitation.token).view()).page

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(open_tab, range(6)))) == 1
    assert count(study, pages) == 1


steps = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["draft", "submit", "again", "back", "reload"])),
    max_size=40,
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_whatever_raters_do_the_last_word_counts(
    make_sqlite: StudyMaker, doings: list[tuple[int, str]]
) -> None:
    """Against a dictionary that remembers the last submission of each page."""
    study = make_sqlite(items=3, raters_per_item=4)
    sessions: list[Session] = [newcomer(study) for _ in range(4)]
    remembered: dict[int, dict[str, Answer]] = {}
    draw = random.Random(0)
    for who, what in doings:
        session = sessions[who]
        view = session.view(1 if what == "back" else None)
        if not isinstance(view, RatingView):
            continue
        answers = {name: Answer.of(draw.choice(CHOICES)) for name in CRITERIA}
        if what == "draft":
            session.draft(view.page, "speed", answers["speed"])
            assert rating(session.view()).answers["speed"] == answers["speed"]
        elif what != "reload":
            session.submit(view.page, answers, nonce=view.nonce)
            remembered[view.page] = answers
            if what == "again":
                assert not session.submit(view.page, answers, nonce=view.nonce)
    with study.database.read() as connection:
        stored: dict[int, dict[str, Answer]] = {}
        for row in connection.execute(select(ratings)):
            stored.setdefault(row.page_id, {})[row.criterion] = Answer.from_json(row.answer)
    assert stored == remembered


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


def test_every_action_is_in_the_history(make_sqlite: StudyMaker) -> None:
    study = make_sqlite(items=1)
    session = newcomer(study)
    view = rating(session.view())
    session.draft(view.page, "speed", Answer.of("tie"))
    session.draft_comment(view.page, "hm")
    session.draft_comment(view.page, "hm")  # nothing new
    session.submit(view.page, LEFT, nonce="n")
    session.view()
    with study.database.read() as connection:
        rows = connection.execute(select(actions.c.kind, actions.c.data).order_by(actions.c.id))
        kinds, data = zip(*rows, strict=True)
    assert kinds == (
        "invite",
        "consent",
        "understood",
        "give",
        "draft",
        "comment",
        "submit",
        "finish",
    )
    assert json.loads(data[6])["answers"]["speed"] == {"ranks": [1, 2], "both_bad": False}
