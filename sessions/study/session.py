"""A rater's way through a study: the one interface of the pages.

Every method is one transaction, and whatever it was told is in the database when it returns. So a
page keeps no truth of its own: after a reload, a closed tab or a restart, `view` says where the
rater is.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, select

from sessions.study.answer import Answer
from sessions.study.history import record
from sessions.study.pages import give_page, width
from sessions.study.people import Refused, admit, rater_of
from sessions.study.showing import answers_on, view_of
from sessions.study.store import actions, drafts, pages, raters, ratings, upsert
from sessions.study.study import Study
from sessions.study.views import RatingView, View

COMMENT_LIMIT = 5_000
_EVENTS = ("play", "pause", "seek", "focus", "blur", "audio", "help")


class Unanswered(Exception):
    """A page was submitted without an answer to each criterion; `criteria` names those missing."""

    def __init__(self, criteria: Sequence[str]) -> None:
        super().__init__(f"Please answer also: {', '.join(criteria)}.")
        self.criteria = tuple(criteria)


def open_session(study: Study, token: str, panel_id: str | None = None) -> Session:
    """The session of the rater whose link has this token.

    Args:
        panel_id: the participant's id, which a panel adds to its link.

    Raises:
        Refused: the link is unknown, revoked or expired, or lacks the panel's id.
    """
    with study.database.read() as connection:
        rater = rater_of(connection, study, token, panel_id)
    if rater is None:
        with study.database.write(alone=True) as connection:
            rater = admit(connection, study, token, panel_id)
    return Session(study, rater)


@dataclass(frozen=True)
class Session:
    """One rater at work; may be thrown away and opened again at any time.

    All methods raise `Refused` if the rater was revoked meanwhile, or asks for what is not theirs;
    those that store something also if the study is closed.
    """

    study: Study
    rater: int

    def view(self, number: int | None = None) -> View:
        """What to show.

        Args:
            number: a page to go back to, from 1; None, or a page that the rater does not have, for
                where the rater is.
        """
        with self.study.database.read() as connection:
            view = view_of(connection, self.study, self.rater, number)
            noted = not isinstance(view, RatingView) or self._is_at(connection, view.page)
        if isinstance(view, RatingView) and not noted:
            self._note_shown(view.page)
        if view is not None:
            return view
        with self.study.database.write(alone=True) as connection:
            self.study.lock(connection)
            rater = self._locked(connection)
            if not self._open_page(connection) and not give_page(connection, self.study, rater):
                self._finish(connection, rater)
        return self.view(number)

    def consent(self, given: bool) -> None:
        """The rater agrees to take part, or does not (and may think again later)."""
        with self._acting() as (connection, rater):
            if rater.state in ("invited", "declined"):
                self._move(connection, "consented" if given else "declined", "consent")

    def reconsider(self) -> None:
        """Somebody who declined wants to see the consent page again."""
        with self._acting() as (connection, rater):
            if rater.state == "declined":
                self._move(connection, "invited", "reconsider")

    def understood(self) -> None:
        """The rater has read the instructions."""
        with self._acting() as (connection, rater):
            if rater.state == "consented":
                asked = self.study.design.comprehension.questions
                self._move(connection, "asked" if asked else "rating", "understood")

    def answer_questions(self, options: Sequence[str]) -> bool:
        """An attempt at the comprehension check; whether all of it was right.

        Args:
            options: the text of the chosen option for each question.
        """
        check = self.study.design.comprehension
        with self._acting() as (connection, rater):
            if rater.state != "asked":
                return rater.state in ("rating", "finished")
            right = [question.answer for question in check.questions]
            passed = list(options) == right
            attempts = rater.attempts + 1
            failed = not passed and attempts >= check.attempts
            state = "rating" if passed else "screened_out" if failed else "asked"
            wrong = [
                place
                for place, answer in enumerate(right)
                if place >= len(options) or options[place] != answer
            ]
            connection.execute(
                raters.update().where(raters.c.id == self.rater).values(attempts=attempts)
            )
            self._move(connection, state, "comprehension", {"passed": passed, "wrong": wrong})
        return passed

    def draft(self, page: int, criterion: str, answer: Answer | None) -> None:
        """Something was clicked; None takes it back. Kept until the page is submitted."""
        with self._acting(durable=False) as (connection, _):
            self._own(connection, page)
            self._check_answers(connection, page, {criterion: answer} if answer else {})
            where = drafts.c.page_id == page, drafts.c.criterion == criterion
            data: dict[str, Any] = {"criterion": criterion, "answer": None}
            if answer is None:
                connection.execute(delete(drafts).where(*where))
            else:
                data["answer"] = json.loads(answer.as_json())
            at = record(connection, self.study, "draft", rater=self.rater, page=page, data=data)
            if answer is not None:
                upsert(
                    connection,
                    drafts,
                    {"page_id": page, "criterion": criterion},
                    {"answer": answer.as_json(), "at": at},
                )

    def draft_comment(self, page: int, text: str) -> None:
        """The comment as it stands; kept at once. Longer than `COMMENT_LIMIT` is cut there."""
        with self._acting(durable=False) as (connection, _):
            row = self._own(connection, page)
            if _storable(text) != row.comment:
                self._comment(connection, page, text)

    def happened(self, page: int, event: str) -> None:
        """Something else that the rater did on a page, for the history: play, pause, blur ...

        Raises:
            ValueError: not one of the events that are known.
        """
        if event not in _EVENTS:
            raise ValueError(f"unknown event {event!r}")
        with self._acting(durable=False) as (connection, _):
            self._own(connection, page)
            record(connection, self.study, event, rater=self.rater, page=page)

    def submit(
        self,
        page: int,
        answers: Mapping[str, Answer] | None = None,
        *,
        nonce: str,
        comment: str | None = None,
    ) -> bool:
        """Submit a page, the first time or again.

        Args:
            answers: by criterion; what is not given here is taken from what was clicked and
                submitted before.
            nonce: the form's. The same answers with the same nonce are stored once, however often
                they arrive.
            comment: if given, replaces the drafted one.

        Returns:
            False if this very submission was stored already.

        Raises:
            Unanswered: a criterion has no answer; nothing is changed.
        """
        with self._acting() as (connection, _):
            row = self._own(connection, page)
            self._check_answers(connection, page, answers or {})
            merged = answers_on(connection, page) | dict(answers or {})
            names = self.study.design.criterion_names
            if missing := [name for name in names if name not in merged]:
                raise Unanswered(missing)
            said = {name: json.loads(merged[name].as_json()) for name in names}
            key = hashlib.sha256(json.dumps([nonce, page, said, comment]).encode()).hexdigest()
            same = actions.c.rater_id == self.rater, actions.c.key == key
            if connection.execute(select(actions.c.id).where(*same)).first():
                return False
            if comment is not None and _storable(comment) != row.comment:
                self._comment(connection, page, comment)
            data = {"answers": said}
            at = record(
                connection, self.study, "submit", rater=self.rater, page=page, data=data, key=key
            )
            for name in names:
                identity = {
                    "rater_id": self.rater,
                    "item_id": row.item_id,
                    "repeat": row.repeat,
                    "criterion": name,
                }
                values = {"page_id": page, "answer": merged[name].as_json(), "submitted_at": at}
                first = {"revisions": 0}
                upsert(connection, ratings, identity, values, first=first, count="revisions")
            connection.execute(delete(drafts).where(drafts.c.page_id == page))
            connection.execute(pages.update().where(pages.c.id == page).values(submitted_at=at))
        return True

    @contextmanager
    def _acting(self, *, durable: bool = True) -> Iterator[tuple[Connection, Any]]:
        """A transaction of a rater who may store something, alone of all of this rater's."""
        with self.study.database.write(durable=durable) as connection:
            if self.study.state(connection) == "closed":
                raise Refused("closed")
            yield connection, self._locked(connection)

    def _locked(self, connection: Connection) -> Any:
        row = select(raters).where(raters.c.id == self.rater).with_for_update(key_share=True)
        rater = connection.execute(row).one()
        if rater.revoked_at is not None:
            raise Refused("revoked")
        return rater

    def _own(self, connection: Connection, page: int) -> Any:
        own = select(pages).where(pages.c.id == page, pages.c.rater_id == self.rater)
        row = connection.execute(own).one_or_none()
        if row is None:
            raise Refused("page")
        return row

    def _check_answers(
        self, connection: Connection, page: int, answers: Mapping[str, Answer]
    ) -> None:
        item = connection.execute(select(pages.c.item_id).where(pages.c.id == page)).scalar_one()
        places = width(connection, item)
        for name, answer in answers.items():
            if name not in self.study.design.criterion_names:
                raise ValueError(f"unknown criterion {name!r}")
            if len(answer.ranks) != places:
                raise ValueError(f"{len(answer.ranks)} ranks for {places} dialogues")

    def _open_page(self, connection: Connection) -> bool:
        waiting = select(pages.c.id).where(
            pages.c.rater_id == self.rater, pages.c.submitted_at.is_(None)
        )
        return connection.execute(waiting).first() is not None

    def _is_at(self, connection: Connection, page: int) -> bool:
        """Whether the rater's last action was on this page: then it is still being looked at."""
        last = (
            select(actions.c.page_id)
            .where(actions.c.rater_id == self.rater)
            .order_by(actions.c.id.desc())
            .limit(1)
        )
        return connection.execute(last).scalar_one_or_none() == page

    def _note_shown(self, page: int) -> None:
        """Time on task begins when a page is looked at, not at the first click."""
        with self.study.database.write(durable=False) as connection:
            self._locked(connection)
            record(connection, self.study, "show", rater=self.rater, page=page)

    def _comment(self, connection: Connection, page: int, text: str) -> None:
        text = _storable(text)
        record(connection, self.study, "comment", rater=self.rater, page=page, data={"text": text})
        connection.execute(pages.update().where(pages.c.id == page).values(comment=text))

    def _move(
        self, connection: Connection, state: str, kind: str, data: Mapping[str, Any] | None = None
    ) -> None:
        connection.execute(raters.update().where(raters.c.id == self.rater).values(state=state))
        facts = {"state": state} | dict(data or {})
        record(connection, self.study, kind, rater=self.rater, data=facts)

    def _finish(self, connection: Connection, rater: Any) -> None:
        completion = self.study.design.completion
        code = {"rater": secrets.token_hex(4).upper(), "study": completion.text, "none": None}
        connection.execute(
            raters.update()
            .where(raters.c.id == self.rater)
            .values(code=rater.code or code[completion.code])
        )
        self._move(connection, "finished", "finish")


def _storable(text: str) -> str:
    """A comment as a database can hold it: no NUL, no halves of pairs, not endless."""
    text = text[:COMMENT_LIMIT].replace("\0", "")
    return text.encode("utf-8", "replace").decode("utf-8")
