"""Bring exported ratings into a study that has the same items, such as one on another server.

All rows of a file come in, or none. A rating that is there already and says the same is left alone,
so that a file can be imported twice; one that says something else is refused.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from sqlalchemy import Connection, func, select

from duo.errors import BadInput
from duo.terminal import printable
from sessions.study.answer import Answer
from sessions.study.assignment import orders
from sessions.study.columns import COLUMNS, from_text
from sessions.study.history import record
from sessions.study.store import dialogues, items, pages, raters, ratings
from sessions.study.study import Study

_NEEDED = (
    "rater", "item", "repeat", "criterion", "seconds", "submitted_at", "position", "order",
    "ranking", "all_bad", "synthetic",
)  # fmt: skip
_STATES = ("invited", "consented", "asked", "rating", "finished", "declined", "screened_out")


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


def import_ratings(study: Study, path: Path) -> int:
    """Import a CSV file that `export` wrote.

    Returns:
        How many ratings (of one rater, item and criterion) are new.

    Raises:
        BadInput: not such a file, of another study's items, or in conflict with what is there:
            names file, line and column; nothing is imported.
    """
    rows = list(_rows(path))
    added = 0
    with study.database.write(alone=True) as connection:
        study.lock(connection)
        known = _Known(connection, study)
        for row in rows:
            added += _import(connection, study, known, row)
        record(connection, study, "import", data={"file": path.name, "ratings": added})
    return added


class _Known:
    """What the study has: items and raters, looked up once."""

    def __init__(self, connection: Connection, study: Study) -> None:
        found = connection.execute(
            select(items.c.id, items.c.name, dialogues.c.system)
            .join(dialogues, dialogues.c.item_id == items.c.id)
            .where(items.c.study_id == study.id)
            .order_by(items.c.id, dialogues.c.place)
        )
        self.items: dict[str, tuple[int, tuple[str, ...]]] = {}
        for row in found:
            systems = self.items.get(row.name, (row.id, ()))[1]
            self.items[row.name] = row.id, (*systems, row.system)
        people = connection.execute(
            select(raters.c.id, raters.c.name, raters.c.number).where(raters.c.study_id == study.id)
        ).all()
        self.raters = {person.name: person.id for person in people}
        self.numbers = {person.number for person in people}


def _import(connection: Connection, study: Study, known: _Known, row: _Row) -> int:
    """Store one row; 1 if it was not there yet."""
    if row["item"] not in known.items:
        row.refuse(f"the study has no item {row['item']!r}", "item")
    if row["criterion"] not in study.design.criterion_names:
        row.refuse(f"the study has no criterion {row['criterion']!r}", "criterion")
    item, systems = known.items[row["item"]]
    order = _list(row, "order", str)
    if sorted(order) != sorted(systems):
        row.refuse(f"the item's systems are {', '.join(systems)}", "order")
    places = tuple(systems.index(name) for name in order)
    if places not in orders(len(systems)):
        row.refuse("is not one of the study's orders", "order")
    answer = _answer(row, len(systems))
    rater = _rater(connection, study, known, row)
    page = _page(connection, row, rater, item, orders(len(systems)).index(places))
    identity = {
        "rater_id": rater, "item_id": item, "repeat": row["repeat"], "criterion": row["criterion"],
    }  # fmt: skip
    there = connection.execute(
        select(ratings.c.answer).where(
            *(ratings.c[name] == value for name, value in identity.items())
        )
    ).scalar_one_or_none()
    if there is not None:
        if Answer.from_json(there) != answer:
            row.refuse(f"{row['rater']} has another answer to this already", "ranking")
        return 0
    connection.execute(
        ratings.insert().values(
            **identity,
            page_id=page,
            answer=answer.as_json(),
            submitted_at=row["submitted_at"].timestamp(),
            revisions=row["revisions"] or 0,
        )
    )
    return 1


def _rater(connection: Connection, study: Study, known: _Known, row: _Row) -> int:
    """The rater's id; a rater who is not there is added, without a link."""
    name = row["rater"]
    if name in known.raters:
        return known.raters[name]
    if len(name) > 64:
        row.refuse("is longer than 64 characters", "rater")
    state = row["rater_state"] or "finished"
    if state not in _STATES:
        row.refuse(f"unknown {state!r}: use one of {', '.join(_STATES)}", "rater_state")
    number = row["rater_number"]
    if number is None or number < 0 or number in known.numbers:
        number = max(known.numbers, default=-1) + 1
    now = study.clock()
    values = {
        "study_id": study.id,
        "number": number,
        "name": name,
        "state": state,
        "attempts": 0,
        "synthetic": row["synthetic"],
        "created_at": now,
        "revoked_at": now if row["revoked"] else None,
    }
    done = connection.execute(raters.insert().values(**values))
    rater: int = done.inserted_primary_key[0]  # type: ignore[index]
    record(connection, study, "import", rater=rater)
    known.raters[name] = rater
    known.numbers.add(number)
    return rater


def _page(connection: Connection, row: _Row, rater: int, item: int, placement: int) -> int:
    """The id of the rater's page with this item; added if it is not there."""
    own = pages.c.rater_id == rater
    there = connection.execute(
        select(pages).where(own, pages.c.item_id == item, pages.c.repeat == row["repeat"])
    ).one_or_none()
    if there is not None:
        if there.placement != placement:
            row.refuse(f"{row['rater']} saw this item in another order", "order")
        return int(there.id)
    position = row["position"] - 1
    taken = select(func.count()).select_from(pages).where(own, pages.c.position == position)
    if connection.execute(taken).scalar_one():
        row.refuse(f"{row['rater']} has another item on this page", "position")
    at = row["submitted_at"].timestamp()
    done = connection.execute(
        pages.insert().values(
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
    )
    return int(done.inserted_primary_key[0])  # type: ignore[index]


def _answer(row: _Row, systems: int) -> Answer:
    ranks = _list(row, "ranking", int)
    if len(ranks) != systems:
        row.refuse(f"must have {systems} ranks", "ranking")
    try:
        return Answer(tuple(ranks), row["all_bad"])
    except ValueError as error:
        row.refuse(str(error), "ranking")


def _list(row: _Row, name: str, kind: type) -> list[Any]:
    try:
        found = json.loads(row[name])
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(type(one) is kind for one in found):
        row.refuse("is not a JSON list of the right kind", name)
    return found


def _rows(path: Path) -> Iterator[_Row]:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            names = next(reader, None)
            if names is None:
                raise BadInput("is empty", file=path)
            names[0] = names[0].removeprefix("\ufeff")
            if missing := [name for name in _NEEDED if name not in names]:
                raise BadInput("is missing", file=path, line=1, field=missing[0])
            line = reader.line_num + 1
            for fields in reader:
                if len(fields) != len(names):
                    message = f"{len(fields)} fields, not {len(names)}"
                    raise BadInput(message, file=path, line=line)
                yield _row(path, line, dict(zip(names, fields, strict=True)))
                line = reader.line_num + 1
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadInput(f"is not CSV: {printable(str(error))}", file=path) from error
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror or error}", file=path) from error


def _row(path: Path, line: int, texts: dict[str, str]) -> _Row:
    values: dict[str, Any] = {}
    for column in COLUMNS:
        text = texts.get(column.name, "")
        try:
            values[column.name] = from_text(column.kind, text)
        except ValueError as error:
            message = printable(str(error))
            raise BadInput(message, file=path, line=line, field=column.name) from error
        if column.name in _NEEDED and values[column.name] in (None, ""):
            raise BadInput("is missing", file=path, line=line, field=column.name)
    for name, least in (("position", 1), ("repeat", 0), ("seconds", 0)):
        if not least <= values[name] < 2**31:
            raise BadInput(f"must be {least} or more", file=path, line=line, field=name)
    return _Row(path, line, values)
