"""Define the tables of a database of studies.

Times are seconds since 1970 (UTC). A database may hold many studies. What a rater said is
in `ratings` (the current answers), `drafts` (clicked, not yet submitted), `marks` (at turns),
`replies` (to questionnaires) and `actions` (all that happened). Rows are only ever added to the
last two; they go when a rater withdraws and wants that.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
    true,
)

#: Version of the tables below; a database of another one is refused and not touched.
VERSION = 5

metadata = MetaData()


class Json(TypeDecorator[Any]):
    """A column of JSON: written and read as the data; `holds` is object, array or any."""

    impl, cache_ok = Text, True

    def __init__(self, holds: str) -> None:
        super().__init__()
        self.holds = holds

    def process_bind_param(self, value: Any, dialect: object) -> str:
        return json.dumps(value, ensure_ascii=False)

    def process_result_value(self, value: Any, dialect: object) -> Any:
        return json.loads(value)


def _id() -> Column[int]:
    return Column("id", Integer, primary_key=True, autoincrement=True)


def _of(name: str, table: str = "", *, nullable: bool = False, key: bool = False) -> Column[int]:
    target = ForeignKey(f"{table or name + 's'}.id")
    return Column(f"{name}_id", Integer, target, nullable=nullable, primary_key=key)


schema_version = Table("schema_version", metadata, Column("version", Integer, primary_key=True))

studies = Table(
    "studies",
    metadata,
    _id(),
    Column("name", String(64), nullable=False, unique=True),
    Column("design", Json("object"), nullable=False),
    Column("systems", Json("array"), nullable=False),  # an order's numbers point into it
    Column("state", String(16), nullable=False),  # open, paused, closed
    Column("created_at", Double, nullable=False),
)

#: What is rated: the dialogues of all systems with one user, or an attention check.
items = Table(
    "items",
    metadata,
    _id(),
    _of("study", "studies"),
    Column("kind", String(16), nullable=False),  # item, attention
    Column("number", Integer, nullable=False),  # from 0, in each kind
    Column("name", String(200), nullable=False),
    Column("scenario", String(200), nullable=False),
    Column("seed", BigInteger, nullable=False),
    UniqueConstraint("study_id", "kind", "number"),
    UniqueConstraint("study_id", "name"),
)

dialogues = Table(
    "dialogues",
    metadata,
    _of("item", key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),  # of the system in the order
    Column("system", String(200), nullable=False),
    Column("shown", Json("array"), nullable=False),  # what a page may show
    Column("audio", String(200), nullable=False),  # file in the study's folder; "" for none
    Column("source", Text, nullable=False),  # the transcript's path, as it was given
    Column("sha256", String(64), nullable=False),  # of the transcript
)

raters = Table(
    "raters",
    metadata,
    _id(),
    _of("study", "studies"),
    Column("number", Integer, nullable=False),  # from 0: the row of the rater's Williams square
    Column("name", String(64), nullable=False),  # in the data; says nothing about the person
    Column("panel_key", String(64), nullable=True),  # hash of link and panel id, for panels
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),  # at the comprehension check
    Column("code", String(64), nullable=True),  # for the completion
    Column("synthetic", Boolean, nullable=False, server_default=false()),
    Column("language", String(35), nullable=True),  # of the pages, if the rater could choose
    Column("created_at", Double, nullable=False),
    Column("revoked_at", Double, nullable=True),
    Column("withdrawn_at", Double, nullable=True),
    UniqueConstraint("study_id", "number"),
    UniqueConstraint("study_id", "name"),
    UniqueConstraint("study_id", "panel_key"),
)

#: Who may open what. Only hashes of the tokens are kept.
tokens = Table(
    "tokens",
    metadata,
    _id(),
    _of("study", "studies"),
    _of("rater", nullable=True),
    Column("kind", String(16), nullable=False),  # rater, panel, admin
    Column("sha256", String(64), nullable=False, unique=True),
    Column("label", String(200), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=True),
    Column("revoked_at", Double, nullable=True),
)

#: What a rater was given, in order, and how the dialogues stand on it.
pages = Table(
    "pages",
    metadata,
    _id(),
    _of("rater"),
    _of("item"),
    Column("position", Integer, nullable=False),  # from 0
    Column("repeat", Integer, nullable=False),  # 0: the first time
    Column("placement", Integer, nullable=False),  # index into pages.orders
    Column("given_at", Double, nullable=False),
    Column("touched_at", Double, nullable=False),
    Column("submitted_at", Double, nullable=True),
    Column("seconds", Double, nullable=False),  # time on task so far
    Column("comment", Text, nullable=False),
    UniqueConstraint("rater_id", "position"),
    UniqueConstraint("rater_id", "item_id", "repeat"),
)

drafts = Table(
    "drafts",
    metadata,
    _of("page", key=True),
    Column("criterion", String(40), primary_key=True),
    Column("answer", Json("object"), nullable=False),
    Column("at", Double, nullable=False),
)

ratings = Table(
    "ratings",
    metadata,
    _of("rater", key=True),
    _of("item", key=True),
    Column("repeat", Integer, primary_key=True, autoincrement=False),
    Column("criterion", String(40), primary_key=True),
    _of("page"),
    Column("answer", Json("object"), nullable=False),
    Column("submitted_at", Double, nullable=False),
    Column("revisions", Integer, nullable=False),  # how often it was submitted again
)

#: What a rater marked at a turn of a dialogue; as it stands now, on submitted pages or not.
marks = Table(
    "marks",
    metadata,
    _of("page", key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),  # of the dialogue on the page
    Column("turn", Integer, primary_key=True, autoincrement=False),  # of its utterances, from 0
    Column("mark", String(40), primary_key=True),  # a name of the design
    Column("at", Double, nullable=False),
)

#: What a rater said in the questionnaires.
replies = Table(
    "replies",
    metadata,
    _of("rater", key=True),
    Column("question", String(40), primary_key=True),  # a name of the design
    Column("reply", Json("any"), nullable=False),  # a text, a number or a list of texts
    Column("at", Double, nullable=False),
)

actions = Table(
    "actions",
    metadata,
    _id(),
    _of("study", "studies"),
    _of("rater", nullable=True),
    _of("page", nullable=True),
    Column("kind", String(24), nullable=False),
    Column("at", Double, nullable=False),
    Column("seconds", Double, nullable=False),  # on the page since the last action, idling capped
    Column("data", Json("object"), nullable=False),
    Column("key", String(64), nullable=True),  # of a submission: the same is stored once
    UniqueConstraint("rater_id", "key"),
)
Index("actions_of_rater", actions.c.rater_id, actions.c.id)
Index("pages_of_item", pages.c.item_id)


def counted(withdrawn: bool) -> ColumnElement[bool]:
    """Return the condition that a rater did not withdraw; or none, if those count, too."""
    return true() if withdrawn else raters.c.withdrawn_at.is_(None)
