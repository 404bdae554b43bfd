"""Where a rater is, and what that looks like: reads the database and changes nothing."""

from __future__ import annotations

import json
import secrets
from typing import Any

from sqlalchemy import Connection, select

from sessions.study.answer import Answer
from sessions.study.pages import dialogues_of, pages_of, total_pages
from sessions.study.people import Refused
from sessions.study.store import actions, drafts, raters, ratings
from sessions.study.study import Study
from sessions.study.views import (
    LABELS,
    ConsentView,
    FinishedView,
    RatingView,
    Shown,
    View,
    comprehension,
    door,
    instructions,
)


def view_of(connection: Connection, study: Study, rater: int, number: int | None) -> View | None:
    """What to show to a rater; None if all their pages are done and a new one is to be given.

    Args:
        number: the page to go back to, from 1; see `Session.view`.

    Raises:
        Refused: the rater was revoked.
    """
    row = connection.execute(select(raters).where(raters.c.id == rater)).one()
    if row.revoked_at is not None:
        raise Refused("revoked")
    state = study.state(connection)
    if row.state in ("rating", "finished"):
        return _at_work(connection, study, row, state, number)
    return _before_work(connection, study, row, state)


def answers_on(connection: Connection, page: int) -> dict[str, Answer]:
    """What was said on a page, by criterion: as submitted, and as clicked since."""
    submitted = select(ratings.c.criterion, ratings.c.answer).where(ratings.c.page_id == page)
    clicked = select(drafts.c.criterion, drafts.c.answer).where(drafts.c.page_id == page)
    rows = [*connection.execute(submitted), *connection.execute(clicked)]
    return {criterion: Answer.from_json(answer) for criterion, answer in rows}


def _before_work(connection: Connection, study: Study, rater: Any, state: str) -> View:
    design = study.design
    if rater.state == "screened_out":
        return door(design, "screened_out")
    if state == "closed":
        return door(design, "closed")
    if rater.state == "declined":
        return door(design, "declined")
    if state == "paused":
        return door(design, "paused")
    if rater.state == "invited":
        return ConsentView(design.title, design.consent)
    if rater.state == "consented":
        return instructions(design)
    return comprehension(design, rater.attempts, _mistakes(connection, study, rater.id))


def _at_work(
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
        url = (study.design.completion.return_url or "").replace("{code}", code)
        return FinishedView(study.design.title, code, url, 0 if state == "closed" else len(had))
    if state == "closed":
        return door(study.design, "closed")
    return door(study.design, "paused") if state == "paused" else None


def _page(
    connection: Connection, study: Study, rater: Any, had: list[Any], page: Any
) -> RatingView:
    shown = dialogues_of(connection, page.item_id, page.placement)
    drafted = select(drafts.c.criterion).where(drafts.c.page_id == page.id)
    return RatingView(
        page=page.id,
        number=page.position + 1,
        total=max(total_pages(study, rater.number), len(had)),
        last=len(had),
        dialogues=tuple(
            Shown(label, dialogue, study.folder / "audio" / audio if audio else None)
            for label, (dialogue, audio) in zip(LABELS, shown, strict=False)
        ),
        criteria=study.design.criteria,
        answers=answers_on(connection, page.id),
        comment=page.comment,
        submitted=page.submitted_at is not None,
        changed=connection.execute(drafted).first() is not None,
        nonce=secrets.token_urlsafe(12),
    )


def _mistakes(connection: Connection, study: Study, rater: int) -> dict[int, str]:
    """What was wrong in the last attempt at the comprehension check, by number of question."""
    last = connection.execute(
        select(actions.c.data)
        .where(actions.c.rater_id == rater, actions.c.kind == "comprehension")
        .order_by(actions.c.id.desc())
        .limit(1)
    ).scalar_one_or_none()
    questions = study.design.comprehension.questions
    wrong = json.loads(last)["wrong"] if last else []
    return {place: questions[place].because for place in wrong}
