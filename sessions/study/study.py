"""A study: made once from a design and dialogues (`creation`), opened by everything else.

STUDY/study.json      which study of which kind of database this folder is
STUDY/design.yaml     the design, complete, to read; the database has its own copy
STUDY/study.sqlite    the database, if DUO_DATABASE_URL does not name another
STUDY/audio/          sound files, under names that say nothing
STUDY/manifest.json   versions, arguments, hashes
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from duo.errors import BadInput
from sessions.study.design import Design
from sessions.study.store import VARIABLE, Database, database_url, items, studies

STATES = ("open", "paused", "closed")
MARKER = "study.json"
SCHEMA = 1


@dataclass(frozen=True)
class Study:
    """An open study; may be used by many threads at once.

    Attributes:
        name: in the database and in exports.
        id: of its row in the database.
        systems: in the order that `assignment.orders` numbers.
        items: how many are rated; without the attention checks.
        attention: how many attention checks there are.
        clock: seconds since 1970; replaced by tests and simulations.
    """

    folder: Path
    name: str
    id: int
    database: Database
    design: Design
    systems: tuple[str, ...]
    items: int
    attention: int
    clock: Callable[[], float] = field(default=time.time)

    @property
    def pages_wanted(self) -> int:
        """Items that one rater is asked to rate."""
        return min(self.design.pages_per_rater or self.items, self.items)

    def state(self, connection: Connection) -> str:
        """Whether raters may come in: "open", "paused" or "closed"."""
        return str(
            connection.execute(select(studies.c.state).where(studies.c.id == self.id)).scalar_one()
        )

    def lock(self, connection: Connection) -> None:
        """Let no other transaction give out pages or numbers until this one is over.

        Whoever locks a study and a rater locks the study first.
        """
        row = select(studies.c.id).where(studies.c.id == self.id)
        connection.execute(row.with_for_update(key_share=True)).one()


def open_study(folder: Path, *, clock: Callable[[], float] = time.time) -> Study:
    """Open the study in a folder.

    Raises:
        BadInput: there is none, it was not finished, its database is elsewhere, or the database is
            of a newer version.
    """
    folder = Path(folder)
    name = begun(folder, must=True)
    url = database_url(folder)
    if not isinstance(url, str) and not Path(url.database or "").exists():
        raise BadInput(
            f"its database is not here: was it made with {VARIABLE} set?", file=folder / MARKER
        )
    database = Database(url)
    row = row_of(database, name)
    if row is None:
        raise BadInput(
            f"study {name} is not in the database: finish `duo study create`, or set {VARIABLE} "
            "to what it was then",
            file=folder / MARKER,
        )
    with database.read() as connection:
        kinds = list(
            connection.execute(select(items.c.kind).where(items.c.study_id == row.id)).scalars()
        )
    return Study(
        folder=folder,
        name=name,
        id=row.id,
        database=database,
        design=Design.model_validate_json(row.design),
        systems=tuple(json.loads(row.systems)),
        items=kinds.count("item"),
        attention=kinds.count("attention"),
        clock=clock,
    )


def set_state(study: Study, state: str) -> None:
    """Open, pause or close a study.

    While it is paused, no rater gets a new page, but what they have can be finished. A closed study
    takes no answers at all.
    """
    from sessions.study.history import record

    with study.database.write() as connection:
        before = study.state(connection)
        connection.execute(studies.update().where(studies.c.id == study.id).values(state=state))
        record(connection, study, "study", data={"from": before, "to": state})


def row_of(database: Database, name: str) -> Any:
    """The study's row in the database, or None."""
    with database.read() as connection:
        return connection.execute(select(studies).where(studies.c.name == name)).one_or_none()


def begun(folder: Path, *, must: bool = False) -> str:
    """The name of the study that was made or begun in a folder; "" if none was."""
    marker = folder / MARKER
    try:
        content = json.loads(marker.read_text(encoding="utf-8"))
        schema, name = content["schema"], content["study"]
    except FileNotFoundError:
        if must:
            raise BadInput("is not a study (it has no study.json)", file=folder) from None
        return ""
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror or error}", file=marker) from error
    except (ValueError, LookupError, TypeError) as error:
        raise BadInput("does not say which study this is", file=marker) from error
    if schema != SCHEMA:
        raise BadInput(f"schema {schema!r} is not {SCHEMA}: update duo", file=marker)
    return str(name)
