"""Writes down a conversation while it happens: cycles of a system become events on the clock.

Used by the recorder (simulated or real time) and by the live chat, so that both leave the same
kind of transcript.
"""

from __future__ import annotations

from typing import Any

from duo.decoding.conversant import CHANNEL_OF, CycleResult, Kind
from duo.transcript import Header, Label, Transcript, TranscriptEvent

#: Times are rounded to this many decimals (seconds): a millisecond is finer than any cycle.
DECIMALS = 3


class Scribe:
    """Collects the events of one conversation in the order of the clock."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self._events: list[TranscriptEvent] = []

    def word(self, text: str, *, start: float, end: float, cycle: int, utterance: str) -> None:
        """The system heard `text`, spoken from `start` to `end`."""
        self._add("word", start, end, "input", cycle, text=text, utterance=utterance)

    def revision(self, text: str, *, at: float, cycle: int, utterance: str) -> None:
        """The recogniser replaced all that was heard of the utterance by `text`."""
        self._add("revision", at, at, "input", cycle, text=text, utterance=utterance)

    def utterance(
        self,
        name: str,
        text: str,
        *,
        start: float,
        end: float,
        cycle: int,
        label: Label | None,
        category: str,
    ) -> None:
        """An utterance of the user is complete."""
        self._add(
            "utterance", start, end, "input", cycle,
            text=text, utterance=name, label=label, category=category,
        )  # fmt: skip

    def cycle(
        self, result: CycleResult, *, cycle: int, start: float, seconds: float, utterance: str = ""
    ) -> tuple[TranscriptEvent, ...]:
        """What the system did in the cycle that began at `start` and lasts `seconds`.

        Speech made by step i of n lasts from (i-1)/n to i/n of the cycle: a system speaks evenly.
        Decisions stand at the moment after their step. `utterance` is the one being heard.

        Returns:
            What was written down of it, in the order in which it happened.
        """
        first = len(self._events)
        for event in result.events:
            share = seconds / max(event.steps, 1)
            end = start + event.step * share
            begin = max(start, end - share) if event.kind is Kind.SPEECH else end
            channel = CHANNEL_OF[event.kind]
            about = utterance if channel == "input" else ""
            self._add(
                event.kind.value, begin, end, channel, cycle,
                text=event.text, by=event.by, utterance=about,
            )  # fmt: skip
        if result.forward_passes:
            self._add(
                "cycle", start, start + seconds, "system", cycle,
                forward_passes=result.forward_passes, tokens_processed=result.tokens_processed,
            )  # fmt: skip
        return tuple(self._events[first:])

    def note(self, text: str, *, at: float, cycle: int) -> None:
        """Something about the recording itself that its reader should know."""
        self._add("note", at, at, "system", cycle, text=text)

    def transcript(self) -> Transcript:
        """All events, by start time; an utterance before its words, others in their order."""
        events = sorted(self._events, key=lambda event: (event.start, event.kind != "utterance"))
        return Transcript(header=self.header, events=tuple(events))

    def _add(
        self, kind: str, start: float, end: float, channel: str, cycle: int, **more: Any
    ) -> None:
        if "text" in more:  # half of a UTF-16 pair, as a terminal can give, is no character
            more["text"] = more["text"].encode("utf-8", "replace").decode("utf-8")
        self._events.append(
            TranscriptEvent.model_validate(
                {
                    "kind": kind,
                    "start": round(start, DECIMALS),
                    "end": round(end, DECIMALS),
                    "channel": channel,
                    "cycle": cycle,
                    **more,
                }
            )
        )
