"""Bring exported ratings into a study that has the same items, such as one on another server.

All rows of a file come in, or none. A rating that is there already and says the same is left alone,
so that a file can be imported twice; one that says something else is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from sqlalchemy import Connection, select

from duo.csv_file import csv_rows, spelled
from duo.errors import BadInput
from duo.terminal import printable
from sessions.study.pages import orders
from sessions.study.people import add_rater, is_erased
from sessions.study.store import insert
from sessions.study.study import StoredItem, Study, record, stored_items
from sessions.study.tables import actions, pages, raters, ratings
from sessions.study.views import Answer
from sessions.study.votes import COLUMNS, from_text

_NEEDED = (
    "rater", "item", "repeat", "criterion", "seconds", "submitted_at", "position", "order",
    "ranking", "all_bad", "synthetic",
)  # fmt: skip
_STATES = (
    "invited", "before", "consented", "asked", "rating", "after", "finished", "declined",
    "screened_out",
)  # fmt: skip


@dataclass(frozen=True)
class _Row:
    """A row with its place in the file, for messages."""

    file: Path
    line: int
    values: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def refuse(self, message: str, field: str) -> NoReturn:
        raise BadInput(printable(message), file=self.file, line=self.line, field=field)

    def list_of(self, kind: type, name: str) -> list[Any]:
        """Read a column that holds a JSON list."""
        try:
            found = json.loads(self[name])
        except ValueError:
            found = None
        if not isinstance(found, list) or not all(type(one) is kind for one in found):
            self.refuse("is not a JSON list of the right kind", name)
        return found


def import_ratings(study: Study, path: Path) -> int:
    """Import a CSV file that `votes.export` wrote; count the ratings that are new.

    Raises:
        BadInput: not such a file, of another study's items, or in conflict with what is there:
            names file, line and column; nothing is imported.
    """
    rows = list(_rows(path))
    with study.database.write(alone=True) as connection:
        study.lock(connection)
        importer = _Importer(connection, study)
        added = sum(importer.add(row) for row in rows)
        record(connection, study, "import", data={"file": path.name, "ratings": added})
    return added


class _Importer:
    """Stores rows in one transaction; items and raters are looked up once."""

    def __init__(self, connection: Connection, study: Study) -> None:
        self.connection, self.study = connection, study
        self.items = {item.name: item for item in stored_items(connection, study)}
        people = connection.execute(select(raters).where(raters.c.study_id == study.id)).all()
        self.raters = {person.name: person.id for person in people}
        left = (person for person in people if person.withdrawn_at is not None)
        self.erased = {person.name for person in left if is_erased(connection, person.id)}

    def add(self, row: _Row) -> bool:
        """Store one row; return whether it was not there yet."""
        item = self.items.get(row["item"])
        if item is None:
            row.refuse(f"the study has no item {row['item']!r}", "item")
        if row["criterion"] not in self.study.design.criterion_names:
            row.refuse(f"the study has no criterion {row['criterion']!r}", "criterion")
        placement, answer = _placement(row, item), _answer(row, len(item.systems))
        if answer.strength and answer.strength not in self.study.design.strength.levels:
            row.refuse(f"the study has no strength {answer.strength!r}", "strength")
        rater = self._rater(row)
        page = self._page(row, rater, item.id, placement)
        there = self.connection.execute(
            select(ratings.c.answer).where(
                ratings.c.page_id == page, ratings.c.criterion == row["criterion"]
            )
        ).scalar_one_or_none()
        if there is not None:
            if Answer.from_data(there) != answer:
                row.refuse(f"{row['rater']} has another answer to this already", "ranking")
            return False
        insert(
            self.connection,
            ratings,
            rater_id=rater,
            item_id=item.id,
            repeat=row["repeat"],
            criterion=row["criterion"],
            page_id=page,
            answer=answer.as_data(),
            submitted_at=row["submitted_at"].timestamp(),
            revisions=row["revisions"] or 0,
        )
        self._add_look(row, rater, page)
        return True

    def _add_look(self, row: _Row, rater: int, page: int) -> None:
        """Store what was done on the page; older exports say nothing of it."""
        data: dict[str, Any] = {
            name: row.list_of(str, name) for name in ("opened", "replayed") if row[name]
        }
        seconds = row["question_seconds"]
        if seconds is not None:
            if not 0 <= seconds < 2**31:
                row.refuse("must be 0 or more", "question_seconds")
            data["criterion"] = row["criterion"]
        if any(data.values()):
            insert(
                self.connection,
                actions,
                study_id=self.study.id,
                rater_id=rater,
                page_id=page,
                kind="import",
                at=row["submitted_at"].timestamp(),
                seconds=seconds or 0.0,
                data=data,
            )

    def _rater(self, row: _Row) -> int:
        """Return the rater's id; a rater who is not there is added, without a link."""
        name = row["rater"]
        if name in self.raters:
            if name in self.erased:
                row.refuse(f"{name} withdrew and had the answers deleted: leave them out", "rater")
            return int(self.raters[name])
        if len(name) > 64:
            row.refuse("is longer than 64 characters", "rater")
        state = row["rater_state"] or "finished"
        if state not in _STATES:
            row.refuse(f"unknown {state!r}: use one of {', '.join(_STATES)}", "rater_state")
        rater, _ = add_rater(
            self.connection,
            self.study,
            name=name,
            number=row["rater_number"],
            synthetic=row["synthetic"],
            action="import",
            panel={"study": row["panel_study"], "session": row["panel_session"]},
            state=state,
            revoked_at=self.study.clock() if row["revoked"] else None,
            withdrawn_at=self.study.clock() if row["withdrawn"] else None,
            language=(row["language"] or "")[:35] or None,
        )
        self.raters[name] = rater
        return rater

    def _page(self, row: _Row, rater: int, item: int, placement: int) -> int:
        """Return the id of the rater's page with this item; added if it is not there."""
        own = select(pages).where(pages.c.rater_id == rater)
        same = own.where(pages.c.item_id == item, pages.c.repeat == row["repeat"])
        there = self.connection.execute(same).one_or_none()
        if there is not None:
            if there.placement != placement:
                row.refuse(f"{row['rater']} saw this item in another order", "order")
            return int(there.id)
        position = row["position"] - 1
        if self.connection.execute(own.where(pages.c.position == position)).first():
            row.refuse(f"{row['rater']} has another item on this page", "position")
        at = row["submitted_at"].timestamp()
        return insert(
            self.connection,
            pages,
            rater_id=rater,
            item_id=item,
            position=position,
            repeat=row["repeat"],
            placement=placement,
            given_at=at,
            touched_at=at,
            submitted_at=at,
            seconds=row["seconds"],
            comment=(row["comment"] or "").replace("\0", ""),
        )


def _placement(row: _Row, item: StoredItem) -> int:
    """Return which of `orders` the systems of a row stand in."""
    order = row.list_of(str, "order")
    if sorted(order) != sorted(item.systems):
        row.refuse(f"the item's systems are {', '.join(item.systems)}", "order")
    rows = orders(len(item.systems))
    places = tuple(item.systems.index(name) for name in order)
    if places not in rows:
        row.refuse("is not one of the study's orders", "order")
    return rows.index(places)


def _answer(row: _Row, systems: int) -> Answer:
    ranks = row.list_of(int, "ranking")
    if len(ranks) != systems:
        row.refuse(f"must have {systems} ranks", "ranking")
    try:
        return Answer(tuple(ranks), row["all_bad"], row["strength"] or "")
    except ValueError as error:
        row.refuse(str(error), "ranking")


def _rows(path: Path) -> Iterator[_Row]:
    rows = csv_rows(path)
    line, header = next(rows)
    names = [spelled(name) for name in header]
    if missing := [name for name in _NEEDED if name not in names]:
        raise BadInput("is missing", file=path, line=line, field=missing[0])
    for line, cells in rows:
        yield _row(path, line, dict(zip(names, cells, strict=True)))


def _row(path: Path, line: int, texts: dict[str, str]) -> _Row:
    row = _Row(path, line, {})
    for column in COLUMNS:
        try:
            value = from_text(column.kind, texts.get(column.name, ""))
        except ValueError as error:
            row.refuse(str(error), column.name)
        if column.name in _NEEDED and value in (None, ""):
            row.refuse("is missing", column.name)
        row.values[column.name] = value
    for name, least in (("position", 1), ("repeat", 0), ("seconds", 0)):
        if not least <= row[name] < 2**31:
            row.refuse(f"must be {least} or more", name)
    return row
