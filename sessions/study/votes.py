"""Derive the votes of a study from its ratings, and export them.

A vote is what one rater says of two dialogues on one criterion; a page with more than two gives a
vote for each pair of them. Exports, the administrator's page and the statistics are made from
votes. Only submitted answers are votes; drafts are not. An export is three files:

ratings.csv               long form, one row a vote; see `COLUMNS`
ratings.parquet           the same
ratings.dictionary.csv    what each column means
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import select

from duo.files import whole_file, write_text
from duo.table import Table, csv_text
from sessions.study.materials import INTACT
from sessions.study.pages import orders
from sessions.study.store import items, pages, raters, ratings
from sessions.study.study import Study, stored_items
from sessions.study.views import Answer

Kind = Literal["text", "integer", "number", "true or false", "time"]


@dataclass(frozen=True)
class Column:
    """A column of the export; `values` says in words what may stand in it."""

    name: str
    kind: Kind
    values: str
    meaning: str


COLUMNS = (
    Column("study", "text", "", "Name of the study."),
    Column("rater", "text", "", "Name of the rater; says nothing about the person."),
    Column("item", "text", "", "What was compared: the scenario, with its seed if there are more."),
    Column("scenario", "text", "", "Name of the scenario that both systems were recorded on."),
    Column("repeat", "integer", "0, 1", "0: the rater saw the item first; 1: once more."),
    Column("criterion", "text", "names of the design", "What the dialogues were compared in."),
    Column("system_left", "text", "", "System of the dialogue that stood further to the left."),
    Column("system_right", "text", "", "System of the dialogue that stood further to the right."),
    Column("choice", "text", "left, right, tie, both_bad", "Which one the rater found better."),
    Column("winner", "text", "a system, tie, both_bad", "The same as the name of the system."),
    Column("seconds", "number", ">= 0", "Time on task of the whole page; long idling is capped."),
    Column("submitted_at", "time", "ISO 8601, UTC", "When this answer was last submitted."),
    Column("attention", "true or false", "", "The page is an attention check, not data."),
    Column("passed", "true or false", "empty: no check", "Whether the attention check was passed."),
    Column("synthetic", "true or false", "", "The rater is a program, not a person."),
    Column("position", "integer", ">= 1", "Number of the page for this rater."),
    Column("side", "text", "left, right", "Where the first of the two (by name) stood."),
    Column("order", "text", "JSON list", "Systems on the page from left to right."),
    Column("ranking", "text", "JSON list", "Their ranks in the same order; 1 is best, ties equal."),
    Column("all_bad", "true or false", "", "The rater marked all dialogues of the page as bad."),
    Column("seed", "integer", "", "Seed of the recordings."),
    Column("revisions", "integer", ">= 0", "How often the page was submitted again."),
    Column("rater_number", "integer", ">= 0", "Row of the rater in the counterbalancing."),
    Column("rater_state", "text", "rating, finished ...", "How far the rater came."),
    Column("revoked", "true or false", "", "The rater was revoked; the row is kept."),
    Column("comment", "text", "", "What the rater wrote about the page."),
)
NAMES = tuple(column.name for column in COLUMNS)


@dataclass(frozen=True)
class Vote:
    """What one rater says of two dialogues on one criterion; `COLUMNS` say what the fields mean.

    Attributes:
        submitted_at: seconds since 1970.
        passed: None where the page is no attention check.
        order: the systems on the page, from left to right; `ranking` are their ranks, 1 is best.
    """

    study: str
    rater: str
    item: str
    scenario: str
    repeat: int
    criterion: str
    system_left: str
    system_right: str
    choice: str
    seconds: float
    submitted_at: float
    attention: bool
    passed: bool | None
    synthetic: bool
    position: int
    order: tuple[str, ...]
    ranking: tuple[int, ...]
    all_bad: bool
    seed: int
    revisions: int
    rater_number: int
    rater_state: str
    revoked: bool
    comment: str

    @property
    def winner(self) -> str:
        """The name of the system that the rater prefers, "tie" or "both_bad"."""
        sides = {"left": self.system_left, "right": self.system_right}
        return sides.get(self.choice, self.choice)

    @property
    def pair(self) -> tuple[str, str]:
        """The two systems by name, wherever they stood."""
        first, second = sorted((self.system_left, self.system_right))
        return first, second

    @property
    def side(self) -> str:
        """Where the first of the `pair` stood."""
        return "left" if self.pair[0] == self.system_left else "right"

    def row(self) -> dict[str, Any]:
        """Return it by the export's columns; `submitted_at` is a time, lists are JSON."""
        return {name: getattr(self, name) for name in NAMES} | {
            "seconds": round(self.seconds, 3),
            "submitted_at": datetime.fromtimestamp(self.submitted_at, UTC),
            "order": json.dumps(self.order, ensure_ascii=False),
            "ranking": json.dumps(self.ranking),
        }


def votes(study: Study) -> list[Vote]:
    """Return all votes, by rater, page, criterion (in the design's order) and pair."""
    rank = {name: place for place, name in enumerate(study.design.criterion_names)}
    with study.database.read() as connection:
        systems = {item.id: item.systems for item in stored_items(connection, study)}
        rows = connection.execute(
            select(
                ratings.c.criterion,
                ratings.c.answer,
                ratings.c.submitted_at,
                ratings.c.revisions,
                pages.c.id.label("page"),
                pages.c.position,
                pages.c.repeat,
                pages.c.placement,
                pages.c.seconds,
                pages.c.comment,
                items.c.id.label("item_id"),
                items.c.name.label("item"),
                items.c.kind,
                items.c.scenario,
                items.c.seed,
                raters.c.name.label("rater"),
                raters.c.number,
                raters.c.state,
                raters.c.synthetic,
                raters.c.revoked_at,
            )
            .join(pages, ratings.c.page_id == pages.c.id)
            .join(items, ratings.c.item_id == items.c.id)
            .join(raters, ratings.c.rater_id == raters.c.id)
            .where(raters.c.study_id == study.id)
        ).all()
    rows = sorted(rows, key=lambda row: (row.number, row.position, rank.get(row.criterion, 99)))
    by_page = (list(group) for _, group in groupby(rows, key=attrgetter("page")))
    return [vote for page in by_page for vote in _votes_of(study, page, systems[page[0].item_id])]


def passed(choices: dict[str, str], order: tuple[str, ...]) -> bool:
    """Tell whether an attention check was passed: the intact dialogue wins most criteria.

    Args:
        choices: "left", "right", "tie" or "both_bad" by criterion.
        order: the check's dialogues from left to right.
    """
    side = "left" if order[0] == INTACT else "right"
    return 2 * sum(choice == side for choice in choices.values()) > len(choices)


def export(study: Study, path: Path) -> int:
    """Write `path` (CSV), and beside it the Parquet file and the dictionary.

    Returns:
        How many rows there are.

    Raises:
        BadInput: the files cannot be written.
    """
    held = votes(study)
    write_text(path, votes_table(held).csv())
    explained = [[one.name, one.kind, one.values, one.meaning] for one in COLUMNS]
    dictionary = Table("", ("column", "type", "values", "meaning"), explained)
    write_text(path.with_suffix(".dictionary.csv"), dictionary.csv())
    _write_parquet(path.with_suffix(".parquet"), [vote.row() for vote in held])
    return len(held)


def votes_table(held: Sequence[Vote]) -> Table:
    """Tabulate votes, one a row."""
    rows = [vote.row() for vote in held]
    texts = [row | {"submitted_at": _moment(row["submitted_at"])} for row in rows]
    return Table("Ratings", NAMES, [[row[name] for name in NAMES] for row in texts])


def from_text(kind: Kind, text: str) -> Any:
    """Read a field of an exported CSV file.

    Raises:
        ValueError: it is none of this kind; the message says what is wanted.
    """
    if kind == "text":
        return csv_text(text)
    if not text:
        return None
    if kind == "true or false":
        if text.lower() not in ("true", "false"):
            raise ValueError("must be true or false")
        return text.lower() == "true"
    if kind == "time":
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError("must say its time zone")
        return moment.astimezone(UTC)
    return int(text) if kind == "integer" else float(text)


def _votes_of(study: Study, page: list[Any], systems: tuple[str, ...]) -> list[Vote]:
    """Return the votes of one page, of which there is a row for each criterion."""
    order = tuple(systems[place] for place in orders(len(systems))[page[0].placement])
    answers = {row.criterion: Answer.from_json(row.answer) for row in page}
    choices = {criterion: answer.choice for criterion, answer in answers.items()}
    attention = page[0].kind == "attention"
    return [
        Vote(
            study=study.name,
            rater=row.rater,
            item=row.item,
            scenario=row.scenario,
            repeat=row.repeat,
            criterion=row.criterion,
            system_left=order[left],
            system_right=order[right],
            choice=choice,
            seconds=row.seconds,
            submitted_at=row.submitted_at,
            attention=attention,
            passed=passed(choices, order) if attention else None,
            synthetic=bool(row.synthetic),
            position=row.position + 1,
            order=order,
            ranking=answers[row.criterion].ranks,
            all_bad=answers[row.criterion].both_bad,
            seed=row.seed,
            revisions=row.revisions,
            rater_number=row.number,
            rater_state=row.state,
            revoked=row.revoked_at is not None,
            comment=row.comment,
        )
        for row in page
        for left, right, choice in answers[row.criterion].pairs()
    ]


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _write_parquet(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow import parquet

    types: dict[Kind, pa.DataType] = {
        "text": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "true or false": pa.bool_(),
        "time": pa.timestamp("us", tz="UTC"),
    }
    schema = pa.schema(
        [
            pa.field(one.name, types[one.kind], metadata={"description": one.meaning})
            for one in COLUMNS
        ]
    )
    table = pa.Table.from_pylist(list(rows), schema=schema)
    with whole_file(path, "wb") as stream:
        parquet.write_table(table, stream)
