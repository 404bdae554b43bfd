"""Keep which conversation of a live study may begin, and what became of each that did.

All of it is in the history (`actions`): a `ticket` was given for a conversation, it began by that
ticket (`talk`), it ended (`talked`). A ticket is a token like those of links: 192 random bits, of
which the database has the hash. It opens one conversation, once, and soon or not at all.

A conversation that broke off may be begun anew once; after that it is rated as far as it came.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, select

from sessions.study.pages import orders
from sessions.study.people import Refused, hashed
from sessions.study.study import Study, record
from sessions.study.tables import actions, items, pages, raters
from sessions.study.views import LABELS

FOLDER = "talks"
ATTEMPTS = 2
#: Seconds in which a conversation must begin by its ticket.
TICKET_SECONDS = 900.0

#: How a conversation ended: the participant stopped it, its time was up, the connection was lost,
#: or something failed. The first two count as whole.
Outcome = Literal["stopped", "time", "lost", "failed"]
_WHOLE = ("stopped", "time")


@dataclass(frozen=True)
class Talk:
    """A conversation that began.

    Attributes:
        place: on the page, from 0 for the first; `attempt` counts from 1.
        system: with which; `topic`: the item's name.
        folder: of its recording, in the study's.
        outcome: "" while it goes on.
        seconds: that it lasted; `words`: that the assistant said.
    """

    rater: int
    page: int
    place: int
    attempt: int
    system: str
    topic: str
    folder: str
    began: float
    outcome: str = ""
    seconds: float = 0.0
    words: int = 0

    @property
    def label(self) -> str:
        return LABELS[self.place]


def talks_on(connection: Connection, *page: int) -> list[Talk]:
    """Return the conversations of pages, in the order in which they began."""
    of = actions.c.page_id.in_(page), actions.c.kind.in_(("talk", "talked"))
    found: dict[tuple[int, int, int], Talk] = {}
    for row in connection.execute(select(actions).where(*of).order_by(actions.c.id)):
        key = row.page_id, row.data["place"], row.data["attempt"]
        if row.kind == "talk":
            found[key] = Talk(rater=row.rater_id, page=row.page_id, began=row.at, **row.data)
        else:
            found[key] = replace(found[key], **row.data)
    return list(found.values())


def next_talk(talks: Sequence[Talk], places: int) -> tuple[int, list[Talk]] | None:
    """Return the place of the conversation that is due on a page, and its attempts so far.

    None if all were held.
    """
    for place in range(places):
        own = [talk for talk in talks if talk.place == place]
        whole = any(talk.outcome in _WHOLE for talk in own)
        spent = len(own) >= ATTEMPTS and own[-1].outcome
        if not (whole or spent):
            return place, own
    return None


def give_ticket(connection: Connection, study: Study, page: Any) -> str:
    """Return a ticket for the conversation that is due on a page.

    Raises:
        Refused: none is due, or it may not be begun again.
    """
    place = _due(connection, study, page)
    token = secrets.token_urlsafe(24)
    data = {"place": place, "expires": study.clock() + TICKET_SECONDS}
    key = hashed(token)
    record(connection, study, "ticket", rater=page.rater_id, page=page.id, data=data, key=key)
    return token


def language_of(study: Study, token: str) -> str:
    """Return the language of the participant who has a ticket that could be used now.

    Raises:
        Refused: it could not; see `begin`.
    """
    with study.database.read() as connection:
        page, _ = _page_of(connection, study, token)
        return page.language or study.design.languages[0]


def begin(study: Study, token: str) -> Talk:
    """Let the conversation of a ticket begin; an attempt that has not ended is lost.

    Raises:
        Refused: the ticket is unknown, expired or used; its conversation is not due any more; the
            rater was revoked or withdrew; or the study is closed.
    """
    with study.database.write() as connection:
        page, place = _page_of(connection, study, token)
        before = [talk for talk in talks_on(connection, page.id) if talk.place == place]
        for talk in before:
            if not talk.outcome:
                _end(connection, study, talk, "lost")
        attempt = len(before) + 1
        order = orders(len(study.systems))[page.placement]
        data = {
            "place": place,
            "attempt": attempt,
            "system": study.systems[order[place]],
            "topic": page.topic,
            "folder": f"{FOLDER}/{page.rater}/{page.position + 1}-{LABELS[place]}-{attempt}",
        }
        at = record(connection, study, "talk", rater=page.rater_id, page=page.id, data=data,
                    key=_used(token))  # fmt: skip
        return Talk(rater=page.rater_id, page=page.id, began=at, **data)


def end(
    study: Study, talk: Talk, outcome: Outcome, *, seconds: float = 0.0, words: int = 0
) -> None:
    """Store what became of a conversation; the recording of one that was deleted goes."""
    with study.database.write() as connection:
        now = [one for one in talks_on(connection, talk.page) if one.folder == talk.folder]
        if now and not now[0].outcome:
            _end(connection, study, talk, outcome, seconds=seconds, words=words)
    if not now:  # the rater withdrew meanwhile
        shutil.rmtree(study.folder / talk.folder, ignore_errors=True)


def tidy(study: Study) -> None:
    """End what a server left open that was killed, and delete recordings that belong to nothing."""
    talks = all_talks(study, withdrawn=True)
    with study.database.write() as connection:
        for talk in talks:
            if not talk.outcome:
                _end(connection, study, talk, "lost")
    known = {study.folder / talk.folder for talk in talks}
    for folder in (study.folder / FOLDER).glob("*/*/"):
        if folder not in known:
            shutil.rmtree(folder)


def all_talks(study: Study, *, withdrawn: bool = False) -> list[Talk]:
    """Return all conversations; `withdrawn`: also of who withdrew but left the answers."""
    if study.design.live is None:
        return []
    with study.database.read() as connection:
        wanted = select(pages.c.id).join(raters, pages.c.rater_id == raters.c.id)
        wanted = wanted.where(raters.c.study_id == study.id)
        if not withdrawn:
            wanted = wanted.where(raters.c.withdrawn_at.is_(None))
        return talks_on(connection, *connection.execute(wanted).scalars())


def delete_recordings(study: Study, rater: str) -> None:
    """Delete the recordings of a rater, by name."""
    shutil.rmtree(study.folder / FOLDER / rater, ignore_errors=True)


def recording(study: Study, talk: Talk, ending: str = ".jsonl") -> Path | None:
    """Return a file of a conversation's recording, if there is one."""
    return next(iter(sorted((study.folder / talk.folder).glob(f"*{ending}"))), None)


def _used(token: str) -> str:
    return hashed(f"used {token}")


def _page_of(connection: Connection, study: Study, token: str) -> tuple[Any, int]:
    """Return the page and the place that a ticket is for, if it can be used."""
    key = hashed(token)
    found = select(actions).where(
        actions.c.study_id == study.id, actions.c.kind == "ticket", actions.c.key == key
    )
    ticket = connection.execute(found).one_or_none()
    if ticket is None:
        raise Refused("unknown")
    rater = connection.execute(select(raters).where(raters.c.id == ticket.rater_id)).one()
    if study.state(connection) == "closed":
        raise Refused("closed")
    if rater.revoked_at is not None or rater.withdrawn_at is not None:
        raise Refused("revoked" if rater.revoked_at is not None else "withdrawn")
    same = actions.c.rater_id == rater.id, actions.c.key == _used(token)
    used = connection.execute(select(actions.c.id).where(*same)).first()
    if used or ticket.data["expires"] <= study.clock():
        raise Refused("expired")
    page = connection.execute(
        select(pages, items.c.name.label("topic"), raters.c.name.label("rater"), raters.c.language)
        .join(items, pages.c.item_id == items.c.id)
        .join(raters, pages.c.rater_id == raters.c.id)
        .where(pages.c.id == ticket.page_id)
    ).one()
    if _due(connection, study, page) != ticket.data["place"]:
        raise Refused("expired")
    return page, ticket.data["place"]


def _due(connection: Connection, study: Study, page: Any) -> int:
    due = next_talk(talks_on(connection, page.id), len(study.systems))
    if due is None or len(due[1]) >= ATTEMPTS or page.submitted_at is not None:
        raise Refused("page")
    return due[0]


def _end(connection: Connection, study: Study, talk: Talk, outcome: Outcome, **facts: Any) -> None:
    data = {"place": talk.place, "attempt": talk.attempt, "outcome": outcome, **facts}
    record(connection, study, "talked", rater=talk.rater, page=talk.page, data=data)
