"""The transcript of a conversation: one header line, then one line an event (JSON Lines).

A transcript says what was said and decided *on the conversation's clock*, in seconds from its
start; what it cost is counted in forward passes and tokens. Machine times are in the manifest, so
that a simulated recording is the same bytes every time.

Kinds of event, by channel:

- `input`: `utterance` (one whole utterance of the user, with its label), `word` (a word heard),
  `revision` (the recogniser replaces all that was heard of the utterance), and of the system's own
  `fork`, `predicted`, `respond`, `ignore`;
- `output`: `speech`, `answer_end`, `cut`, `note` (something the reader should know, in words);
- `system`: `cycle` (forward passes and tokens of one cycle) and the recorder's own `note`.

Events stand in the order of their starts. Values that are a field's default are left out, so the
same conversation is the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from duo.errors import BadInput, misfit, problems
from duo.files import whole_file
from duo.terminal import printable

SCHEMA = 1

Label = Literal["query", "non_query"]
Channel = Literal["input", "output", "system"]
EventKind = Literal[
    "utterance", "word", "revision", "fork", "predicted", "respond", "ignore",
    "speech", "answer_end", "cut", "note",
    "cycle",
]  # fmt: skip

_OUTPUT: tuple[EventKind, ...] = ("speech", "answer_end", "cut", "note")
_SYSTEM: tuple[EventKind, ...] = ("cycle", "note")
_KINDS_OF: Mapping[Channel, tuple[EventKind, ...]] = {
    "input": tuple(kind for kind in get_args(EventKind) if kind not in _OUTPUT + _SYSTEM),
    "output": _OUTPUT,
    "system": _SYSTEM,
}


class Header(BaseModel):
    """What was recorded, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["header"] = "header"
    schema_version: int = SCHEMA
    system: str
    model: str
    scenario: str
    scenario_sha256: str = ""
    language: str = "en"
    seed: int = 0
    clock: Literal["simulated", "real-time"] = "simulated"
    cycle_seconds: float = Field(gt=0)
    settings: dict[str, JsonValue] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)


class TranscriptEvent(BaseModel):
    """One event on the clock. Times are seconds from the start of the conversation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: float = Field(ge=0, allow_inf_nan=False)
    end: float = Field(ge=0, allow_inf_nan=False)
    channel: Channel
    kind: EventKind
    cycle: int = Field(ge=0)
    text: str = ""
    utterance: str = ""  # id of the scenario's utterance that it belongs to
    label: Label | None = None  # for kind "utterance"
    category: str = ""  # for kind "utterance": question, backchannel ...
    by: str = ""  # for decisions: state, patience, slice
    forward_passes: int | None = None  # for kind "cycle"
    tokens_processed: int | None = None  # for kind "cycle"

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.end < self.start:
            raise misfit(f"{self.end:g} is before the start ({self.start:g})", "end")
        if self.kind not in _KINDS_OF[self.channel]:
            raise misfit(f"{self.kind} is not of the channel {self.channel}", "kind")
        return self


class Transcript(BaseModel):
    """A whole conversation."""

    model_config = ConfigDict(frozen=True)

    header: Header
    events: tuple[TranscriptEvent, ...]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for number in range(1, len(self.events)):
            if problem := _out_of_order(self.events[number - 1], self.events[number]):
                raise misfit(problem, "events", number, "start")
        return self

    @property
    def seconds(self) -> float:
        """When the last event ends."""
        return max((event.end for event in self.events), default=0.0)

    def of(self, *kinds: EventKind) -> Iterator[TranscriptEvent]:
        """The events of these kinds, in order."""
        return (event for event in self.events if event.kind in kinds)


def write_transcript(path: Path, transcript: Transcript) -> None:
    """Write a transcript whole; the same transcript is always the same bytes.

    Raises:
        BadInput: the file cannot be written.
    """
    header = transcript.header.model_dump(exclude_defaults=True)
    first = {"type": "header", "schema_version": transcript.header.schema_version}
    with whole_file(path) as stream:
        stream.write(_line(first | _sorted_inside(header)))
        for event in transcript.events:
            stream.write(_line(event.model_dump(exclude_defaults=True)))


def read_transcript(path: Path) -> Transcript:
    """Read a transcript and check all of it.

    Raises:
        BadInput: not a transcript of this schema; says the file, line and field.
    """
    path = Path(path)
    header: Header | None = None
    events: list[TranscriptEvent] = []
    for number, content in _objects(path):
        if header is None:
            header = _header(path, number, content)
            continue
        if content.get("type") == "header":
            _refuse(path, number, "a second header")
        try:
            event = TranscriptEvent.model_validate(content)
        except ValidationError as error:
            _refuse_first(path, number, error)
        if events and (problem := _out_of_order(events[-1], event)):
            _refuse(path, number, problem, "start")
        events.append(event)
    if header is None:
        _refuse(path, 1, "is empty: the first line must be the header")
    return Transcript(header=header, events=tuple(events))


def _header(path: Path, number: int, content: dict[str, Any]) -> Header:
    if content.get("type") != "header":
        _refuse(path, number, "the first line must be the header", "type")
    version = content.get("schema_version", SCHEMA)
    if type(version) is not int or version < 1:
        _refuse(path, number, f"{version!r} is no version: this is {SCHEMA}", "schema_version")
    if version > SCHEMA:
        newer = f"{version} is newer than this program reads ({SCHEMA}): update it"
        _refuse(path, number, newer, "schema_version")
    try:
        return Header.model_validate(content)
    except ValidationError as error:
        _refuse_first(path, number, error)


def _objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The JSON objects of a JSON Lines file, with their line numbers."""
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                try:
                    content = json.loads(line.decode("utf-8"), parse_constant=_no_number)
                except (ValueError, RecursionError):
                    whole = line.endswith(b"\n")
                    _refuse(path, number, "not JSON" if whole else "the last line is cut off")
                if not isinstance(content, dict):
                    _refuse(path, number, "not a JSON object")
                yield number, content
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror or error}", file=path) from error


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _out_of_order(before: TranscriptEvent, event: TranscriptEvent) -> str:
    """What is wrong with an event's place after another; "" if nothing."""
    if event.start >= before.start:
        return ""
    return f"{event.start:g} is earlier than the event before ({before.start:g})"


def _refuse(path: Path, line: int, message: str, field: str | None = None) -> NoReturn:
    raise BadInput(printable(message), file=path, line=line, field=field)


def _refuse_first(path: Path, line: int, error: ValidationError) -> NoReturn:
    problem = next(problems(error))
    raise BadInput(problem.message, file=path, line=line, field=problem.field) from error


def _line(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n"


def _sorted_inside(header: Mapping[str, Any]) -> dict[str, Any]:
    """The header's fields as they are, with the keys of the objects in them in order."""
    return {key: json.loads(json.dumps(value, sort_keys=True)) for key, value in header.items()}
