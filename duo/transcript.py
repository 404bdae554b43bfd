"""Read and write transcripts of conversations: one header line, then one line an event.

A transcript (JSON Lines) says what was said and decided *on the conversation's clock*, in seconds
from its start; what it cost is counted in forward passes and tokens. Machine times are in the
manifest, so that a simulated recording is the same bytes every time.

Kinds of event, by channel:

- `input`: `utterance` (one whole utterance of the user, with its label), `word` (a word of it),
  `recognised` (what the system heard in place of the words, where a recogniser listened: said from
  `start` on, handed on at `end`), `revision` (the recogniser replaces all that was heard of the
  utterance), and of the system's own `fork`, `predicted`, `respond`, `ignore`;
- `output`: `speech`, `answer_end`, `hold` (speech is held), `resume` (it goes on where it was),
  `cut`, `note` (something the reader should know, in words);
- `system`: `cycle` (forward passes and tokens of one cycle) and the recorder's own `note`.

Events stand in the order of their starts. Values that are a field's default are left out, so the
same conversation is the same bytes.

`read_transcript` reads what this program wrote and knows every field. `read_scorable` reads what
anybody's program wrote, as far as figures rest on it: of the header `schema_version`, `system`,
`scenario` and `cycle_seconds` (and `model`, `settings` and `control_of` if given), of an event
`start`, `end`, `kind` and what belongs to its kind; other fields are not looked at. It also refuses
what cannot have happened or cannot be scored: utterances without a label, pieces of speech, words
of an utterance or cycles that overlap each other. Only pieces of speech of one `cycle`, or of the
very same span, may. `duo.reading` makes words, utterances and answers of either.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)

from duo.errors import BadInput, misfit, problems
from duo.files import files_below, read_json_lines, whole_file
from duo.runs import safe_name
from duo.terminal import printable

#: 2: the recorder's user goes by what is heard alone; `answer_end` says if the limit on answers
#: ended it. Transcripts of schema 1 are read as well.
SCHEMA = 2

#: Neighbours may overlap by this much (seconds) for rounding alone.
TOLERANCE = 0.002

Label = Literal["query", "non_query"]
Channel = Literal["input", "output", "system"]
EventKind = Literal[
    "utterance", "word", "recognised", "revision", "fork", "predicted", "respond", "ignore",
    "speech", "answer_end", "hold", "resume", "cut", "note",
    "cycle",
]  # fmt: skip

_OUTPUT: tuple[EventKind, ...] = ("speech", "answer_end", "hold", "resume", "cut", "note")
_SYSTEM: tuple[EventKind, ...] = ("cycle", "note")
_KINDS_OF: Mapping[Channel, tuple[EventKind, ...]] = {
    "input": tuple(kind for kind in get_args(EventKind) if kind not in _OUTPUT + _SYSTEM),
    "output": _OUTPUT,
    "system": _SYSTEM,
}
_CHANNEL_OF: dict[str, Channel] = {
    kind: channel for channel, kinds in _KINDS_OF.items() for kind in kinds
}

#: Speech that can go on while the user speaks: it is somebody else's.
_OTHER_VOICES = frozenset({"background", "third_party"})
#: Queries that want silence in place of an answer: for good, or until the user speaks again.
WANT_SILENCE = frozenset({"stop_request", "hold_request"})
#: What only a query can be: a non-query of these would be counted among them.
_ALWAYS_QUERIES = frozenset({"turn_end", "interruption", *WANT_SILENCE})

#: Sums and ratios of what is within these bounds stay finite.
Seconds = Annotated[float, Field(ge=0, le=1e10, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=10**12)]


def _whole(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise misfit("holds half of a UTF-16 pair, which is no character") from error
    return text


#: Text that can be written out again: JSON can escape what is no character.
Text = Annotated[str, AfterValidator(_whole)]


class Header(BaseModel):
    """The facts about a recording: the first line."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    type: Literal["header"] = "header"
    schema_version: int = SCHEMA
    system: Text
    model: Text
    scenario: Text
    scenario_sha256: str = ""
    control_of: Text = ""  # the scenario of which this one is the half-duplex control
    language: str = "en"
    seed: int = 0
    clock: Literal["simulated", "real-time"] = "simulated"
    cycle_seconds: Annotated[Seconds, Field(ge=0.001)]
    settings: dict[str, JsonValue] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)

    @property
    def stem(self) -> str:
        """The name, without a suffix, of a file about this recording."""
        return f"{safe_name(self.scenario)}-{safe_name(self.system)}"

    @property
    def models(self) -> str:
        """Name the model, and the one that decided in its place, if another one did."""
        monitor = self.settings.get("monitor")
        return f"{self.model} ({monitor} decides)" if monitor else self.model

    @field_validator("settings")
    @classmethod
    def _can_be_written(cls, settings: dict[str, JsonValue]) -> dict[str, JsonValue]:
        try:
            _whole(json.dumps(settings, allow_nan=False, ensure_ascii=False))
        except ValueError as error:
            raise misfit("holds a number that is not finite") from error
        return settings


class TranscriptEvent(BaseModel):
    """One event on the clock. Times are seconds from the start of the conversation."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    start: Seconds
    end: Seconds
    channel: Channel
    kind: EventKind
    cycle: Count
    text: Text = ""
    utterance: Text = ""  # id of the scenario's utterance that it belongs to
    label: Label | None = None  # for kind "utterance"
    category: Text = ""  # for kind "utterance": question, backchannel ...
    by: Text = ""  # for decisions: state, patience, slice; for "answer_end": limit, or ""
    forward_passes: Count | None = None  # for kind "cycle"
    tokens_processed: Count | None = None  # for kind "cycle"

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.end < self.start:
            raise misfit(f"{self.end:g} is before the start ({self.start:g})", "end")
        if self.kind not in _KINDS_OF[self.channel]:
            raise misfit(f"{self.kind} is not of the channel {self.channel}", "kind")
        return self


class Transcript(BaseModel):
    """A recorded conversation: its header, and its events in order of time."""

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
        """The end of the last event."""
        return max((event.end for event in self.events), default=0.0)

    def of(self, *kinds: EventKind) -> Iterator[TranscriptEvent]:
        """Select the events of these kinds, in order."""
        return (event for event in self.events if event.kind in kinds)


def write_transcript(path: Path, transcript: Transcript) -> None:
    """Write a transcript whole; the same transcript is always the same bytes.

    Raises:
        BadInput: the file cannot be written.
    """
    fields = Header.model_fields
    header = {  # pydantic's writer of free JSON would swallow a Ctrl-C
        name: value
        for name, value in transcript.header
        if value != fields[name].get_default(call_default_factory=True)
    }
    first = {"type": "header", "schema_version": transcript.header.schema_version}
    # The fields stay as they are, with the keys of the objects in them in order.
    first |= {name: json.loads(json.dumps(v, sort_keys=True)) for name, v in header.items()}
    with whole_file(path) as stream:
        stream.write(_line(first))
        for event in transcript.events:
            stream.write(_line(event.model_dump(exclude_defaults=True)))


def read_transcript(path: Path) -> Transcript:
    """Read a transcript that this program wrote and check all of it.

    Raises:
        BadInput: not a transcript of this schema; says the file, line and field.
    """
    header, events, _ = _read(Path(path), Header.model_validate, TranscriptEvent.model_validate)
    return Transcript(header=header, events=tuple(events))


def read_scorable(path: Path) -> Transcript:
    """Read anybody's transcript and check whether it can be scored.

    Raises:
        BadInput: it is no transcript of this schema, an utterance has no label, or events are out
            of order or overlap impossibly; names the file, line and field.
    """
    path = Path(path)
    numbered: list[bool] = []  # whether an event says which cycle it is of

    def header_of(content: Mapping[str, Any]) -> Header:
        known = ("system", "scenario", "cycle_seconds", "model", "settings", "control_of")
        return Header.model_validate({"model": ""} | _chosen(content, known))

    def event_of(content: Mapping[str, Any]) -> TranscriptEvent:
        known = _chosen(content, TranscriptEvent.model_fields)
        kind = known.get("kind")
        known["channel"] = _CHANNEL_OF.get(kind, "system") if isinstance(kind, str) else "system"
        numbered.append(known.setdefault("cycle", None) is not None)
        if not numbered[-1]:
            known["cycle"] = 0
        return TranscriptEvent.model_validate(known)

    header, events, lines = _read(path, header_of, event_of, versioned=True)
    for place, message, name in _impossible(events, numbered):
        _refuse(path, lines[place], message, name)
    if all(event.kind != "utterance" for event in events):
        _refuse(path, None, "has no utterance: there is nothing to score")
    return Transcript(header=header, events=tuple(events))


def transcripts_below(folder: Path) -> list[Path]:
    """List the JSON Lines files below a folder that are meant as transcripts, by path.

    Other things may lie there too, such as the items of benchmarks: these are passed over. A broken
    file is not: whoever reads it says what is wrong with it.
    """
    return [path for path in files_below(folder, ".jsonl") if _may_be(path)]


def is_transcript(path: Path) -> bool:
    """Tell whether a JSON Lines file is meant as a transcript.

    It is if its first line is a header, says a schema version, or is an event where the header
    should be; or is an empty object, which is no line of anything else.

    Raises:
        BadInput: it cannot be read, is empty, or its first line is no JSON object.
    """
    for _, first in read_json_lines(path, finite=False):
        is_header = first.get("type") == "header" or "schema_version" in first
        return is_header or not first or {"start", "end"} <= first.keys()
    raise BadInput("is empty", file=path)


def transcript_files(paths: Iterable[Path]) -> list[Path]:
    """List the files that are meant: files as they are, and every one below a folder, by name.

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


def _may_be(path: Path) -> bool:
    try:
        return is_transcript(path)
    except BadInput:
        return True


def _read(
    path: Path,
    header_of: Callable[[dict[str, Any]], Header],
    event_of: Callable[[dict[str, Any]], TranscriptEvent],
    *,
    versioned: bool = False,
) -> tuple[Header, list[TranscriptEvent], list[int]]:
    """Read the header, the events and their lines; `versioned` headers say their schema."""
    header: Header | None = None
    events: list[TranscriptEvent] = []
    lines: list[int] = []
    for number, content in read_json_lines(path):
        try:
            if header is None:
                if versioned and content.get("type") == "header":
                    content.setdefault("schema_version", None)
                _check_header(path, number, content)
                header = header_of(content)
                continue
            if content.get("type") == "header":
                _refuse(path, number, "a second header")
            event = event_of(content)
        except ValidationError as error:
            problem = next(problems(error))
            raise BadInput(problem.message, file=path, line=number, field=problem.field) from error
        if events and (wrong := _out_of_order(events[-1], event)):
            _refuse(path, number, wrong, "start")
        events.append(event)
        lines.append(number)
    if header is None:
        _refuse(path, 1, "is empty: the first line must be the header")
    return header, events, lines


def _check_header(path: Path, number: int, content: Mapping[str, Any]) -> None:
    if content.get("type") != "header":
        _refuse(path, number, "the first line must be the header", "type")
    version = content.get("schema_version", SCHEMA)
    if type(version) is not int or version < 1:
        _refuse(path, number, f"{version!r} is no version: this is {SCHEMA}", "schema_version")
    if version > SCHEMA:
        newer = f"{version} is newer than this program reads ({SCHEMA}): update it"
        _refuse(path, number, newer, "schema_version")


def _impossible(
    events: list[TranscriptEvent], numbered: list[bool]
) -> Iterator[tuple[int, str, str]]:
    """Find what cannot have happened, or cannot be scored: place, message and field."""
    spans: dict[str, TranscriptEvent] = {}
    last_own: TranscriptEvent | None = None
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
        if event.category in _OTHER_VOICES:
            continue
        if last_own is not None and event.start < last_own.end - TOLERANCE:
            while_ = f"the user is still saying {last_own.utterance!r} (until {last_own.end:g})"
            yield place, while_, "start"
        last_own = event
    words: dict[str, TranscriptEvent] = {}
    longest: int | None = None  # place of the speech that lasts longest so far
    cycle: TranscriptEvent | None = None
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
            if longest is not None:
                speech = events[longest]
                # Pieces of one cycle may share their time: it is no finer than a system's steps.
                one_cycle = numbered[longest] and numbered[place] and event.cycle == speech.cycle
                one_span = (event.start, event.end) == (speech.start, speech.end)
                if event.start < speech.end - TOLERANCE and not (one_span or one_cycle):
                    speaking = f"the system is still speaking (until {speech.end:g})"
                    yield place, speaking, "start"
            if longest is None or event.end >= events[longest].end:
                longest = place
        elif event.kind == "cycle":
            if cycle is not None and event.start < cycle.end - TOLERANCE:
                yield place, f"the cycle before lasts until {cycle.end:g}", "start"
            cycle = event


def _out_of_order(before: TranscriptEvent, event: TranscriptEvent) -> str:
    """Say what is wrong with an event's place after another; "" if nothing."""
    if event.start >= before.start:
        return ""
    return f"{event.start:g} is earlier than the event before ({before.start:g})"


def _chosen(content: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: content[name] for name in names if name in content}


def _refuse(path: Path, line: int | None, message: str, field: str | None = None) -> NoReturn:
    raise BadInput(printable(message), file=path, line=line, field=field)


def _line(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n"
