"""Many raters, and one in many tabs: nothing is lost or stored twice."""

from __future__ import annotations

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from sessions.study.people import invite_raters
from sessions.study.session import Session, open_session
from sessions.study.tables import actions, pages, ratings
from sessions.study.views import CHOICES, Answer, RatingView
from sessions.study.votes import votes
from tests.sessions.study.studies import (
    CRITERIA,
    LEFT,
    StudyMaker,
    begin,
    count,
    newcomer,
    rate_all,
    rating,
)


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
            (row.page_id, CRITERIA.index(row.criterion), Answer.from_data(row.answer).choice)
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
            stored.setdefault(row.page_id, {})[row.criterion] = Answer.from_data(row.answer)
    assert stored == remembered
