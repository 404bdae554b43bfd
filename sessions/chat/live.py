"""A live conversation: what is typed is heard cycle by cycle, and all of it is written down.

`Conversation` knows no clock and no screen; `converse` gives it a clock, whoever thinks and whoever
looks on. So the same conversation runs behind the full screen, over a pipe, and in the tests.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from duo.decoding.conversant import Conversant, CycleResult, Heard, Revision
from duo.transcript import Header, Transcript, TranscriptEvent
from sessions.chat.ear import Ear
from sessions.play import TranscriptBuilder

DECISIONS = frozenset({"respond", "ignore"})


@dataclass(frozen=True)
class Pulse:
    """How the system fared in one cycle; `lag` is by how many seconds it overran the cycle."""

    cycle: int = 0
    forward_passes: int = 0
    busy: bool = False
    listening: bool = False
    lag: float = 0.0


class Clock(Protocol):
    """Seconds since the conversation began."""

    def now(self) -> float: ...

    async def until(self, moment: float) -> None:
        """Return once it is `moment`; at once if that has passed."""


class Onlooker(Protocol):
    """Is told what happens at the moment when it happens."""

    def saw(self, event: TranscriptEvent) -> None: ...

    def felt(self, pulse: Pulse) -> None: ...


class Conversation:
    """What one person types and what one system does about it.

    In every cycle call `hear`, let the system think, `record` what came of it and pass each of its
    events through `settle` when its time has come; at the end call `finish`. What `hear` and
    `settle` return is to be shown, in this order.
    """

    def __init__(self, system: Conversant, header: Header) -> None:
        self.system, self.header = system, header
        self.ear = Ear(pause=system.cycle_seconds)
        self.cycle = 0
        self.utterance = ""  # name of the open one; "" when nothing is open
        self._utterances = 0
        self._decides = False  # whether the system has ever reported that it listens or decides
        self._builder = _Scribe(header)

    def hear(self, now: float) -> tuple[Heard, list[TranscriptEvent]]:
        """What the system is to hear in the cycle that begins `now`."""
        heard, words = self.ear.hear(now)
        if heard and not self.utterance:
            self._utterances += 1
            self.utterance = f"u{self._utterances}"
        cycle, utterance = self.cycle, self.utterance
        for word in words:
            self._builder.word(
                word.text, start=word.start, end=word.end, cycle=cycle, utterance=utterance
            )
        if isinstance(heard, Revision):
            self._builder.revision(
                heard.text, at=self.ear.last_key, cycle=cycle, utterance=utterance
            )
        return heard, self._builder.news()

    def record(self, result: CycleResult, start: float, seconds: float) -> list[TranscriptEvent]:
        """Write down the cycle that began at `start` and lasted `seconds`; its events."""
        self._builder.cycle(
            result, cycle=self.cycle, start=start, seconds=seconds, utterance=self.utterance
        )
        self.cycle += 1
        return self._builder.news()

    def settle(self, event: TranscriptEvent) -> list[TranscriptEvent]:
        """The event, and the end of the utterance if the event decides about it.

        A system that reports no decisions has taken up what it answers.
        """
        self._decides |= event.kind in {*DECISIONS, "fork"}
        answers = not self._decides and event.kind in {"speech", "answer_end"}
        return [event, *(self._close(event.cycle) if event.kind in DECISIONS or answers else ())]

    def finish(self) -> Transcript:
        """The transcript. An utterance without a decision ends with the conversation."""
        self._close(max(self.cycle - 1, 0))
        return self._builder.transcript()

    def _close(self, cycle: int) -> list[TranscriptEvent]:
        if not self.utterance:
            return []
        start, end = self.ear.span
        self._builder.utterance(
            self.utterance, self.ear.heard,
            start=start, end=end, cycle=cycle, label=None, category="",
        )  # fmt: skip
        self.ear.decided()
        self.utterance = ""
        return self._builder.news()


async def converse(
    conversation: Conversation,
    clock: Clock,
    think: Callable[[Heard], Awaitable[CycleResult]],
    onlooker: Onlooker,
) -> None:
    """Run cycle after cycle until cancelled.

    A cycle begins `cycle_seconds` after the one before, or at once if that took longer. Each event
    is shown at its own time on the clock, so speech comes evenly and not in bursts.
    """
    length = conversation.system.cycle_seconds
    due = clock.now()
    while True:
        await clock.until(due)
        start = clock.now()
        heard, events = conversation.hear(start)
        for event in events:
            onlooker.saw(event)
        result = await think(heard)
        took = clock.now() - start
        decided = any(event.kind in DECISIONS for event in result.events)
        onlooker.felt(
            Pulse(
                cycle=conversation.cycle,
                forward_passes=result.forward_passes,
                busy=result.busy,
                listening=bool(conversation.utterance) and not decided,
                lag=max(0.0, took - length),
            )
        )
        for event in conversation.record(result, start, max(took, length)):
            await clock.until(event.start)
            for seen in conversation.settle(event):
                onlooker.saw(seen)
        due = max(due + length, clock.now())


class _Scribe(TranscriptBuilder):
    """A builder that reads out what it has written."""

    def __init__(self, header: Header) -> None:
        super().__init__(header)
        self._read = 0

    def news(self) -> list[TranscriptEvent]:
        """The events since the last call, in the order in which they were written."""
        fresh = self._events[self._read :]
        self._read = len(self._events)
        return fresh
