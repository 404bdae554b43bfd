"""Read and write samples of Full-Duplex-Bench v1: a folder each, times in seconds of the input.

    TASK/SAMPLE/output.json          what the system said: text, and chunks [word, start, end]
    TASK/SAMPLE/pause.json           the mark, which says what the task is: a pause ...
    TASK/SAMPLE/turn_taking.json     ... the end of the user's turn ...
    TASK/SAMPLE/interrupt.json       ... or an interruption, with its text and what was asked before
    TASK/SAMPLE/transcription.json   the user's words, if anybody wrote them down

The benchmark's fourth task, backchannels *by* the system, is judged on audio and has no mark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from duo.errors import BadInput
from duo.files import read_json, write_json
from duo.words import Interval, Word

Task = Literal["pause_handling", "smooth_turn_taking", "user_interruption"]
TASKS: tuple[Task, ...] = get_args(Task)
_MARKS: dict[Task, str] = {
    "pause_handling": "pause.json",
    "smooth_turn_taking": "turn_taking.json",
    "user_interruption": "interrupt.json",
}
_SIGNS = {"pause_handling": "[PAUSE]", "smooth_turn_taking": "[TURN-TAKING]"}


@dataclass(frozen=True)
class Sample:
    """One sample of the benchmark.

    Attributes:
        task: which of the three.
        name: its folder's name.
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
        mark = [{"text": _SIGNS[sample.task], "timestamp": span}]
    write_json(folder / _MARKS[sample.task], mark)
    write_json(folder / "transcription.json", [{"speaker": 0, "item": _chunks(sample.user)}])
    text = " ".join(word.text for word in sample.output)
    write_json(folder / "output.json", {"text": text, "chunks": _chunks(sample.output)})


def sample_folders(root: Path) -> list[tuple[Task, Path]]:
    """Every folder below `root` that has a mark, by name.

    Raises:
        BadInput: `root` is no folder, or there is no mark below it.
    """
    if not root.is_dir():
        raise BadInput("no such folder", file=root)
    found = [
        (task, path.parent) for task, mark in _MARKS.items() for path in sorted(root.rglob(mark))
    ]
    if not found:
        marks = ", ".join(_MARKS.values())
        raise BadInput(f"holds no samples of Full-Duplex-Bench v1 (no {marks})", file=root)
    return found


def read_sample(task: Task, folder: Path) -> Sample:
    """Read a sample. A last word without an end, as some recognisers leave it, ends at its start.

    Raises:
        BadInput: a file is missing, not of this form, or its times run backwards.
    """
    path = folder / _MARKS[task]
    marks = read_json(path)
    first = marks[0] if isinstance(marks, list) and marks else None
    if not isinstance(first, dict):
        raise BadInput("must be a list of one mark", file=path)
    mark = _span(first.get("timestamp"), path, "timestamp")
    output_path = folder / "output.json"
    output = read_json(output_path)
    if not isinstance(output, dict):
        raise BadInput("must be an object with chunks", file=output_path)
    spoken = _words(output.get("chunks"), output_path, "chunks")
    user_path = folder / "transcription.json"
    user: tuple[Word, ...] = ()
    if user_path.exists():
        speakers = read_json(user_path)
        if isinstance(speakers, list) and speakers and isinstance(speakers[0], dict):
            user = _words(speakers[0].get("item"), user_path, "item")
        else:
            raise BadInput("must be a list of one speaker", file=user_path)
    return Sample(
        task=task,
        name=folder.name,
        mark=mark,
        output=spoken,
        user=user,
        interrupt=_text(first.get("interrupt", "")),
        context=_text(first.get("context", "")),
    )


def _chunks(words: Sequence[Word]) -> list[dict[str, Any]]:
    return [{"text": f" {word.text}", "timestamp": [word.start, word.end]} for word in words]


def _words(chunks: object, path: Path, field: str) -> tuple[Word, ...]:
    """Words in order; one that lasts into the next ends where that begins."""
    if not isinstance(chunks, list):
        raise BadInput("is missing, or no list", file=path, field=field)
    words: list[Word] = []
    for number, chunk in enumerate(chunks):
        place = f"{field}[{number}]"
        if not isinstance(chunk, dict):
            raise BadInput("is no object", file=path, field=place)
        start, end = _span(chunk.get("timestamp"), path, f"{place}.timestamp", open_end=True)
        if words and start < words[-1].start:
            before = f"{start:g} is earlier than the word before ({words[-1].start:g})"
            raise BadInput(before, file=path, field=f"{place}.timestamp")
        if words and start < words[-1].end:
            words[-1] = Word(words[-1].start, start, words[-1].text)
        words.append(Word(start, end, _text(chunk.get("text", "")).strip()))
    return tuple(word for word in words if word.text)


def _span(found: object, path: Path, field: str, *, open_end: bool = False) -> Interval:
    """A pair of seconds."""
    if isinstance(found, list) and len(found) == 2:
        start, end = found
        if end is None and open_end:
            end = start
        good = all(isinstance(x, int | float) and not isinstance(x, bool) for x in (start, end))
        if good and 0 <= start <= end < float("inf"):
            return float(start), float(end)
    raise BadInput("must be [start, end] in seconds, from start to end", file=path, field=field)


def _text(found: object) -> str:
    return found if isinstance(found, str) else ""
