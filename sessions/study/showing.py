"""Say what a rater is to see, from what is in the database: the reading half of a `Session`.

Nothing here changes anything; a function gets the rows that its caller has read or locked.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, select

from sessions.study.design import Ending
from sessions.study.pages import Outlook, dialogues_of, next_release, outlook, pages_of, total_pages
from sessions.study.people import is_erased
from sessions.study.study import Study, last_action
from sessions.study.tables import drafts, items, marks, ratings
from sessions.study.talks import ATTEMPTS, next_talk, talks_on
from sessions.study.views import (
    LABELS,
    Answer,
    ComprehensionView,
    ConsentView,
    FinishedView,
    InstructionsView,
    Mark,
    QuestionnaireView,
    RatingView,
    Reason,
    Shown,
    StoppedView,
    TalkView,
    View,
    WaitingView,
)


def view_of(connection: Connection, study: Study, rater: Any, number: int | None) -> View | None:
    """Return what a rater is to see; None if all pages are done and a new one is to be given.

    Args:
        rater: its row.
        number: of a page; see `sessions.study.session.Session.view`.
    """
    state, completion = study.state(connection), study.design.completion
    if rater.withdrawn_at is not None:
        left = _left("withdrawn", completion.withdrawn)
        return replace(left, kept=not is_erased(connection, rater.id))
    if rater.revoked_at is not None:
        return StoppedView("revoked")
    if rater.state in ("rating", "after", "finished"):
        return _view_at_work(connection, study, rater, state, number)
    if rater.state == "screened_out":
        return _left("screened_out", completion.screened_out)
    if state == "closed":
        return StoppedView("closed")
    if rater.state == "declined":
        return _left("declined", completion.declined)
    if state == "paused":
        return StoppedView("paused")
    if rater.state in ("invited", "before", "consented"):  # nobody reads all that for nothing
        there = outlook(connection, study, rater)
        if there != "page":
            return without_a_page(connection, study, rater, there, 0)
        if rater.state == "before":
            return QuestionnaireView("before")
        return ConsentView() if rater.state == "invited" else InstructionsView()
    check = study.design.comprehension
    last = last_action(connection, rater.id, "comprehension")
    wrong = last.data["wrong"] if last else []
    mistakes = {place: check.questions[place].because for place in wrong}
    return ComprehensionView(check.attempts - rater.attempts, mistakes)


def _view_at_work(
    connection: Connection, study: Study, rater: Any, state: str, number: int | None
) -> View | None:
    had = pages_of(connection, rater.id)
    if state != "closed":
        if number is not None and 1 <= number <= len(had):
            return _page(connection, study, rater, had, had[number - 1])
        waiting = [page for page in had if page.submitted_at is None]
        if waiting:
            return _page(connection, study, rater, had, waiting[0])
    if rater.state == "finished":
        code = rater.code or ""
        url = _address(study.design.completion.return_url, code)
        return FinishedView(code, url, 0 if state == "closed" else len(had))
    if state == "closed":
        return StoppedView("closed")
    if rater.state == "after":
        return QuestionnaireView("after", len(had))
    return StoppedView("paused") if state == "paused" else None


def _left(reason: Reason, ending: Ending) -> StoppedView:
    code = ending.text or ""
    return StoppedView(reason, code, _address(ending.return_url, code))


def without_a_page(
    connection: Connection, study: Study, rater: Any, there: Outlook, submitted: int
) -> View:
    """Return what a rater sees who is not done, but for whom there is no page."""
    if there == "nothing":
        return _left("full", study.design.completion.full)
    seconds = next_release(connection, study, rater)
    return WaitingView(submitted, total_pages(study, rater.number), seconds)


def talk_view(connection: Connection, study: Study, page: Any, total: int) -> TalkView | None:
    """Return the conversation that is due before a page can be rated; None if none is."""
    places = len(study.systems)
    if study.design.live is None:
        return None
    due = next_talk(talks_on(connection, page.id), places)
    if due is None:
        return None
    place, talks = due
    return TalkView(
        page=page.id,
        number=page.position + 1,
        total=total,
        label=LABELS[place],
        first=LABELS[0],
        last=LABELS[places - 1],
        topic=_topic(connection, page),
        begun=len(talks),
        goes_on=bool(talks) and not talks[-1].outcome,
        attempts_left=ATTEMPTS - len(talks),
    )


def _topic(connection: Connection, page: Any) -> str:
    of = select(items.c.name).where(items.c.id == page.item_id)
    return str(connection.execute(of).scalar_one())


def _page(
    connection: Connection, study: Study, rater: Any, had: list[Any], page: Any
) -> RatingView | TalkView:
    total = max(total_pages(study, rater.number), len(had))
    if (talk := talk_view(connection, study, page, total)) is not None:
        return talk
    shown = dialogues_of(connection, page.item_id, page.placement)
    drafted = select(drafts.c.criterion).where(drafts.c.page_id == page.id)
    return RatingView(
        page=page.id,
        number=page.position + 1,
        total=total,
        last=len(had),
        dialogues=tuple(
            Shown(label, dialogue, study.folder / "audio" / audio if audio else None)
            for label, (dialogue, audio) in zip(LABELS, shown, strict=False)
        ),
        criteria=study.design.criteria,
        answers=answers_on(connection, page.id),
        marks=marks_on(connection, page.id),
        comment=page.comment,
        submitted=page.submitted_at is not None,
        changed=connection.execute(drafted).first() is not None,
        nonce=secrets.token_urlsafe(12),
        topic=_topic(connection, page) if study.design.live else "",
    )


def _address(url: str | None, code: str) -> str:
    return (url or "").replace("{code}", code)


def answers_on(connection: Connection, page: int) -> dict[str, Answer]:
    """Return what was said on a page, by criterion: as submitted, and as clicked since."""
    submitted = select(ratings.c.criterion, ratings.c.answer).where(ratings.c.page_id == page)
    clicked = select(drafts.c.criterion, drafts.c.answer).where(drafts.c.page_id == page)
    rows = [*connection.execute(submitted), *connection.execute(clicked)]
    return {criterion: Answer.from_data(answer) for criterion, answer in rows}


def marks_on(connection: Connection, page: int) -> tuple[Mark, ...]:
    """Return what is marked on a page, in the order of dialogues and turns."""
    rows = connection.execute(
        select(marks.c.place, marks.c.turn, marks.c.mark).where(marks.c.page_id == page)
    )
    return tuple(sorted(Mark(*row) for row in rows))
