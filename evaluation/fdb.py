"""Exchange samples with Full-Duplex-Bench v1: transcripts for its scripts, its recordings for us.

A sample is a folder; its times are seconds of the input:

    TASK/SAMPLE/output.json          what the system said: text, and chunks [word, start, end]
    TASK/SAMPLE/pause.json           the mark, which says what the task is: a pause ...
    TASK/SAMPLE/turn_taking.json     ... the end of the user's turn ...
    TASK/SAMPLE/interrupt.json       ... or an interruption, with its text and what was asked before
    TASK/SAMPLE/transcription.json   the user's words, if anybody wrote them down

    TASK/SAMPLE/input.wav            what the user, and
    TASK/SAMPLE/output.wav           what the system said, as sound

The benchmark's fourth task, backchannels *by* the system, is judged on audio and has no mark.

**Export.** Every event of a kind that the benchmark knows becomes a sample. Its `output.json` has
the words that count for the event (see `evaluation.interaction.events.Outcome.words`): the
benchmark's samples hold one event each, ours a whole conversation, so that an old answer is kept
apart.

**Import.** A sample becomes a conversation of one utterance. In `user_interruption` the benchmark's
output begins after the interruption, so the transcript does too: what the system said before is not
known. The user's words are timed one by one only in pause samples: elsewhere the benchmark does not
score the pauses between them. Where there is sound and nobody wrote down the words, they are
recognised (those of `output.wav` as the benchmark's own script does). A pause sample is an
utterance that is not over (label `non_query`, category `pause`): whatever is said in it counts, as
in the benchmark.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Protocol, TypeVar

from pydantic import AfterValidator

from duo.errors import BadInput, misfit
from duo.files import Record, files_below, read_json, validate, write_json, write_json_lines
from duo.runs import free_name, safe_name
from duo.speech import Conversation
from duo.transcript import SCHEMA, Label
from duo.words import Interval, Word
from evaluation.interaction.events import Outcome, outcomes_of
from evaluation.interaction.results import by_name

Task = Literal["pause_handling", "smooth_turn_taking", "user_interruption"]


class _Kind(NamedTuple):
    """A kind of sample: the file of its mark and the mark's text; our event, and its label."""

    mark: str
    sign: str
    event: str
    label: Label
    category: str


_KINDS: dict[Task, _Kind] = {
    "pause_handling": _Kind("pause.json", "[PAUSE]", "pause", "non_query", "pause"),
    "smooth_turn_taking": _Kind(
        "turn_taking.json", "[TURN-TAKING]", "turn_end", "query", "question"
    ),
    "user_interruption": _Kind("interrupt.json", "", "interruption", "query", "interruption"),
}
TASKS = tuple(_KINDS)
#: Sound of the user and of the system.
_SIDES = ("input.wav", "output.wav")
_TASK_OF = {kind.event: task for task, kind in _KINDS.items()}
#: Speech has no cycles; for telling answers apart, a silence of a second ends one.
_CYCLE_SECONDS = 1.0


@dataclass(frozen=True)
class Sample:
    """One sample of the benchmark.

    Attributes:
        mark: the pause; the end of the turn, from and to; onset and end of the interruption.
        output: the system's words; in `user_interruption` only those after its end.
        user: the user's words; empty if nobody wrote them down.
        interrupt, context: texts of the interruption and of what was asked before.
    """

    task: Task
    name: str
    mark: Interval
    output: tuple[Word, ...]
    user: tuple[Word, ...] = ()
    interrupt: str = ""
    context: str = ""


def write_sample(root: Path, sample: Sample) -> None:
    """Write a sample to `root/TASK/NAME`.

    Raises:
        BadInput: a file cannot be written.
    """
    folder = root / sample.task / sample.name
    span = list(sample.mark)
    if sample.task == "user_interruption":
        said = {"context": sample.context, "interrupt": sample.interrupt, "timestamp": span}
        mark: list[Any] = [said]
    else:
        mark = [{"text": _KINDS[sample.task].sign, "timestamp": span}]
    write_json(folder / _KINDS[sample.task].mark, mark)
    write_json(folder / "transcription.json", [{"speaker": 0, "item": _chunks(sample.user)}])
    text = " ".join(word.text for word in sample.output)
    write_json(folder / "output.json", {"text": text, "chunks": _chunks(sample.output)})


def sample_folders(root: Path) -> list[tuple[Task, Path]]:
    """List the folders below `root` that have a mark, by name.

    Raises:
        BadInput: `root` is no folder, or there is no mark below it.
    """
    if not root.is_dir():
        raise BadInput("no such folder", file=root)
    found = [
        (task, path.parent)
        for task, kind in _KINDS.items()
        for path in files_below(root, kind.mark)
        if path.name == kind.mark
    ]
    if not found:
        marks = ", ".join(kind.mark for kind in _KINDS.values())
        raise BadInput(f"holds no samples of Full-Duplex-Bench v1 (no {marks})", file=root)
    return found


class Hearing(Protocol):
    """Hears the sound of samples."""

    def words(self, path: Path) -> tuple[Word, ...]:
        """Return the words that are said in a file of sound."""

    def keep(self, user: Path, system: Path, target: Path) -> None:
        """Write the sound of both sides to one file."""


def read_sample(task: Task, folder: Path, hearing: Callable[[], Hearing] | None = None) -> Sample:
    """Read a sample. A last word without an end, as some recognisers leave it, ends at its start.

    Args:
        hearing: called where there is sound and no words; None if only words are read.

    Raises:
        BadInput: a file is missing, not of this form, or its times run backwards.
    """
    mark = _read_first(folder / _KINDS[task].mark, _Mark, "mark")
    path = folder / "output.json"
    sound = folder / "output.wav"
    if hearing is not None and sound.exists() and not path.exists():
        since = mark.timestamp[1] if task == "user_interruption" else 0.0
        output = tuple(word for word in hearing().words(sound) if word.start >= since)
    else:
        output = _words(validate(read_json(path), _Output, file=path).chunks, path, "chunks")
    heard, sound = folder / "transcription.json", folder / "input.wav"
    user: tuple[Word, ...] = ()
    if heard.exists():
        user = _words(_read_first(heard, _Speaker, "speaker").item, heard, "item")
    elif hearing is not None and sound.exists():
        user = hearing().words(sound)
    return Sample(
        task=task,
        name=folder.name,
        mark=mark.timestamp,
        output=output,
        user=user,
        interrupt=mark.interrupt,
        context=mark.context,
    )


def _check_span(found: Any) -> Any:
    """Make sure that a pair of seconds is one; without an end it ends at its start."""
    if isinstance(found, list) and len(found) == 2:
        start, end = found[0], found[0] if found[1] is None else found[1]
        good = all(isinstance(x, int | float) and not isinstance(x, bool) for x in (start, end))
        if good and 0 <= start <= end < float("inf"):
            return float(start), float(end)
    raise misfit("must be [start, end] in seconds, from start to end")


_Span = Annotated[Any, AfterValidator(_check_span)]
_Text = Annotated[Any, AfterValidator(lambda found: found if isinstance(found, str) else "")]


class _Mark(Record):
    timestamp: _Span
    interrupt: _Text = ""
    context: _Text = ""


class _Chunk(Record):
    timestamp: _Span
    text: _Text = ""


class _Output(Record):
    chunks: tuple[_Chunk, ...]


class _Speaker(Record):
    item: tuple[_Chunk, ...]


_Read = TypeVar("_Read", _Mark, _Speaker)


def _read_first(path: Path, model: type[_Read], name: str) -> _Read:
    """Read the one object of a list."""
    found = read_json(path)
    if not (isinstance(found, list) and found and isinstance(found[0], dict)):
        raise BadInput(f"must be a list of one {name}", file=path)
    return validate(found[0], model, file=path)


def _chunks(words: Sequence[Word]) -> list[dict[str, Any]]:
    return [{"text": f" {word.text}", "timestamp": [word.start, word.end]} for word in words]


def _words(chunks: Sequence[_Chunk], path: Path, field: str) -> tuple[Word, ...]:
    """Put words in order; one that lasts into the next ends where that begins."""
    words: list[Word] = []
    for number, chunk in enumerate(chunks):
        start, end = chunk.timestamp
        if words and start < words[-1].start:
            before = f"{start:g} is earlier than the word before ({words[-1].start:g})"
            raise BadInput(before, file=path, field=f"{field}[{number}].timestamp")
        if words and start < words[-1].end:
            words[-1] = Word(words[-1].start, start, words[-1].text)
        words.append(Word(start, end, chunk.text.strip()))
    return tuple(word for word in words if word.text)


# Export.


def export(conversations: Sequence[Conversation], out: Path) -> Counter[tuple[str, Task]]:
    """Write the samples to `out/SYSTEM/TASK/SCENARIO-UTTERANCE/`.

    Returns:
        The number of samples of each system and task.

    Raises:
        BadInput: the folder is not empty, or cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput("is not empty: old samples would be scored too", file=out, field="--out")
    counts: Counter[tuple[str, Task]] = Counter()
    taken: set[str] = set()
    for system, held in by_name(conversations).items():
        folder = out / free_name(safe_name(system), taken)
        names: set[str] = set()
        for outcome in (o for conversation in held for o in outcomes_of(conversation)):
            if outcome.kind in _TASK_OF:
                sample = sample_of(outcome)
                name = free_name(f"{sample.task}/{sample.name}", names).partition("/")[2]
                write_sample(folder, replace(sample, name=name))
                counts[system, sample.task] += 1
    return counts


def sample_of(outcome: Outcome) -> Sample:
    """Turn an event into a sample; only of the kinds pause, turn_end and interruption."""
    task = _TASK_OF[outcome.kind]
    end_of_turn = outcome.kind == "turn_end"
    return Sample(
        task=task,
        name=safe_name(f"{outcome.scenario}-{outcome.utterance}"),
        mark=(outcome.end, outcome.end) if end_of_turn else (outcome.start, outcome.end),
        output=outcome.words,
        user=outcome.user_words,
        interrupt=outcome.text if outcome.kind == "interruption" else "",
        context=outcome.context,
    )


# Import.


def import_all(
    root: Path, out: Path, system: str, hearing: Callable[[], Hearing] | None = None
) -> tuple[Counter[Task], list[BadInput]]:
    """Write a transcript for every sample below `root` to `out/SYSTEM/TASK-SAMPLE.jsonl`.

    Args:
        hearing: called where there is sound; its sound is then kept beside the transcript.

    Returns:
        The number of each task, and what is wrong with the samples that were left out.

    Raises:
        BadInput: there are no samples, or not one that can be read, or two of the same name, or a
            transcript cannot be written.
    """
    counts: Counter[Task] = Counter()
    left_out: list[BadInput] = []
    samples: dict[str, Sample] = {}
    sounds: dict[str, Path] = {}
    hearing = None if hearing is None else cache(hearing)
    for task, folder in sample_folders(root):
        try:
            sample = read_sample(task, folder, hearing)
            name = _name(task, folder.relative_to(root))
            if name in samples:
                raise BadInput(f"another sample is called {name} too", file=folder)
        except BadInput as error:
            left_out.append(error)
            continue
        samples[name] = sample
        counts[task] += 1
        if all((folder / side).is_file() for side in _SIDES):
            sounds[name] = folder
    if not samples:
        raise left_out[0]
    for name, sample in samples.items():
        lines = transcript_lines(sample, system=system, scenario=name)
        path = out / safe_name(system) / f"{name}.jsonl"
        if hearing is not None and name in sounds:
            user, spoken = (sounds[name] / side for side in _SIDES)
            try:
                hearing().keep(user, spoken, path.with_suffix(".flac"))
            except BadInput as error:  # the words are there all the same
                left_out.append(error)
        write_json_lines(path, lines)
    return counts, left_out


def _name(task: Task, folder: Path) -> str:
    """Name a sample by its folders, which name the task as a rule."""
    inside = "-".join(folder.parts)
    return safe_name(inside if task in inside else f"{task}-{inside}")


def transcript_lines(sample: Sample, *, system: str, scenario: str) -> list[dict[str, Any]]:
    """Write a sample as a transcript: its header and events."""
    header = {
        "type": "header",
        "schema_version": SCHEMA,
        "system": system,
        "model": "unknown",
        "scenario": scenario,
        "clock": "real-time",
        "cycle_seconds": _CYCLE_SECONDS,
        "settings": {"imported_from": "Full-Duplex-Bench v1"},
    }
    kind = _KINDS[sample.task]
    onset, end = sample.mark
    user = sample.user
    if sample.task == "smooth_turn_taking":
        onset, end = 0.0, onset
        user = tuple(word for word in user if word.start < end)
    elif sample.task == "pause_handling":
        onset, end = 0.0, max([end, *(word.end for word in user)])
    text = sample.interrupt or " ".join(word.text for word in user)
    said = {"text": text, "label": kind.label, "category": kind.category}
    events = [_event("utterance", onset, end, "input", utterance="user", **said)]
    if sample.task == "pause_handling":
        events += _spoken("word", "input", user, utterance="user")
    events += _spoken("speech", "output", sample.output)
    if sample.context:
        note = f"before this, the user asked: {sample.context}"
        events.append(_event("note", onset, onset, "system", text=note))
    order = {"utterance": 0, "note": 1}
    events.sort(key=lambda event: (event["start"], order.get(event["kind"], 2)))
    return [header, *events]


def _spoken(kind: str, channel: str, words: Sequence[Word], **more: str) -> list[dict[str, Any]]:
    return [
        _event(kind, word.start, word.end, channel, text=f"{' ' * bool(number)}{word.text}", **more)
        for number, word in enumerate(words)
    ]


def _event(kind: str, start: float, end: float, channel: str, **more: str) -> dict[str, Any]:
    cycle = int(end / _CYCLE_SECONDS)
    given = {key: value for key, value in more.items() if value}
    return {"start": start, "end": end, "channel": channel, "kind": kind, "cycle": cycle, **given}
