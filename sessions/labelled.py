"""Read labelled utterances as scenarios: each is spoken once, in the dialogue it comes from.

A line of such a file (JSON Lines, plain or gzipped) is

    {"id": "x-7", "context": [{"spk": "other", "text": "It rains."}], "text": "Oh, really?",
     "label": "backchannel", "needs_response": false}

`spk` is `self`, who says `text`, or `other`; other fields are passed over. What `self` said before
becomes the user's turns and what `other` said the assistant's; utterances in a row by one speaker
are one turn. The dialogue so far is the scenario's context, and the utterance is spoken a second
after the start, at the default rate. Interruptions, backchannels and acknowledgements are about
what the assistant says: where the last turn before one is the user's own, that turn is spoken too,
as a query, and the utterance two seconds into its answer.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from duo.errors import BadInput, check_choice, problems
from duo.files import read_json_lines
from sessions.scenario import Scenario, Spoken, UtteranceKind

#: The kind of utterance that a label stands for. What is asked or ordered ends a turn alike.
KIND_OF: dict[str, UtteranceKind] = {
    "query": "question",
    "question": "question",
    "directive": "question",
    "interruption": "interruption",
    "backchannel": "backchannel",
    "acknowledgement": "acknowledgement",
    "third_party_talk": "third_party",
    "self_talk": "self_talk",
    "statement": "statement",
    "narrative": "statement",
    "incomplete": "unfinished",
}

#: Kinds that need an answer that is being given.
_INTO_ANSWERS: tuple[UtteranceKind, ...] = ("interruption", "backchannel", "acknowledgement")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class _Turn(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    spk: Literal["self", "other"]
    text: str


class _Labelled(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    id: str | int
    context: list[_Turn] = []
    text: Spoken
    label: str
    needs_response: bool


def read_utterances(path: Path) -> tuple[Scenario, ...]:
    """A scenario for each line of a file, in its order.

    Raises:
        BadInput: the file cannot be read, a line is no labelled utterance, or there are none; names
            file, line and field.
    """
    if not path.is_file():
        raise BadInput("cannot be read: no such file", file=path)
    scenarios: list[Scenario] = []
    lines: dict[str, int] = {}
    for number, record in read_json_lines(path):
        scenario = _scenario(record, path, number)
        first = lines.setdefault(scenario.name.casefold(), number)
        if first != number:
            raise BadInput(f"is taken by line {first}", file=path, line=number, field="id")
        scenarios.append(scenario)
    if not scenarios:
        raise BadInput("holds no utterances", file=path)
    return tuple(scenarios)


def _scenario(record: Any, path: Path, line: int) -> Scenario:
    try:
        labelled = _Labelled.model_validate(record)
        check_choice("label", labelled.label, tuple(KIND_OF))
        return Scenario.model_validate(_content(labelled))
    except ValidationError as error:
        problem = next(problems(error))
        # What the schema of scenarios calls an utterance's label follows from this field alone.
        field = "needs_response" if (problem.field or "").endswith("].label") else problem.field
        raise BadInput(problem.message, file=path, line=line, field=field) from None
    except BadInput as error:
        raise BadInput(error.message, file=path, line=line, field=error.field) from None


def _content(labelled: _Labelled) -> dict[str, Any]:
    """The fields of the utterance's scenario."""
    kind = KIND_OF[labelled.label]
    context = list(_turns(labelled.context))
    utterances: list[dict[str, Any]] = []
    start = {"at": 1.0}
    if kind in _INTO_ANSWERS and context and "user" in context[-1]:
        asked = context.pop()["user"]
        utterances.append({"id": "first", "label": "query", "kind": "question", "say": asked})
        utterances[0] |= start
        start = {"into_answer": 2.0}
    label = "query" if labelled.needs_response else "non_query"
    utterances.append({"id": "event", **start, "label": label, "kind": kind, "say": labelled.text})
    return {
        "name": _name(str(labelled.id)),
        "language": "en",
        "description": f"Labelled {labelled.label}.",
        "context": context,
        "utterances": utterances,
    }


def _turns(context: Sequence[_Turn]) -> Iterator[dict[str, str]]:
    """Join utterances in a row by one speaker to turns."""
    spoken = [turn for turn in context if turn.text.strip()]
    for speaker, group in groupby(spoken, key=lambda turn: turn.spk):
        side = "user" if speaker == "self" else "assistant"
        yield {side: " ".join(turn.text.strip() for turn in group)}


def _name(id: str) -> str:
    """The id as a scenario's name; one that cannot be is told apart by its hash."""
    if _NAME.fullmatch(id):
        return id
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", id).strip("-._")[:50] or "utterance"
    return f"{plain}-{hashlib.sha256(id.encode()).hexdigest()[:8]}"
