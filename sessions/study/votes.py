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
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, select

from duo.csv_file import csv_text
from duo.files import whole_file, write_text
from duo.table import Table
from sessions.study.materials import WANTED
from sessions.study.pages import orders
from sessions.study.study import Study, stored_items
from sessions.study.tables import actions, counted, dialogues, items, pages, raters, ratings
from sessions.study.talks import all_talks
from sessions.study.views import Answer

Kind = Literal["text", "integer", "number", "true or false", "time"]

_KINDS: dict[str, Kind] = {
    "str": "text",
    "int": "integer",
    "int | None": "integer",
    "float": "number",
    "float | None": "number",
    "bool": "true or false",
    "bool | None": "true or false",
    "datetime": "time",
}


def _column(meaning: str, values: str = "", *, derived: bool = False, **default: Any) -> Any:
    return field(init=not derived, metadata={"meaning": meaning, "values": values}, **default)


@dataclass(frozen=True)
class Vote:
    """What one rater says of two dialogues on one criterion; a row of the export."""

    study: str = _column("Name of the study.")
    rater: str = _column("Name of the rater; says nothing about the person.")
    item: str = _column("What was compared: the scenario, with its seed if there are more.")
    scenario: str = _column("Name of the scenario that both systems were recorded on.")
    repeat: int = _column("0: the rater saw the item first; 1: once more.", "0, 1")
    criterion: str = _column("What the dialogues were compared in.", "names of the design")
    system_left: str = _column("System of the dialogue that stood further to the left.")
    system_right: str = _column("System of the dialogue that stood further to the right.")
    choice: str = _column("Which one the rater found better.", "left, right, tie, both_bad")
    winner: str = _column(
        "The same as the name of the system.", "a system, tie, both_bad", derived=True
    )
    seconds: float = _column("Time on task of the whole page; long idling is capped.", ">= 0")
    submitted_at: datetime = _column(  # noqa: RUF009 - as all of these, a field
        "When this answer was last submitted.", "ISO 8601, UTC"
    )
    attention: bool = _column("The page is an attention check, not data.")
    passed: bool | None = _column("Whether the attention check was passed.", "empty: no check")
    synthetic: bool = _column("The rater is a program, not a person.")
    position: int = _column("Number of the page for this rater.", ">= 1")
    side: str = _column("Where the first of the two (by name) stood.", "left, right", derived=True)
    order: str = _column("Systems on the page from left to right.", "JSON list")
    ranking: str = _column("Their ranks in the same order; 1 is best, ties equal.", "JSON list")
    all_bad: bool = _column("The rater marked all dialogues of the page as bad.")
    seed: int = _column("Seed of the recordings.")
    revisions: int = _column("How often the page was submitted again.", ">= 0")
    rater_number: int = _column("Row of the rater in the counterbalancing.", ">= 0")
    rater_state: str = _column("How far the rater came.", "rating, finished ...")
    revoked: bool = _column("The rater was revoked; the row is kept.")
    comment: str = _column("What the rater wrote about the page.")
    opened: str = _column("Dialogues that were opened on the page.", "JSON list", default="[]")
    replayed: str = _column("Dialogues that were replayed.", "JSON list", default="[]")
    question_seconds: float | None = _column(
        "Time that led to the clicks on this question.", "empty: not known", default=None
    )
    panel_study: str = _column("The panel's id of its study.", "empty: none", default="")
    panel_session: str = _column("The panel's id of the session.", "empty: none", default="")
    strength: str = _column(
        "How strong the preference is.", "a level of the design; empty: not said", default=""
    )
    language: str = _column(
        "Of the rater's pages, where there are several.", "empty: the design's", default=""
    )
    withdrawn: bool = _column("The rater withdrew, but left the answers.", default=False)
    words_left: int | None = _column(
        "Words that the assistant says in the dialogue on the left.", ">= 0", default=None
    )
    words_right: int | None = _column(
        "Words that the assistant says in the dialogue on the right.", ">= 0", default=None
    )

    def __post_init__(self) -> None:
        sides = {"left": self.system_left, "right": self.system_right}
        object.__setattr__(self, "winner", sides.get(self.choice, self.choice))
        side = "left" if self.pair[0] == self.system_left else "right"
        object.__setattr__(self, "side", side)

    @property
    def pair(self) -> tuple[str, str]:
        """The two systems by name, wherever they stood."""
        first, second = sorted((self.system_left, self.system_right))
        return first, second

    def row(self) -> dict[str, Any]:
        """Return it by the export's columns, in their order."""
        return {name: getattr(self, name) for name in NAMES}


@dataclass(frozen=True)
class Column:
    """A column of the export; `values` says in words what may stand in it."""

    name: str
    kind: Kind
    values: str
    meaning: str


COLUMNS = tuple(Column(one.name, _KINDS[str(one.type)], **one.metadata) for one in fields(Vote))
NAMES = tuple(column.name for column in COLUMNS)


def votes(study: Study, *, withdrawn: bool = False) -> list[Vote]:
    """Return all votes, by rater, page, criterion (in the design's order) and pair.

    `withdrawn`: those, too, of raters who withdrew but left their answers.
    """
    rank = {name: place for place, name in enumerate(study.design.criterion_names)}
    with study.database.read() as connection:
        systems = {item.id: item.systems for item in stored_items(connection, study)}
        rows = connection.execute(
            select(
                ratings.c.criterion,
                ratings.c.submitted_at,
                ratings.c.revisions,
                pages.c.repeat,
                pages.c.seconds,
                pages.c.comment,
                items.c.name.label("item"),
                items.c.scenario,
                items.c.seed,
                raters.c.name.label("rater"),
                raters.c.number.label("rater_number"),
                raters.c.state.label("rater_state"),
                raters.c.synthetic,
                raters.c.language,
                # not columns of the export:
                ratings.c.answer,
                pages.c.id.label("page"),
                pages.c.position.label("before"),
                pages.c.placement,
                items.c.id.label("item_id"),
                raters.c.id.label("rater_id"),
                items.c.kind,
                raters.c.revoked_at,
                raters.c.withdrawn_at,
            )
            .join(pages, ratings.c.page_id == pages.c.id)
            .join(items, ratings.c.item_id == items.c.id)
            .join(raters, ratings.c.rater_id == raters.c.id)
            .where(raters.c.study_id == study.id)
            .where(counted(withdrawn))
        ).all()
        panels = _panels(connection, study)
        looks = _looks(connection, study)
        lengths = _lengths(connection, study)
    talked: dict[int, dict[str, int]] = defaultdict(dict)  # the last attempt counts
    for talk in all_talks(study, withdrawn=withdrawn):
        talked[talk.page][talk.system] = talk.words
    rows = sorted(rows, key=lambda row: (row.rater_number, row.before, rank.get(row.criterion, 99)))
    by_page = (list(group) for _, group in groupby(rows, key=attrgetter("page")))
    return [
        vote
        for page in by_page
        for vote in _votes_of(
            study,
            page,
            systems[page[0].item_id],
            panels.get(page[0].rater_id, {}),
            looks.get(page[0].page, _Look()),
            talked.get(page[0].page) or lengths[page[0].item_id],
        )
    ]


def _lengths(connection: Connection, study: Study) -> dict[int, dict[str, int]]:
    """Count the words that the assistant says, by item and system.

    In the stored text: to make dialogues of it would take several times as long.
    """
    rows = connection.execute(
        select(dialogues.c.item_id, dialogues.c.system, dialogues.c.shown)
        .join(items, dialogues.c.item_id == items.c.id)
        .where(items.c.study_id == study.id)
    )
    found: dict[int, dict[str, int]] = defaultdict(dict)
    for row in rows:
        said = (word["who"] == "assistant" for word in row.shown)
        found[row.item_id][row.system] = sum(said)
    return found


def _panels(connection: Connection, study: Study) -> dict[int, dict[str, str]]:
    """Return the panel's ids, which the history has, of each rater who has any."""
    rows = connection.execute(
        select(actions.c.rater_id, actions.c.data).where(
            actions.c.study_id == study.id,
            actions.c.kind.in_(("invite", "import")),
            actions.c.rater_id.is_not(None),
            actions.c.page_id.is_(None),
        )
    )
    return {row.rater_id: row.data.get("panel", {}) for row in rows}


@dataclass(frozen=True)
class _Look:
    """What a rater did on a page before answering; time by criterion, in seconds."""

    opened: set[str] = field(default_factory=set)
    replayed: set[str] = field(default_factory=set)
    seconds: dict[str, float] = field(default_factory=dict)


def _looks(connection: Connection, study: Study) -> dict[int, _Look]:
    """Return what was done on each page, from the history.

    The time of a click is the time since the rater's last action on the page.
    """
    rows = connection.execute(
        select(actions.c.page_id, actions.c.seconds, actions.c.data).where(
            actions.c.study_id == study.id,
            actions.c.kind.in_(("draft", "exposure", "import")),
            actions.c.page_id.is_not(None),
        )
    )
    found: dict[int, _Look] = defaultdict(_Look)
    for row in rows:
        look = found[row.page_id]
        look.opened.update(row.data.get("opened", ()))
        look.replayed.update(row.data.get("replayed", ()))
        if criterion := row.data.get("criterion"):
            look.seconds[criterion] = look.seconds.get(criterion, 0.0) + row.seconds
    return found


def passed(choices: dict[str, str], order: tuple[str, ...]) -> bool:
    """Tell whether an attention check was passed: the dialogue that asks for it wins most criteria.

    Args:
        choices: "left", "right", "tie" or "both_bad" by criterion.
        order: the check's dialogues from left to right.
    """
    side = "left" if order[0] == WANTED else "right"
    return 2 * sum(choice == side for choice in choices.values()) > len(choices)


def export(study: Study, path: Path, *, withdrawn: bool = False) -> int:
    """Write `path` (CSV), and beside it the Parquet file and the dictionary; count the rows.

    Raises:
        BadInput: the files cannot be written.
    """
    held = votes(study, withdrawn=withdrawn)
    write_text(path, votes_table(held).csv())
    explained = [[one.name, one.kind, one.values, one.meaning] for one in COLUMNS]
    dictionary = Table("", ("column", "type", "values", "meaning"), explained)
    write_text(path.with_suffix(".dictionary.csv"), dictionary.csv())
    _write_parquet(path.with_suffix(".parquet"), [vote.row() for vote in held])
    return len(held)


def votes_table(held: Iterable[Vote]) -> Table:
    """Tabulate votes, one a row; times are text."""
    rows = (vote.row() | {"submitted_at": moment(vote.submitted_at)} for vote in held)
    return Table("Ratings", NAMES, [list(row.values()) for row in rows])


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


def _votes_of(
    study: Study,
    page: list[Any],
    systems: tuple[str, ...],
    panel: Mapping[str, str],
    look: _Look,
    lengths: Mapping[str, int],
) -> Iterator[Vote]:
    """Yield the votes of one page, of which there is a row for each criterion."""
    order = tuple(systems[place] for place in orders(len(systems))[page[0].placement])
    answers = {row.criterion: Answer.from_data(row.answer) for row in page}
    choices = {criterion: answer.choice for criterion, answer in answers.items()}
    attention = page[0].kind == "attention"
    for row in page:
        answer, spent = answers[row.criterion], look.seconds.get(row.criterion)
        facts = {name: value for name, value in row._mapping.items() if name in NAMES} | {
            "study": study.name,
            "seconds": round(row.seconds, 3),
            "submitted_at": datetime.fromtimestamp(row.submitted_at, UTC),
            "attention": attention,
            "passed": passed(choices, order) if attention else None,
            "synthetic": bool(row.synthetic),
            "position": row.before + 1,
            "order": json.dumps(order, ensure_ascii=False),
            "ranking": json.dumps(answer.ranks),
            "all_bad": answer.both_bad,
            "revoked": row.revoked_at is not None,
            "opened": json.dumps(sorted(look.opened)),
            "replayed": json.dumps(sorted(look.replayed)),
            "question_seconds": None if spent is None else round(spent, 3),
            "panel_study": panel.get("study", ""),
            "panel_session": panel.get("session", ""),
            "strength": answer.strength,
            "language": row.language or "",
            "withdrawn": row.withdrawn_at is not None,
        }
        for left, right, choice in answer.pairs():
            yield Vote(
                **facts,
                system_left=order[left],
                system_right=order[right],
                choice=choice,
                words_left=lengths[order[left]],
                words_right=lengths[order[right]],
            )


def moment(at: datetime) -> str:
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
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
    table = pa.Table.from_pylist(rows, schema)
    with whole_file(path, "wb") as stream:
        parquet.write_table(table, stream)
