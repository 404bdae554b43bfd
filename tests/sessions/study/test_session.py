"""A rater's way through a study, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from sessions.study.pages import pages_of, skeleton
from sessions.study.people import Refused, invite_raters, revoke
from sessions.study.session import COMMENT_LIMIT, Unanswered, Unseen, open_session
from sessions.study.status import study_status
from sessions.study.study import open_study, set_state
from sessions.study.tables import actions, pages, ratings
from sessions.study.views import (
    Answer,
    ComprehensionView,
    ConsentView,
    FinishedView,
    InstructionsView,
    RatingView,
    StoppedView,
    WaitingView,
)
from sessions.study.votes import passed, votes
from tests.sessions.study.studies import (
    CRITERIA,
    LEFT,
    QUESTION,
    Clock,
    StudyMaker,
    all_left,
    begin,
    count,
    newcomer,
    rate_all,
    rate_page,
    rating,
)


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


def test_comments_of_any_kind_are_kept(make: StudyMaker) -> None:
    session = newcomer(make())
    page = rating(session.view()).page
    for text in ("<script>alert(1)</script>", "a\0b", "\ud800", "\u202e", "x" * 2 * COMMENT_LIMIT):
        session.draft_comment(page, text)
        kept = rating(session.view()).comment
        assert kept == text.replace("\0", "").replace("\ud800", "?")[:COMMENT_LIMIT]


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
    assert data[6]["answers"]["speed"] == {"ranks": [1, 2], "both_bad": False}
