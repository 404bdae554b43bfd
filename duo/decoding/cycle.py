"""One cycle of a conversation in progress: its steps, and the record of them."""

from __future__ import annotations

from collections.abc import Generator

from duo.decoding.channels import Channels, Scores
from duo.decoding.conversant import CycleResult, Event, Kind

#: A cycle in progress: it hands over channels to encode and is sent their scores. Whoever runs it
#: may encode one conversation's channels, or those of many conversations at once.
Steps = Generator[Channels, Scores, CycleResult]


def run(steps: Steps) -> CycleResult:
    """Run one cycle of one conversation."""
    try:
        channels = next(steps)
        while True:
            channels = steps.send(channels.encode())
    except StopIteration as done:
        result: CycleResult = done.value
        return result


class CycleLog:
    """Collects what happens in a cycle; `step` counts the forward passes made."""

    def __init__(self, channels: Channels, steps: int) -> None:
        self.step = 0
        self._steps = steps
        self._channels = channels
        self._before = channels.forward_passes, channels.tokens_processed
        self._events: list[Event] = []

    def add(self, kind: Kind, text: str = "", *, by: str = "") -> None:
        """Note an event at the present step."""
        self._events.append(Event(kind, text, step=self.step, steps=self._steps, by=by))

    def speech(self, text: str) -> None:
        """Note spoken text; an empty piece is none."""
        if text:
            self.add(Kind.SPEECH, text)

    def result(self, *, busy: bool) -> CycleResult:
        """The cycle as it is reported; `busy` if an answer is still being given."""
        passes, tokens = self._before
        return CycleResult(
            events=tuple(self._events),
            forward_passes=self._channels.forward_passes - passes,
            tokens_processed=self._channels.tokens_processed - tokens,
            busy=busy,
        )
