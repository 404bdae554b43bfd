"""Turn recordings of Full-Duplex-Bench v1 into transcripts, for scores beside ours.

A sample becomes a conversation of one utterance. In `user_interruption` the benchmark's output
begins after the interruption, so the transcript does too: what the system said before is not known.
The user's words are timed one by one only in pause samples: elsewhere the benchmark does not score
the pauses between them. A pause sample is an utterance that is not over (label `non_query`,
category `pause`): whatever is said in it counts, as in the benchmark.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from duo.errors import BadInput
from duo.files import write_json_lines
from duo.transcript import SCHEMA
from duo.words import Word
from evaluation.fdb.export import safe_name
from evaluation.fdb.layout import Sample, Task, read_sample, sample_folders

_LABELS: dict[Task, tuple[str, str]] = {
    "pause_handling": ("non_query", "pause"),
    "smooth_turn_taking": ("query", "question"),
    "user_interruption": ("query", "interruption"),
}
#: Speech has no cycles; for telling answers apart, a silence of a second ends one.
_CYCLE_SECONDS = 1.0


def import_all(root: Path, out: Path, system: str) -> tuple[Counter[Task], list[BadInput]]:
    """Write a transcript for every sample below `root` to `out/SYSTEM/TASK-SAMPLE.jsonl`.

    Returns:
        How many there are of each task, and what is wrong with the samples that were left out.

    Raises:
        BadInput: there are no samples, or not one that can be read, or two of the same name, or a
            transcript cannot be written.
    """
    counts: Counter[Task] = Counter()
    left_out: list[BadInput] = []
    samples: dict[str, Sample] = {}
    for task, folder in sample_folders(root):
        try:
            sample = read_sample(task, folder)
            name = _name(task, folder.relative_to(root))
            if name in samples:
                raise BadInput(f"another sample is called {name} too", file=folder)
        except BadInput as error:
            left_out.append(error)
            continue
        samples[name] = sample
        counts[task] += 1
    if not samples:
        raise left_out[0]
    for name, sample in samples.items():
        lines = transcript_lines(sample, system=system, scenario=name)
        write_json_lines(out / safe_name(system) / f"{name}.jsonl", lines)
    return counts, left_out


def _name(task: Task, folder: Path) -> str:
    """A sample's name: its folders, which name the task as a rule."""
    inside = "-".join(folder.parts)
    return safe_name(inside if task in inside else f"{task}-{inside}")


def transcript_lines(sample: Sample, *, system: str, scenario: str) -> list[dict[str, Any]]:
    """The transcript of a sample: its header and events."""
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
    label, category = _LABELS[sample.task]
    onset, end = sample.mark
    user = sample.user
    if sample.task == "smooth_turn_taking":
        onset, end = 0.0, onset
        user = tuple(word for word in user if word.start < end)
    elif sample.task == "pause_handling":
        onset, end = 0.0, max([end, *(word.end for word in user)])
    text = sample.interrupt or " ".join(word.text for word in user)
    said = {"text": text, "label": label, "category": category}
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
