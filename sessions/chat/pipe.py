"""Hold the conversation over a plain pipe, on a simulated clock: same lines, same answer.

What comes in, one line each:

- `SECONDS TEXT`: the text is typed at this time, and Enter after it. Times never decrease. Without
  text, time only passes. A line that begins with a number is always read so.
- `TEXT`: typed as soon as the line before it, so both are heard in the same cycle.
- `=SECONDS TEXT` or `=TEXT`: the whole utterance that is still open reads so, as when a recogniser
  revises it. With no utterance open it is ordinary text.
- an empty line: nothing is typed until the system is quiet, that is, has decided about what it
  heard and has said all that it has to say. Lines with empty lines between them are turns.

A further line of an utterance that is still open continues it, after a blank. The cycle that begins
at a time hears the lines up to and including that time. After the last line the conversation goes
on until the system is quiet.

What goes out, one line an event, as it happens: `TIME  CHANNEL  KIND  text`, with the fields of the
transcript; a decision's text is what it was made by. Control characters are written as escapes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO

from duo.errors import BadInput
from duo.terminal import printable
from duo.transcript import TranscriptEvent
from sessions.chat.live import Conversation

#: What messages call the lines.
_FILE = "<stdin>"
#: Seconds on the clock: a time after it is a slip (milliseconds, a date), not a conversation.
LATEST = 24 * 60 * 60.0
#: A system that has not decided after this many silent cycles never will.
_UNDECIDED_CYCLES = 30
#: A system that speaks on for this many seconds after the last words is taken for endless.
_ENDLESS_SECONDS = 600.0

_LINE = re.compile(
    r"(?P<revises>=)?\s*(?:(?P<at>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?:\s+|$))?(?P<text>.*)"
)


@dataclass(frozen=True)
class Line:
    """One line of input; `at` is None where it names no time."""

    number: int
    at: float | None
    text: str
    revises: bool = False

    @property
    def waits(self) -> bool:
        """True if it is empty, and so lets the system finish."""
        return self.at is None and not self.text and not self.revises


def read_lines(stream: Iterable[bytes]) -> Iterator[Line]:
    """Parse the lines of a conversation, one by one as they arrive.

    Raises:
        BadInput: a line is not UTF-8, or its time is impossible or before that of an earlier line.
    """
    latest = 0.0
    for number, raw in enumerate(stream, start=1):
        try:
            match = _LINE.fullmatch(raw.decode("utf-8-sig").strip())
        except UnicodeDecodeError:
            raise BadInput("is not UTF-8 text", file=_FILE, line=number) from None
        assert match is not None  # every line without a line end matches
        at = float(match["at"]) if match["at"] else None
        if at is not None:
            if not (math.isfinite(at) and 0 <= at <= LATEST):
                raise BadInput(
                    f"must be from 0 to {LATEST:g}, not {match['at']}",
                    file=_FILE, line=number, field="time",
                )  # fmt: skip
            if at < latest:
                raise BadInput(
                    f"{at:g} s is before the {latest:g} s of an earlier line",
                    file=_FILE, line=number, field="time",
                )  # fmt: skip
            latest = at
        yield Line(number, at, match["text"], revises=bool(match["revises"]))


class PipeChat:
    """Play lines to a conversation."""

    def __init__(
        self, conversation: Conversation, out: IO[str], warn: Callable[[str], None]
    ) -> None:
        self._conversation = conversation
        self._length = conversation.system.cycle_seconds
        self._out, self._warn = out, warn
        self._busy = False
        self._undecided = 0  # silent cycles since words were heard that are still undecided

    @property
    def now(self) -> float:
        """The moment at which the next cycle begins."""
        return self._conversation.cycle * self._length

    def play(self, lines: Iterable[Line]) -> None:
        """Hold the whole conversation.

        Raises:
            BadInput: after an empty line, a line's time has already passed.
        """
        typed_input = self._conversation.typed_input
        last = earliest = 0.0
        for line in lines:
            if line.waits:
                self._until_quiet()
                last = earliest = self.now
                continue
            if line.at is not None and line.at < earliest:
                raise BadInput(
                    f"{line.at:g} s has passed: the system was quiet at {earliest:g} s",
                    file=_FILE, line=line.number, field="time",
                )  # fmt: skip
            last = last if line.at is None else line.at
            while self.now < last:
                self._cycle()
            if line.revises:
                typed_input.corrected(line.text, last)
            elif line.text:
                typed_input.typed(line.text, last)
                typed_input.entered(last)
        self._until_quiet()

    def _until_quiet(self) -> None:
        patience_ends = self.now + _ENDLESS_SECONDS
        while not self._quiet():
            if self.now >= patience_ends:
                self._warn(f"still speaking after {_ENDLESS_SECONDS:g} s, not waited for any more")
                return
            self._cycle()

    def _quiet(self) -> bool:
        decided = not self._conversation.utterance or self._undecided >= _UNDECIDED_CYCLES
        return decided and not self._busy and not self._conversation.typed_input.waiting

    def _cycle(self) -> None:
        start = self.now
        heard, events = self._conversation.hear(start)
        self._print(events)
        result = self._conversation.system.cycle(heard)
        for event in self._conversation.record(result, start, self._length):
            self._print(self._conversation.settle(event))
        self._busy = result.busy
        open_and_silent = bool(self._conversation.utterance) and heard == ""
        self._undecided = self._undecided + 1 if open_and_silent else 0

    def _print(self, events: Iterable[TranscriptEvent]) -> None:
        for event in events:
            if event.kind != "cycle":  # what it cost is for the transcript
                text = printable(event.text or event.by)
                line = f"{event.start:9.3f}  {event.channel:<6}  {event.kind:<10}  {text}"
                print(line.rstrip(), file=self._out, flush=True)
