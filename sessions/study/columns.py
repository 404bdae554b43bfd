"""The export's columns: their order, types and meanings, and how a vote becomes a row and back.

One row is one comparison of two dialogues by one rater on one criterion. With more than two systems
on a page, a page gives a row for each pair of them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sessions.study.votes import Vote

Kind = Literal["text", "integer", "number", "true or false", "time"]


@dataclass(frozen=True)
class Column:
    """A column; `values` says in words what may stand in it."""

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

#: Text that a spreadsheet would run as a formula; in CSV an apostrophe stands before it.
_FORMULA = re.compile(r"^'*[=+\-@\t\r]")


def as_row(study: str, vote: Vote) -> dict[str, Any]:
    """The row of a vote, by column; `submitted_at` is a time, lists are JSON."""
    return {
        "study": study,
        "rater": vote.rater,
        "item": vote.item,
        "scenario": vote.scenario,
        "repeat": vote.repeat,
        "criterion": vote.criterion,
        "system_left": vote.system_left,
        "system_right": vote.system_right,
        "choice": vote.choice,
        "winner": vote.winner,
        "seconds": round(vote.seconds, 3),
        "submitted_at": datetime.fromtimestamp(vote.submitted_at, UTC),
        "attention": vote.attention,
        "passed": vote.passed,
        "synthetic": vote.synthetic,
        "position": vote.position,
        "side": "left" if vote.system_left < vote.system_right else "right",
        "order": json.dumps(vote.order, ensure_ascii=False),
        "ranking": json.dumps(vote.ranking),
        "all_bad": vote.all_bad,
        "seed": vote.seed,
        "revisions": vote.revisions,
        "rater_number": vote.rater_number,
        "rater_state": vote.rater_state,
        "revoked": vote.revoked,
        "comment": vote.comment,
    }


def as_text(value: Any) -> str:
    """A value as CSV has it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
    text = str(value)
    return f"'{text}" if isinstance(value, str) and _FORMULA.match(text) else text


def from_text(kind: Kind, text: str) -> Any:
    """The value of a CSV field.

    Raises:
        ValueError: it is none of this kind; the message says what is wanted.
    """
    if kind == "text":
        return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
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
