"""Hold a live conversation: what is typed is heard cycle by cycle, and all of it is written down.

`TypedInput` says what a system hears of what somebody types; `Conversation` knows no clock and no
screen; `converse` gives it a clock, whoever computes its cycles and a display. So the same
conversation runs behind the full screen, over a pipe, and in the tests.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from duo.decoding.conversant import Conversant, CycleResult, Event, Heard, Revision
from duo.decoding.systems import build
from duo.runs import versions
from duo.transcript import Header, Transcript, TranscriptEvent
from duo.words import Piece, blank_between
from sessions.play import TranscriptBuilder, cycle_length

if TYPE_CHECKING:
    from duo.backbone import Backbone

DECISIONS = frozenset({"respond", "ignore"})
#: Seconds without a key that are silence, and make a word half typed a whole one: whatever the
#: system's cycle, as people type at the same pace.
PAUSE = 1.0
_CLOSING = frozenset('.,;:!?…)]}"”»')


class TypedInput:
    """Hear one utterance after another from an input line that may be edited.

    Whole words are heard while the line is still being written: a word counts once a blank, closing
    punctuation or Enter follows it; a word half typed waits until no key was struck for `PAUSE`.
    Writing systems without blanks are heard character by character. The typist may change words
    that were heard already: then the whole utterance is heard again, as a `Revision`. So it is,
    unchanged, while somebody types who has no whole word more: the utterance is not over, nobody
    silent.

    An utterance goes on, from one entered line to the next, until the system has decided about it
    (`decided`). What was typed but not heard by then opens the next one.

    The pieces heard of an utterance, joined as they are, with each `Revision` replacing all before
    it, are a beginning of its text, and after a pause the whole of it.

    Attributes:
        line: the part of the input line that belongs to the utterance that is still open.
        heard: all that was heard of that.
    """

    def __init__(self) -> None:
        self._entered = ""  # whole lines of this utterance
        self.line = ""
        self._text = ""  # the two joined
        self._times: list[float] = []  # when each character of the text was typed
        self.changed_at = 0.0
        self.heard = ""

    @property
    def waiting(self) -> bool:
        """True while what was heard is not yet what was typed."""
        return self._text.rstrip() != self.heard

    @property
    def unheard(self) -> str:
        """The text typed after what was heard."""
        return self._text[common_start(self._text, self.heard) :]

    @property
    def span(self) -> tuple[float, float]:
        """The times of the first and the last key of what was heard of the utterance."""
        times = self._times[: len(self.heard)] or [self.changed_at]
        return times[0], times[-1]

    def typed(self, line: str, now: float) -> None:
        """Take note that the input line reads `line` now."""
        if line != self.line:
            self.line = line
            self._write(_joined(self._entered, line), now)

    def entered(self, now: float) -> None:
        """Take note that Enter was pressed: the line is complete, and a new one begins."""
        self._entered, self.line = self._text.rstrip(), ""
        self._write(self._entered, now)

    def corrected(self, text: str, now: float) -> None:
        """Replace the whole open utterance by `text`: how a recogniser revises it."""
        self._entered, self.line = text.strip(), ""
        self._write(self._entered, now)

    def hear(self, now: float) -> tuple[Heard, tuple[Piece, ...]]:
        """Return what is newly heard, and its words; a revision and silence have none."""
        complete = self._text[: self._complete(now)].rstrip()
        before = len(self.heard)
        if self._text.startswith(self.heard):
            if len(complete) <= before:
                typing = self.line and not self._pauses(now)
                return Revision(self.heard) if typing and self.heard else "", ()
            self.heard = complete
            return complete[before:], self._words(before)
        self.heard = complete
        return Revision(complete), ()

    def decided(self) -> None:
        """End the utterance with what was heard of it, as the system has decided about it."""
        kept = common_start(self._text, self.heard)
        if kept < len(self._entered):
            self._entered = self._entered[kept:].lstrip()
        else:
            # The part of the line that was heard goes; only the text knows how the two were joined.
            self._entered, self.line = "", self._text[kept:].lstrip()
        times = self._times
        self._text = _joined(self._entered, self.line)
        self._times = times[len(times) - len(self._text) :]
        self.heard = ""

    def _write(self, text: str, now: float) -> None:
        kept = common_start(self._text, text)
        self._text = text
        self._times[kept:] = [now] * (len(text) - kept)
        self.changed_at = now

    def _pauses(self, now: float) -> bool:
        return now - self.changed_at > PAUSE

    def _complete(self, now: float) -> int:
        """Count the characters of the text that are whole words."""
        if self._pauses(now):
            return len(self._text)
        for end in range(len(self._text), len(self._entered), -1):
            if _ends_word(self._text[end - 1]):
                return end
        return len(self._entered)

    def _words(self, begin: int) -> tuple[Piece, ...]:
        found = re.finditer(r"\s*(\S+)", self.heard[begin:])
        return tuple(
            Piece(
                self._times[begin + match.start(1)], self._times[begin + match.end() - 1], match[0]
            )
            for match in found
        )


def _ends_word(character: str) -> bool:
    return character in _CLOSING or not blank_between(character, "a")


def _joined(before: str, line: str) -> str:
    """Append a further line of the same utterance."""
    line = line.lstrip()
    return before + blank_between(before, line) + line


def common_start(one: Sequence[str], other: Sequence[str]) -> int:
    """Count the characters of two texts, or the words of two lists, that are the same at first."""
    return next(
        (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )


@dataclass(frozen=True)
class CycleStatus:
    """The state of the system in one cycle; `lag` is by how many seconds it overran the cycle."""

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


class Display(Protocol):
    """Is told what happens at the moment when it happens."""

    def show_event(self, event: TranscriptEvent) -> None: ...

    def show_status(self, status: CycleStatus) -> None: ...


class Words(Protocol):
    """Says what was heard of one utterance after another: see `TypedInput`.

    Attributes:
        heard: all that was heard of the open utterance.
        span: when that began and ended.
        changed_at: when what there is to hear changed last.
    """

    heard: str
    changed_at: float

    @property
    def span(self) -> tuple[float, float]: ...

    def hear(self, now: float) -> tuple[Heard, tuple[Piece, ...]]: ...

    def decided(self) -> None: ...


def free_path(folder: Path, name: str = "") -> Path:
    """Find a transcript's path that is not taken yet: by date and time, if no name is given."""
    stem = name or datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    path, again = folder / f"{stem}.jsonl", 1
    while path.exists():
        again += 1
        path = folder / f"{stem}-{again}.jsonl"
    return path


class Builder:
    """Builds systems by name, with these `settings`; keeps the model that was loaded last."""

    def __init__(
        self,
        settings: Mapping[str, Mapping[str, Any]],
        loading: Mapping[str, Any],
        seed: int,
        header: Mapping[str, Any],
    ) -> None:
        """Load models as `duo.backbone.load` does; `header` has more fields of the transcript's."""
        self.settings, self._loading, self._seed, self._header = settings, loading, seed, header
        self._loaded: tuple[str, Backbone] | None = None

    def __call__(self, system: str, model: str) -> tuple[Conversant, Header]:
        """Build a system with its model ("none": without one), and its transcript's header.

        Raises:
            BadInput: it cannot be built; or see `cycle_length`.
        """
        backbone, day = None, {}
        if model != "none":
            if self._loaded is None or self._loaded[0] != model:
                from duo.backbone import load

                self._loaded = None  # before the next one takes its memory
                self._loaded = model, load(model, **self._loading)
            backbone = self._loaded[1]
            day = backbone.chat.shown_day
        settings = dict(self.settings[system])
        conversant = build(system, backbone, seed=self._seed, **settings)
        settings |= self._header.get("settings", {})
        known = {
            "system": system,
            "model": model,
            "seed": self._seed,
            "cycle_seconds": cycle_length(conversant),
            "settings": settings | ({"backbone": dict(self._loading)} if self._loading else {}),
            "versions": versions() | self._header.get("versions", {}) | day,
        }
        return conversant, Header(**{**self._header, **known})


class Conversation:
    """One person who types, or speaks, and one system that answers.

    In every cycle call `hear`, let the system compute, `record` what came of it and pass each of
    its events through `settle` when its time has come; at the end call `finish`. What `hear` and
    `settle` return is to be shown, in this order.
    """

    def __init__(self, system: Conversant, header: Header, words: Words | None = None) -> None:
        """Hear what is typed into `typed_input`, or else `words`."""
        self.system, self.header = system, header
        self.typed_input = TypedInput()
        self._words = words or self.typed_input
        self.cycle = 0
        self.utterance = ""  # name of the open one; "" when nothing is open
        self._utterances = 0
        self.decides = False  # whether the system has ever reported that it listens or decides
        self._builder = TranscriptBuilder(header)

    def hear(self, now: float) -> tuple[Heard, list[TranscriptEvent]]:
        """Return what the system is to hear in the cycle that begins `now`."""
        before = self._words.heard
        heard, words = self._words.hear(now)
        if heard and not self.utterance:
            self._utterances += 1
            self.utterance = f"u{self._utterances}"
        cycle, utterance = self.cycle, self.utterance
        for word in words:
            self._builder.word(
                word.text, start=word.start, end=word.end, cycle=cycle, utterance=utterance
            )
        if isinstance(heard, Revision) and heard.text != before:  # else it means: not over yet
            at = self._words.changed_at
            self._builder.revision(heard.text, at=at, cycle=cycle, utterance=utterance)
        return heard, self._builder.fresh()

    def status(self, result: CycleResult, took: float) -> CycleStatus:
        """Say how the cycle went that was heard last and took so many seconds."""
        decided = any(event.kind in DECISIONS for event in result.events)
        return CycleStatus(
            cycle=self.cycle,
            forward_passes=result.forward_passes,
            busy=result.busy,
            listening=bool(self.utterance) and not decided,
            lag=max(0.0, took - self.system.cycle_seconds),
        )

    def record(self, result: CycleResult, start: float, seconds: float) -> list[TranscriptEvent]:
        """Write down the cycle that began at `start` and lasted `seconds`; its events."""
        self._builder.cycle(
            result, cycle=self.cycle, start=start, seconds=seconds, utterance=self.utterance
        )
        self.cycle += 1
        return self._builder.fresh()

    def note(self, text: str, at: float) -> list[TranscriptEvent]:
        """Write down something that the reader should know."""
        self._builder.note(text, at=at, cycle=self.cycle)
        return self._builder.fresh()

    def said(self, words: Sequence[Piece]) -> list[TranscriptEvent]:
        """Write down what a voice has said of the system's words, when it has said it."""
        for word in words:
            self._builder.speech(word)
        return self._builder.fresh()

    def happened(self, events: Sequence[Event], at: float) -> list[TranscriptEvent]:
        """Write down events of the last cycle that come true only now, `at` a moment after it."""
        self._builder.cycle(
            CycleResult(tuple(events)),
            cycle=max(self.cycle - 1, 0), start=at, seconds=0.0, utterance=self.utterance,
        )  # fmt: skip
        return self._builder.fresh()

    def settle(self, event: TranscriptEvent) -> list[TranscriptEvent]:
        """Return the event, and the end of the utterance if the event decides about it.

        A system that reports no decisions has taken up what it answers.
        """
        self.decides |= event.kind in {*DECISIONS, "fork"}
        answers = not self.decides and event.kind in {"speech", "answer_end"}
        return [event, *(self._close(event.cycle) if event.kind in DECISIONS or answers else ())]

    def so_far(self) -> Transcript:
        """Return the transcript as it is; it may go on."""
        return self._builder.transcript()

    def finish(self) -> Transcript:
        """Return the transcript. An utterance without a decision ends with the conversation."""
        self._close(max(self.cycle - 1, 0))
        return self._builder.transcript()

    def _close(self, cycle: int) -> list[TranscriptEvent]:
        if not self.utterance:
            return []
        start, end = self._words.span
        self._builder.utterance(
            self.utterance, self._words.heard,
            start=start, end=end, cycle=cycle, label=None, category="",
        )  # fmt: skip
        self._words.decided()
        self.utterance = ""
        return self._builder.fresh()


async def converse(
    conversation: Conversation,
    clock: Clock,
    run_cycle: Callable[[Heard], Awaitable[CycleResult]],
    display: Display,
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
            display.show_event(event)
        result = await run_cycle(heard)
        took = clock.now() - start
        display.show_status(conversation.status(result, took))
        for event in conversation.record(result, start, max(took, length)):
            await clock.until(event.start)
            for seen in conversation.settle(event):
                display.show_event(seen)
        due = max(due + length, clock.now())
