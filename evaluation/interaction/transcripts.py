"""Transcripts as metrics read them: the JSON Lines form, checked as far as figures rest on it.

The first line is the header; it must have `schema_version` 1, `system`, `scenario` and
`cycle_seconds`. Every other line is an event with `start` and `end` (seconds), `kind` and, by kind,
`text`, `utterance`, `label`, `category`, `forward_passes`, `tokens_processed`; events stand in the
order of their starts. Pieces of speech, words of an utterance and cycles do not overlap each other;
only pieces of speech of one `cycle`, or of the very same span, may. Other fields are not looked at,
so that anybody's program can write them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from duo.errors import BadInput, misfit
from duo.terminal import printable
from duo.transcripts import transcripts_below
from evaluation.interaction.conversation import Label

SCHEMA = 1

#: Rounding can make neighbours overlap by so much (seconds).
TOLERANCE = 0.002
#: Speech that can go on while the user speaks: it is somebody else's.
OTHER_VOICES = frozenset({"background", "third_party"})
#: What only a query can be: a non-query of these would be counted among them.
_ALWAYS_QUERIES = frozenset({"turn_end", "interruption", "stop_request"})

#: Sums and ratios of what is within these bounds stay finite.
Seconds = Annotated[float, Field(ge=0, le=1e10, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=10**12)]


class Header(BaseModel):
    """What a transcript says about itself."""

    model_config = ConfigDict(strict=True, frozen=True)

    system: str
    scenario: str
    cycle_seconds: Annotated[Seconds, Field(ge=0.001)]
    model: str = ""
    settings: dict[str, Any] = Field(default_factory=dict)

    @field_validator("settings")
    @classmethod
    def _finite(cls, settings: dict[str, Any]) -> dict[str, Any]:
        try:
            json.dumps(settings, allow_nan=False)  # they are written out again
        except ValueError as error:
            raise misfit("holds a number that is not finite") from error
        return settings


class Event(BaseModel):
    """One event; times are seconds on the conversation's clock."""

    model_config = ConfigDict(strict=True, frozen=True)

    start: Seconds
    end: Seconds
    kind: Literal[
        "utterance", "word", "revision", "fork", "predicted", "respond", "ignore",
        "speech", "answer_end", "cut", "note", "cycle",
    ]  # fmt: skip
    cycle: Count | None = None
    text: str = ""
    utterance: str = ""
    label: Label | None = None
    category: str = ""
    by: str = ""
    forward_passes: Count | None = None
    tokens_processed: Count | None = None


def read_events(path: Path) -> tuple[Header, list[Event]]:
    """Read a transcript and check whether it can be scored.

    Raises:
        BadInput: it is no transcript of this schema, an utterance has no label, or events are out
            of order or overlap impossibly; names the file, line and field.
    """
    header: Header | None = None
    events: list[Event] = []
    lines: list[int] = []
    for number, content in _objects(path):
        if header is None:
            header = _header(path, number, content)
            continue
        try:
            event = Event.model_validate(content)
        except ValidationError as error:
            _refuse_first(path, number, error)
        if event.end < event.start:
            _refuse(path, number, f"{event.end:g} is before the start ({event.start:g})", "end")
        if events and event.start < events[-1].start:
            before = f"{event.start:g} is earlier than the event before ({events[-1].start:g})"
            _refuse(path, number, before, "start")
        events.append(event)
        lines.append(number)
    if header is None:
        _refuse(path, 1, "is empty: the first line must be the header")
    for place, message, name in _impossible(events):
        _refuse(path, lines[place], message, name)
    if all(event.kind != "utterance" for event in events):
        _refuse(path, None, "has no utterance: there is nothing to score")
    return header, events


def _impossible(events: list[Event]) -> Iterator[tuple[int, str, str]]:
    """What cannot have happened, or cannot be scored: place, message and field."""
    spans: dict[str, Event] = {}
    last_own: Event | None = None
    for place, event in enumerate(events):
        if event.kind != "utterance":
            continue
        if event.label is None:
            yield place, "is missing: without labels nothing can be scored", "label"
        if event.label == "non_query" and event.category in _ALWAYS_QUERIES:
            yield place, f"{event.category} is always a query", "label"
        if event.utterance in spans:
            yield place, f"a second utterance {event.utterance!r}", "utterance"
        spans[event.utterance] = event
        if event.category in OTHER_VOICES:
            continue
        if last_own is not None and event.start < last_own.end - TOLERANCE:
            while_ = f"the user is still saying {last_own.utterance!r} (until {last_own.end:g})"
            yield place, while_, "start"
        last_own = event
    words: dict[str, Event] = {}
    speech: Event | None = None  # that which lasts longest so far
    cycle: Event | None = None
    for place, event in enumerate(events):
        if event.kind == "word":
            before, span = words.get(event.utterance), spans.get(event.utterance)
            if before is not None and event.start < before.end - TOLERANCE:
                yield place, f"the word before lasts until {before.end:g}", "start"
            if span is not None and not (
                span.start - TOLERANCE <= event.start and event.end <= span.end + TOLERANCE
            ):
                outside = f"the word lies outside its utterance ({span.start:g}-{span.end:g})"
                yield place, outside, "start"
            words[event.utterance] = event
        elif event.kind == "speech":
            if speech is not None and _spoken_at_once(speech, event):
                yield place, f"the system is still speaking (until {speech.end:g})", "start"
            if speech is None or event.end >= speech.end:
                speech = event
        elif event.kind == "cycle":
            if cycle is not None and event.start < cycle.end - TOLERANCE:
                yield place, f"the cycle before lasts until {cycle.end:g}", "start"
            cycle = event


def _spoken_at_once(before: Event, event: Event) -> bool:
    """Whether speech begins while that before it goes on, of which it is no other piece.

    Pieces of one cycle may share their time: it is no finer than the system's steps.
    """
    one_span = (event.start, event.end) == (before.start, before.end)
    one_cycle = event.cycle is not None and event.cycle == before.cycle
    return event.start < before.end - TOLERANCE and not (one_span or one_cycle)


def _header(path: Path, number: int, content: Mapping[str, Any]) -> Header:
    if content.get("type") != "header":
        _refuse(path, number, "the first line must be the header", "type")
    if "schema_version" not in content:
        _refuse(path, number, f"is missing: this program scores {SCHEMA}", "schema_version")
    version = content["schema_version"]
    if type(version) is not int or version != SCHEMA:
        other = f"{version!r} is another schema: this program scores {SCHEMA}"
        _refuse(path, number, other, "schema_version")
    try:
        return Header.model_validate(content)
    except ValidationError as error:
        _refuse_first(path, number, error)


def _objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The JSON objects of a file, with their line numbers."""
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                try:
                    content = json.loads(line.decode("utf-8"))
                except (ValueError, RecursionError):
                    cut = "not JSON" if line.endswith(b"\n") else "the last line is cut off"
                    _refuse(path, number, cut)
                if not isinstance(content, dict):
                    _refuse(path, number, "not a JSON object")
                if b"\\ud" in line.lower() and not _is_text(content):
                    _refuse(path, number, "holds half of a UTF-16 pair, which is no character")
                yield number, content
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror or error}", file=path) from error


def _is_text(content: object) -> bool:
    """Whether all strings can be written out again; JSON can escape what is no character."""
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse(path: Path, line: int | None, message: str, field: str | None = None) -> NoReturn:
    raise BadInput(printable(message), file=path, line=line, field=field)


def _refuse_first(path: Path, line: int, error: ValidationError) -> NoReturn:
    details = error.errors(include_url=False)[0]
    field = printable(".".join(map(str, details["loc"]))) or None
    message = "is missing" if details["type"] == "missing" else details["msg"]
    raise BadInput(printable(message), file=path, line=line, field=field) from error


def transcript_files(paths: Iterable[Path]) -> list[Path]:
    """The files that are meant: files as they are, and every one below a folder, by name.

    One that is meant twice, by whatever paths, is there once.

    Raises:
        BadInput: there is no such file or folder, or a folder holds none.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        if path.is_dir():
            inside = transcripts_below(path)
            if not inside:
                raise BadInput("holds no transcripts (*.jsonl)", file=path)
        elif path.exists():
            inside = [path]
        else:
            raise BadInput("no such file or folder", file=path)
        for file in inside:
            found.setdefault(file.resolve(), file)
    return list(found.values())
