"""Small scenarios for tests of the recorder."""

from __future__ import annotations

from typing import Any

from duo.decoding.conversant import Conversant
from duo.transcript import Header, Transcript
from sessions.play import play
from sessions.scenario import Scenario

HEADER = Header(system="fake", model="none", scenario="test", cycle_seconds=1.0)


def utterance(
    name: str, say: Any = "one two", *, query: bool = True, **more: Any
) -> dict[str, Any]:
    """Words of equal length at 0.5 s each, unless said otherwise."""
    label, kind = ("query", "question") if query else ("non_query", "statement")
    return {"id": name, "say": say, "label": label, "kind": kind, "words_per_minute": 120.0, **more}


def scenario(*utterances: dict[str, Any], **defaults: float) -> Scenario:
    return Scenario.model_validate(
        {"name": "test", "language": "en", "defaults": defaults, "utterances": list(utterances)}
    )


def played(system: Conversant, *utterances: dict[str, Any], **more: Any) -> Transcript:
    return play(scenario(*utterances), system, HEADER, **more).transcript


def starts(transcript: Transcript) -> dict[str, float]:
    """Find when each utterance began."""
    found: dict[str, float] = {}
    for event in transcript.of("word"):
        found.setdefault(event.utterance, event.start)
    return found
