"""Open a study, which `materials` made of a design and dialogues, and keep its history.

STUDY/study.json      which study of which kind of database this folder is
STUDY/design.yaml     the design, complete, to read; the database has its own copy
STUDY/study.sqlite    the database, if DUO_DATABASE_URL does not name another
STUDY/audio/          sound files, under names that say nothing
STUDY/talks/          recordings of a live study: RATER/PAGE-CONVERSATION-ATTEMPT/TOPIC.jsonl, .flac
STUDY/manifest.json   versions, arguments, hashes
STUDY/address         where it was last served: links begin with it; talk-address: the talks of it
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from sqlalchemy import Connection, select

from duo.errors import BadInput, check_choice
from duo.files import Result, read_result, read_text, validate, write_text
from sessions.study.blinding import Dialogue
from sessions.study.design import About, Design
from sessions.study.store import VARIABLE, Database, database_url
from sessions.study.tables import actions, dialogues, items, pages, studies

STATES = ("open", "paused", "closed")
MARKER = "study.json"
SCHEMA = 1
ADDRESS = "address"
TALK_ADDRESS = "talk-address"


class Marker(Result):
    """Says which study of which kind of database a folder is: `study.json`."""

    kind: Literal["study"] = "study"
    schema_version: int = Field(alias="schema")
    study: str
    database: str = ""


@dataclass(frozen=True)
class Study:
    """An open study; may be used by many threads at once.

    Attributes:
        name: in the database and in exports.
        id: of its row in the database.
        systems: in the order that `pages.orders` numbers.
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

    @property
    def repeats(self) -> int:
        """Items that one rater sees once more."""
        return self.design.checks.repeats_for(self.pages_wanted)

    def state(self, connection: Connection) -> str:
        """Return whether raters may come in: "open", "paused" or "closed"."""
        return str(
            connection.execute(select(studies.c.state).where(studies.c.id == self.id)).scalar_one()
        )

    @property
    def address(self) -> str:
        """Where raters reach the server: as the design says, or as it was last served."""
        if self.design.address:
            return self.design.address
        path = self.folder / ADDRESS
        return read_text(path).strip() if path.exists() else "http://localhost:8501"

    @property
    def talk_address(self) -> str:
        """Where participants of a live study talk, as it was last served."""
        return read_text(self.folder / TALK_ADDRESS).strip()

    def lock(self, connection: Connection) -> None:
        """Keep other transactions from giving out pages or numbers until this one is over.

        Whoever locks a study and a rater locks the study first.
        """
        row = select(studies.c.id).where(studies.c.id == self.id)
        connection.execute(row.with_for_update(key_share=True)).one()


def open_study(folder: Path) -> Study:
    """Open the study in a folder.

    Raises:
        BadInput: there is none, it was not finished, its database is elsewhere, or the database is
            of another version.
    """
    folder = Path(folder)
    name = begun(folder)
    if not name:
        raise BadInput("is not a study (it has no study.json)", file=folder)
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
        design=validate(row.design, Design, file=database.place),
        systems=tuple(row.systems),
        items=kinds.count("item"),
        attention=kinds.count("attention"),
    )


def need_recorded(study: Study) -> None:
    """Raise `BadInput` if a study is a live one, whose dialogues are different for each rater."""
    if study.design.live is not None:
        raise BadInput("is a live study: this is for recorded dialogues", file=study.folder)


def set_state(study: Study, state: str) -> None:
    """Open, pause or close a study.

    While it is paused, no rater gets a new page, but what they have can be finished. A closed study
    takes no answers at all.

    Raises:
        BadInput: there is no such state.
    """
    check_choice("state", state, STATES)
    with study.database.write() as connection:
        before = study.state(connection)
        connection.execute(studies.update().where(studies.c.id == study.id).values(state=state))
        record(connection, study, "study", data={"from": before, "to": state})


def set_address(study: Study, address: str, name: str = ADDRESS) -> None:
    """Note where raters reach the server, for later links; `name` TALK_ADDRESS: where they talk."""
    write_text(study.folder / name, address + "\n")


def set_about(study: Study, facts: Mapping[str, str]) -> Study:
    """Say on the consent page what people should know; return the study that says it.

    Args:
        facts: by field of `design.About`; the others stay.

    Raises:
        BadInput: no such text.
    """
    about = validate(study.design.about.model_dump() | dict(facts), About)
    design = study.design.model_copy(update={"about": about})
    design = Design.model_validate_json(design.model_dump_json())  # in its other languages, too
    with study.database.write() as connection:
        own = studies.update().where(studies.c.id == study.id)
        connection.execute(own.values(design=design.model_dump(mode="json")))
        record(connection, study, "about", data={"facts": dict(facts)})
    write_text(study.folder / "design.yaml", design.as_yaml())
    return replace(study, design=design)


def record(
    connection: Connection,
    study: Study,
    kind: str,
    *,
    rater: int | None = None,
    page: int | None = None,
    data: Mapping[str, Any] | None = None,
    key: str | None = None,
) -> float:
    """Add an action to the history, and its time to the page's time on task; return when it was.

    The time on task of an action is the time since the rater's last action if that was on the same
    page, but at most `checks.idle_seconds`: who leaves for lunch does not think for an hour.
    """
    now = study.clock()
    seconds = 0.0
    if page is not None:
        last = last_action(connection, rater)
        if last is not None and last.page_id == page and kind != "talked":  # that is no rating
            seconds = min(max(now - last.at, 0.0), study.design.checks.idle_seconds)
        connection.execute(
            pages.update()
            .where(pages.c.id == page)
            .values(seconds=pages.c.seconds + seconds, touched_at=now)
        )
    connection.execute(
        actions.insert().values(
            study_id=study.id,
            rater_id=rater,
            page_id=page,
            kind=kind,
            at=now,
            seconds=seconds,
            data=dict(data or {}),
            key=key,
        )
    )
    return now


def last_action(connection: Connection, rater: int | None, *kinds: str) -> Any:
    """Return the rater's last action (of these kinds, if any are given), or None."""
    mine = actions.c.rater_id == rater, *([actions.c.kind.in_(kinds)] if kinds else [])
    last = select(actions).where(*mine).order_by(actions.c.id.desc()).limit(1)
    return connection.execute(last).one_or_none()


@dataclass(frozen=True)
class StoredItem:
    """An item of a study, without the dialogues' texts.

    Attributes:
        kind: "item" or "attention".
        systems: of its dialogues, in the study's order; `hashes` are the transcripts' SHA-256.
    """

    id: int
    kind: str
    number: int
    name: str
    systems: tuple[str, ...]
    hashes: tuple[str, ...]


def stored_items(connection: Connection, study: Study) -> list[StoredItem]:
    """Return all items of a study, by kind and number."""
    rows = connection.execute(
        select(items, dialogues.c.system, dialogues.c.sha256)
        .join(dialogues, dialogues.c.item_id == items.c.id)
        .where(items.c.study_id == study.id)
        .order_by(items.c.kind, items.c.number, dialogues.c.place)
    )
    found = [list(group) for _, group in groupby(rows, key=attrgetter("id"))]
    return [
        StoredItem(
            group[0].id,
            group[0].kind,
            group[0].number,
            group[0].name,
            tuple(row.system for row in group),
            tuple(row.sha256 for row in group),
        )
        for group in found
    ]


def shown_dialogues(
    connection: Connection, study: Study, *kinds: str
) -> dict[str, dict[str, Dialogue]]:
    """Return the dialogues of items (of these kinds, if any are given) by item and system."""
    wanted = [items.c.kind.in_(kinds)] if kinds else []
    rows = connection.execute(
        select(items.c.name, dialogues.c.system, dialogues.c.shown)
        .join(items, dialogues.c.item_id == items.c.id)
        .where(items.c.study_id == study.id, *wanted)
        .order_by(items.c.kind, items.c.number, dialogues.c.place)
    )
    found: dict[str, dict[str, Dialogue]] = {}
    for row in rows:
        found.setdefault(row.name, {})[row.system] = Dialogue.from_data(row.shown)
    return found


def row_of(database: Database, name: str) -> Any:
    """Return the study's row in the database, or None."""
    with database.read() as connection:
        return connection.execute(select(studies).where(studies.c.name == name)).one_or_none()


def begun(folder: Path) -> str:
    """Return the name of the study that was made or begun in a folder; "" if none was.

    Raises:
        BadInput: the file that says so cannot be read, or is of another version.
    """
    path = folder / MARKER
    if not path.exists():
        return ""
    marker = read_result(path, Marker)
    if marker.schema_version != SCHEMA:
        raise BadInput(f"schema {marker.schema_version} is not {SCHEMA}: update duo", file=path)
    return marker.study
