"""Pages that are reserved: who gets them, who waits, and who is done."""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sessions.study.people import invite_raters, revoke
from sessions.study.session import open_session
from sessions.study.status import study_status
from sessions.study.tables import pages
from sessions.study.views import FinishedView, RatingView, StoppedView, WaitingView
from sessions.study.votes import votes
from tests.sessions.study.studies import (
    CRITERIA,
    LEFT,
    Clock,
    StudyMaker,
    begin,
    count,
    newcomer,
    rate_all,
    rate_page,
    rating,
)


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
