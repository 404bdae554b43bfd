"""Conversations written by hand as transcripts: plain JSON Lines, as anybody's program writes them.

Nothing here knows how transcripts are read or made by the code under test.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from duo.reading import read_conversation
from duo.speech import Conversation
from evaluation.interaction.events import Outcome, outcomes_of


class Talk:
    """A conversation told in any order; times in seconds."""

    def __init__(self, system: str = "duo", scenario: str = "story", **header: Any) -> None:
        self.header = {
            "type": "header", "schema_version": 1, "system": system, "model": "m",
            "scenario": scenario, "cycle_seconds": 1.0, **header,
        }  # fmt: skip
        self.events: list[dict[str, Any]] = []
        self._said = 0

    def user(
        self,
        start: float,
        end: float,
        label: str | None = "query",
        category: str = "question",
        words: list[tuple[str, float, float]] | None = None,
    ) -> str:
        """The user says something; the utterance's id."""
        self._said += 1
        name = f"u{self._said}"
        words = words or [("so", start, (start + end) / 2), ("then", (start + end) / 2, end)]
        text = " ".join(word for word, _, _ in words)
        about = {"label": label, "category": category} if label else {"category": category}
        self.add("utterance", start, end, text=text, utterance=name, **about)
        for number, (word, since, until) in enumerate(words):
            self.add("word", since, until, text=" " * bool(number) + word, utterance=name)
        return name

    def speaks(self, start: float, words: int, pace: float = 0.25) -> float:
        """Let the system say words from `start` on, one every `pace` seconds; return the end."""
        for number in range(words):
            since = round(start + number * pace, 3)
            self.add("speech", since, round(since + pace, 3), text=f" word{number}")
        return round(start + words * pace, 3)

    def mark(self, kind: str, at: float, **more: Any) -> None:
        """The system reports something."""
        self.add(kind, at, at, **more)

    def costs(self, start: int, end: int, passes: int = 4, tokens: int = 6) -> None:
        """Cycles of a second each."""
        for cycle in range(start, end):
            self.add("cycle", cycle, cycle + 1, forward_passes=passes, tokens_processed=tokens)

    def add(self, kind: str, start: float, end: float, **more: Any) -> None:
        event = {"start": start, "end": end, "kind": kind, "cycle": int(start), **more}
        output = kind in ("speech", "answer_end", "cut")
        event["channel"] = "output" if output else "system" if kind == "cycle" else "input"
        self.events.append(event)

    def lines(self) -> list[dict[str, Any]]:
        """The header and the events in the order of the clock; at one moment, as they were told."""
        order = sorted(self.events, key=lambda e: (e["start"], e["kind"] != "utterance"))
        return [self.header, *order]

    def write(self, folder: Path) -> Path:
        """Write it down; where."""
        path = folder / self.header["system"] / f"{self.header['scenario']}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in self.lines()), "utf-8")
        return path

    def conversation(self, folder: Path) -> Conversation:
        return read_conversation(self.write(folder))

    def outcomes(self, folder: Path) -> list[Outcome]:
        return list(outcomes_of(self.conversation(folder)))


def answered(talk: Talk, at: float, words: int = 8, ends: str | None = "answer_end") -> float:
    """The system decides to respond and speaks; until when."""
    talk.mark("respond", at, by="state")
    end = talk.speaks(at, words)
    if ends:
        talk.mark(ends, end)
    return end
