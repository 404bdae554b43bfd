"""Guide a rater through a study: the one interface of the pages, and the study's transactions.

Every method is one transaction, and whatever it was told is in the database when it returns. So a
page keeps no truth of its own: after a reload, a closed tab or a restart, `Session.view` says where
the rater is.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, select

from sessions.study.pages import dialogues_of, give_page, pages_of, width
from sessions.study.people import Refused, admit, rater_of, withdraw
from sessions.study.showing import answers_on, marks_on, talk_view, view_of, without_a_page
from sessions.study.store import upsert
from sessions.study.study import Study, last_action, record
from sessions.study.tables import actions, drafts, marks, pages, raters, ratings, replies
from sessions.study.talks import delete_recordings, give_ticket
from sessions.study.views import LABELS, Answer, Mark, RatingView, TalkView, View

COMMENT_LIMIT = 5_000

#: What a rater does on a page besides answering, for the history.
EVENTS = ("play", "pause", "seek", "focus", "blur")


@dataclass(eq=False)
class Unanswered(Exception):
    """Something was submitted without what it needs; `missing` names criteria or questions."""

    missing: Sequence[str]


@dataclass(eq=False)
class Unmarked(Exception):
    """A page was submitted with fewer marks than the design requires: `least`."""

    least: int


@dataclass(eq=False)
class Unseen(Exception):
    """A page was submitted before `labels` were "opened" or "replayed", as `needed`."""

    needed: str
    labels: Sequence[str]


def open_session(
    study: Study,
    token: str,
    panel_id: str | None = None,
    panel: Mapping[str, str | None] | None = None,
) -> Session:
    """Open the session of the rater whose link has this token.

    Args:
        panel_id: the participant's id, which a panel adds to its link.
        panel: the panel's ids of its `study` and `session`.

    Raises:
        Refused: the link is unknown, revoked or expired, or lacks the panel's id, or has a
            placeholder in its place.
    """
    with study.database.read() as connection:
        rater = rater_of(connection, study, token, panel_id)
    if rater is None:
        with study.database.write(alone=True) as connection:
            rater = admit(connection, study, token, panel_id, panel)
    return Session(study, rater)


@dataclass(frozen=True)
class Session:
    """One rater at work; may be thrown away and opened again at any time.

    Methods that store something raise `Refused` if the rater was revoked or withdrew (who may
    only withdraw), asks for what is not theirs, or the study is closed.
    """

    study: Study
    rater: int

    def view(self, number: int | None = None) -> View:
        """Return what to show; changes nothing but to give out the next page if one is due.

        Args:
            number: a page to go back to, from 1; None, or a page that the rater does not have, for
                where the rater is.
        """
        with self.study.database.read() as connection:
            rater = self._locked(connection, lock=False, revoked=True)
            view = view_of(connection, self.study, rater, number)
            last = last_action(connection, self.rater)
        if isinstance(view, RatingView | TalkView) and (last is None or last.page_id != view.page):
            # Time on task begins when a page is looked at, not at the first click.
            with self.study.database.write(durable=False) as connection:
                if self._locked(connection).withdrawn_at is None:  # or the page is gone
                    record(connection, self.study, "show", rater=self.rater, page=view.page)
        if view is not None:
            return view
        with self.study.database.write(alone=True) as connection:
            self.study.lock(connection)
            rater = self._locked(connection)
            had = pages_of(connection, self.rater)
            done = all(page.submitted_at is not None for page in had)
            if done and rater.withdrawn_at is None:
                given = give_page(connection, self.study, rater)
                if given == "later" or not (given == "page" or had):
                    return without_a_page(connection, self.study, rater, given, len(had))
                if given == "nothing" and self.study.design.after and rater.state == "rating":
                    self._move(connection, "after", "rated")
                elif given == "nothing":
                    self._finish(connection, rater)
        return self.view(number)

    def speak(self, language: str) -> None:
        """Store in which language the rater reads the pages."""
        with self.study.database.write() as connection:
            rater = self._locked(connection, revoked=True)
            if language in self.study.design.languages and rater.language != language:
                own = raters.update().where(raters.c.id == self.rater)
                connection.execute(own.values(language=language))
                if rater.revoked_at is None and rater.withdrawn_at is None:
                    said = {"language": language}
                    record(connection, self.study, "language", rater=self.rater, data=said)

    @property
    def language(self) -> str | None:
        """The language that the rater chose, if they did."""
        with self.study.database.read() as connection:
            own = select(raters.c.language).where(raters.c.id == self.rater)
            chosen: str | None = connection.execute(own).scalar_one()
            return chosen

    def may_withdraw(self) -> bool:
        """Tell whether there is something to withdraw from: the rater agreed once, and stays."""
        with self.study.database.read() as connection:
            rater = self._locked(connection, lock=False, revoked=True)
            return rater.withdrawn_at is None and rater.state not in ("invited", "declined")

    def withdraw(self, *, erase: bool) -> None:
        """Let the rater withdraw, also when revoked or closed; see `people.withdraw`.

        The design may have decided whether to `erase` the answers.
        """
        setting = self.study.design.withdrawal
        erase = erase if setting == "ask" else setting == "delete"
        with self.study.database.write(alone=True) as connection:
            self.study.lock(connection)
            rater = self._locked(connection, revoked=True)
            if rater.state not in ("invited", "declined"):
                withdraw(connection, self.study, rater, erase=erase)
        if erase:
            delete_recordings(self.study, rater.name)

    def consent(self, given: bool) -> None:
        """Store that the rater agrees to take part, or does not (and may think again later)."""
        with self._acting() as (connection, rater):
            if rater.state in ("invited", "declined"):
                agreed = "before" if self.study.design.before else "consented"
                self._move(connection, agreed if given else "declined", "consent")

    def reconsider(self) -> None:
        """Let somebody who declined see the consent page again."""
        with self._acting() as (connection, rater):
            if rater.state == "declined":
                self._move(connection, "invited", "reconsider")

    def answer_questionnaire(self, answers: Mapping[str, Any]) -> None:
        """Store what the rater says about themselves, and go on.

        Args:
            answers: by the question's name: what `Asked.reply` reads; without those not answered.

        Raises:
            Unanswered: a required answer is missing; nothing is stored.
            ValueError: an answer that the question does not have.
        """
        design = self.study.design
        with self._acting() as (connection, rater):
            if rater.state not in ("before", "after"):
                return
            asked = design.before if rater.state == "before" else design.after
            said = {one.name: one.reply(answers.get(one.name)) for one in asked}
            if missing := [one.name for one in asked if one.required and said[one.name] is None]:
                raise Unanswered(tuple(missing))
            given = {name: reply for name, reply in said.items() if reply is not None}
            at = self.study.clock()
            for name, reply in given.items():
                key = {"rater_id": self.rater, "question": name}
                connection.execute(replies.insert().values(**key, reply=reply, at=at))
            state = "consented" if rater.state == "before" else "after"
            self._move(connection, state, "questionnaire", {"answers": given})
            if state == "after":
                self._finish(connection, rater)

    def understood(self) -> None:
        """Store that the rater has read the instructions."""
        with self._acting() as (connection, rater):
            if rater.state == "consented":
                asked = self.study.design.comprehension.questions
                self._move(connection, "asked" if asked else "rating", "understood")

    def answer_questions(self, options: Sequence[str]) -> bool:
        """Store the options chosen at the comprehension check; return whether all were right."""
        check = self.study.design.comprehension
        with self._acting() as (connection, rater):
            if rater.state != "asked":
                return rater.state in ("rating", "after", "finished")
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
            data = {"passed": passed, "wrong": wrong}
            self._move(connection, state, "comprehension", data, attempts=attempts)
        return passed

    def ticket(self, page: int) -> str:
        """Return a ticket for the conversation that is due on a page of a live study."""
        with self._acting() as (connection, _):
            return give_ticket(connection, self.study, self._own(connection, page))

    def draft(self, page: int, criterion: str, answer: Answer | None) -> None:
        """Store what was clicked until the page is submitted; None takes it back."""
        with self._acting(durable=False) as (connection, _):
            self._own(connection, page)
            self._check_answers(connection, page, {criterion: answer} if answer else {})
            said = None if answer is None else answer.as_data()
            data = {"criterion": criterion, "answer": said}
            at = record(connection, self.study, "draft", rater=self.rater, page=page, data=data)
            key = {"page_id": page, "criterion": criterion}
            if answer is not None:
                upsert(connection, drafts, key, {"answer": said, "at": at})
            else:
                where = (drafts.c[name] == value for name, value in key.items())
                connection.execute(delete(drafts).where(*where))

    def draft_comment(self, page: int, text: str) -> None:
        """Store the comment as it stands. Longer than `COMMENT_LIMIT` is cut there."""
        with self._acting(durable=False) as (connection, _):
            self._comment(connection, self._own(connection, page), text)

    def mark(self, page: int, marked: Iterable[Mark]) -> None:
        """Store what is marked on a page now: all of it.

        Raises:
            ValueError: there is no such turn of an assistant, or no such mark; nothing is changed.
        """
        wanted = set(marked)
        with self._acting(durable=False) as (connection, _):
            row = self._own(connection, page)
            shown = [one for one, _ in dialogues_of(connection, row.item_id, row.placement)]
            for one in wanted:
                turns = shown[one.place].utterances if 0 <= one.place < len(shown) else ()
                real = 0 <= one.turn < len(turns) and turns[one.turn].who == "assistant"
                if not real or one.mark not in self.study.design.marks.kinds:
                    raise ValueError(f"no such mark: {one}")
            before = set(marks_on(connection, page))
            if wanted == before:
                return
            data = {
                "added": [list(vars(one).values()) for one in sorted(wanted - before)],
                "removed": [list(vars(one).values()) for one in sorted(before - wanted)],
            }
            at = record(connection, self.study, "mark", rater=self.rater, page=page, data=data)
            for one in before - wanted:
                same = (marks.c[name] == value for name, value in vars(one).items())
                connection.execute(delete(marks).where(marks.c.page_id == page, *same))
            for one in wanted - before:
                connection.execute(marks.insert().values(page_id=page, at=at, **vars(one)))

    def happened(self, page: int, event: str) -> None:
        """Note something else that the rater did on a page: one of `EVENTS`.

        Raises:
            ValueError: not one of them.
        """
        if event not in EVENTS:
            raise ValueError(f"unknown event {event!r}")
        with self._acting(durable=False) as (connection, _):
            self._own(connection, page)
            record(connection, self.study, event, rater=self.rater, page=page)

    def exposed(self, page: int, opened: Iterable[str], replayed: Iterable[str]) -> None:
        """Note which dialogues of a page were opened and replayed so far, by their labels."""
        with self._acting(durable=False) as (connection, _):
            labels = LABELS[: width(connection, self._own(connection, page).item_id)]
            before = self._exposure(connection, page)
            given = {"opened": set(opened), "replayed": set(replayed)}
            new = {
                name: [one for one in labels if one in given[name] - before[name]] for name in given
            }
            if any(new.values()):
                record(connection, self.study, "exposure", rater=self.rater, page=page, data=new)

    def submit(
        self,
        page: int,
        answers: Mapping[str, Answer] | None = None,
        *,
        nonce: str,
    ) -> bool:
        """Submit a page, the first time or again.

        Args:
            answers: by criterion; what is not given here is taken from what was clicked and
                submitted before.
            nonce: the form's. The same answers with the same nonce are stored once, however often
                they arrive.

        Returns:
            False if this very submission was stored already.

        Raises:
            Unanswered: a criterion has no answer; nothing is changed.
            Unmarked: the design requires more marks; nothing is changed.
            Unseen: the design requires more exposure; nothing is changed.
        """
        with self._acting() as (connection, _):
            row = self._own(connection, page)
            if talk_view(connection, self.study, row, 0) is not None:
                raise Refused("page")  # nobody has talked to all of them yet
            self._check_answers(connection, page, answers or {})
            merged = answers_on(connection, page) | dict(answers or {})
            names = self.study.design.criterion_names
            if missing := [name for name in names if not self._is_whole(merged.get(name))]:
                raise Unanswered(tuple(missing))
            if len(marks_on(connection, page)) < self.study.design.marks.least:
                raise Unmarked(self.study.design.marks.least)
            self._check_exposure(connection, page, len(merged[names[0]].ranks))
            said = {name: merged[name].as_data() for name in names}
            key = hashlib.sha256(json.dumps([nonce, page, said]).encode()).hexdigest()
            same = actions.c.rater_id == self.rater, actions.c.key == key
            if connection.execute(select(actions.c.id).where(*same)).first():
                return False
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
                values = {"page_id": page, "answer": said[name], "submitted_at": at}
                first = {"revisions": 0}
                upsert(connection, ratings, identity, values, first=first, count="revisions")
            connection.execute(delete(drafts).where(drafts.c.page_id == page))
            connection.execute(pages.update().where(pages.c.id == page).values(submitted_at=at))
        return True

    @contextmanager
    def _acting(self, *, durable: bool = True) -> Iterator[tuple[Connection, Any]]:
        """Open a transaction of a rater who may store something, alone of all of this rater's."""
        with self.study.database.write(durable=durable) as connection:
            if self.study.state(connection) == "closed":
                raise Refused("closed")
            rater = self._locked(connection)
            if rater.withdrawn_at is not None:
                raise Refused("withdrawn")
            yield connection, rater

    def _locked(self, connection: Connection, *, lock: bool = True, revoked: bool = False) -> Any:
        """Return the rater's row; refuse who was revoked, unless such may do this, too."""
        row = select(raters).where(raters.c.id == self.rater)
        rater = connection.execute(row.with_for_update(key_share=True) if lock else row).one()
        if rater.revoked_at is not None and not revoked:
            raise Refused("revoked")
        return rater

    def _own(self, connection: Connection, page: int) -> Any:
        """Return a page's row, if it is the rater's."""
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
            if answer.strength and answer.strength not in self.study.design.strength.levels:
                raise ValueError(f"unknown strength {answer.strength!r}")

    def _is_whole(self, answer: Answer | None) -> bool:
        """Tell whether an answer says all that is required."""
        if answer is None:
            return False
        required = self.study.design.strength.required and answer.is_preference
        return bool(answer.strength) or not required

    def _exposure(self, connection: Connection, page: int) -> dict[str, set[str]]:
        """Return the labels of a page's dialogues that were `opened`, and `replayed`."""
        own = actions.c.rater_id == self.rater, actions.c.page_id == page
        noted = select(actions.c.data).where(*own, actions.c.kind == "exposure")
        found: dict[str, set[str]] = {"opened": set(), "replayed": set()}
        for data in connection.execute(noted).scalars():
            for name, labels in data.items():
                found[name].update(labels)
        return found

    def _check_exposure(self, connection: Connection, page: int, places: int) -> None:
        needed = self.study.design.checks.exposure
        if needed == "none":
            return
        seen = self._exposure(connection, page)[needed]
        if missing := [label for label in LABELS[:places] if label not in seen]:
            raise Unseen(needed, tuple(missing))

    def _comment(self, connection: Connection, page: Any, text: str) -> None:
        """Store a comment as a database can hold it: no NUL, no halves of pairs, not endless."""
        text = text[:COMMENT_LIMIT].replace("\0", "").encode("utf-8", "replace").decode("utf-8")
        if text == page.comment:
            return
        data = {"text": text}
        record(connection, self.study, "comment", rater=self.rater, page=page.id, data=data)
        connection.execute(pages.update().where(pages.c.id == page.id).values(comment=text))

    def _move(
        self,
        connection: Connection,
        state: str,
        kind: str,
        data: Mapping[str, Any] | None = None,
        **values: Any,
    ) -> None:
        """Let the rater be in another state, and note why."""
        row = raters.update().where(raters.c.id == self.rater)
        connection.execute(row.values(state=state, **values))
        facts = {"state": state} | dict(data or {})
        record(connection, self.study, kind, rater=self.rater, data=facts)

    def _finish(self, connection: Connection, rater: Any) -> None:
        completion = self.study.design.completion
        code = {"rater": secrets.token_hex(4).upper(), "study": completion.text, "none": None}
        self._move(connection, "finished", "finish", code=rater.code or code[completion.code])
