"""Play a scenario's user to a dialogue system, on a clock.

Cycle c of a system begins at c T, where T is its `cycle_seconds`. It hears the words that ended
since the cycle before began, and what it says is spoken until the next begins; the user hears that
word by word, and may speak at any moment of it (see `sessions.user`). On the real clock a
system that computes longer than T begins its next cycle late; everything after that is late too,
as it would be for a person.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from duo.decoding.conversant import (
    CHANNEL_OF,
    Conversant,
    CycleResult,
    Heard,
    Kind,
    Recalling,
    Revision,
)
from duo.errors import BadInput
from duo.transcript import Header, Label, Transcript, TranscriptEvent
from duo.words import DECIMALS, Piece, blank_between
from sessions.scenario import Hearing, Scenario, heard_text
from sessions.user import HeardPart, Said, ScriptedUser

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from duo.decoding.batched import Session
    from duo.decoding.conversant import Steps

MAX_SECONDS = 180.0
#: A conversation is over when nobody has spoken for so many seconds after the last answer: longer
#: than a breath, so that an answer to what wanted none is still recorded.
QUIET_SECONDS = 6.0

_DECISIONS = {Kind.RESPOND, Kind.IGNORE}
_REPORTS = _DECISIONS | {Kind.FORK}
_ANSWERS = {Kind.SPEECH, Kind.ANSWER_END}


#: A cycle that begins less than this late (seconds) counts as begun in time.
TOLERANCE = 0.02


class Clock(Protocol):
    """Says when a cycle begins."""

    def begin(self, due: float) -> float:
        """Wait for `due`, in seconds from the first call; return when the cycle begins."""


class Simulated:
    """Computing takes no time: every cycle begins when it is due."""

    def begin(self, due: float) -> float:
        """Return `due` itself."""
        return due


class RealTime:
    """Computing takes the time that it takes: after a slow cycle the next one begins late."""

    def __init__(
        self, now: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._now, self._sleep = now, sleep
        self._start: float | None = None

    def begin(self, due: float) -> float:
        """Sleep until `due`; later than `due` if that has passed already."""
        if self._start is None:
            self._start = self._now() - due
        early = due - (self._now() - self._start)
        if early > 0:
            self._sleep(early)
        now = self._now() - self._start
        return due if now < due + TOLERANCE else round(now, DECIMALS)


SIMULATED = Simulated()


class TranscriptBuilder:
    """Collect the events of one conversation in the order of the clock.

    The recorder and the live chat both use it, so that they leave the same kind of transcript.
    """

    def __init__(self, header: Header) -> None:
        self.header = header
        self._events: list[TranscriptEvent] = []
        self._read = 0

    def fresh(self) -> list[TranscriptEvent]:
        """Return the events since the last call, in the order in which they were written."""
        written = self._events[self._read :]
        self._read = len(self._events)
        return written

    def word(self, text: str, *, start: float, end: float, cycle: int, utterance: str) -> None:
        """Write down that the system heard `text`, spoken from `start` to `end`."""
        self._add("word", start, end, "input", cycle, text=text, utterance=utterance)

    def revision(self, text: str, *, at: float, cycle: int, utterance: str) -> None:
        """Write down that `text` replaces all that was heard of the utterance."""
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
        """Write down that an utterance of the user is complete."""
        self._add(
            "utterance", start, end, "input", cycle,
            text=text, utterance=name, label=label, category=category,
        )  # fmt: skip

    def recognised(self, parts: Iterable[HeardPart], *, cycle: int) -> None:
        """Write down what a recogniser made of what was said."""
        for part in parts:
            one = part.hearing
            for utterance, text in part.restated:
                self.revision(text, at=one.end, cycle=cycle, utterance=utterance)
            if not one.restates:
                self._add(
                    "recognised", one.start, one.end, "input", cycle,
                    text=one.text, utterance=part.utterance,
                )  # fmt: skip

    def cycle(
        self, result: CycleResult, *, cycle: int, start: float, seconds: float, utterance: str = ""
    ) -> tuple[TranscriptEvent, ...]:
        """Write down what the system did in the cycle that began at `start` and lasts `seconds`.

        Speech made by step i of n lasts from (i-1)/n to i/n of the cycle: a system speaks evenly.
        Decisions stand at the moment after their step. `utterance` is the one being heard. What
        was written down of it is returned, in the order in which it happened.
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

    def speech(self, words: Piece) -> None:
        """Write down words of the system that were spoken by a voice, after their cycle."""
        self._add("speech", words.start, words.end, "output", words.cycle, text=words.text)

    def note(self, text: str, *, at: float, cycle: int) -> None:
        """Write down something about the recording that its reader should know."""
        self._add("note", at, at, "system", cycle, text=text)

    def transcript(self) -> Transcript:
        """Put all events in order of start; an utterance before its words, others as they came."""
        events = sorted(self._events, key=lambda event: (event.start, event.kind != "utterance"))
        return Transcript(header=self.header, events=tuple(events))

    def _add(
        self, kind: Any, start: float, end: float, channel: Any, cycle: int, **more: Any
    ) -> None:
        if "text" in more:  # half of a UTF-16 pair, as a terminal can give, is no character
            more["text"] = more["text"].encode("utf-8", "replace").decode("utf-8")
        begin, over = round(start, DECIMALS), round(end, DECIMALS)
        self._events.append(
            TranscriptEvent(kind=kind, start=begin, end=over, channel=channel, cycle=cycle, **more)
        )


@dataclass(frozen=True)
class Recording:
    """A conversation and what it took.

    Attributes:
        transcript: on the conversation's clock.
        machine_seconds: wall time that the system computed.
        shared: the conversation was held at once with others, whose time is in this too.
        late_cycles: cycles that began late; only on the real clock.
        late_seconds: by how much, together.
        system_sound: what was heard of a system that speaks, as `sessions.voice.recogniser.Sound`.
    """

    transcript: Transcript
    machine_seconds: float
    shared: bool = False
    late_cycles: int = 0
    late_seconds: float = 0.0
    system_sound: NDArray[np.float32] | None = None


def play(
    scenario: Scenario,
    conversant: Conversant,
    header: Header,
    *,
    clock: Clock = SIMULATED,
    max_seconds: float = MAX_SECONDS,
    on_cycle: Callable[[float], None] | None = None,
    user: ScriptedUser | None = None,
) -> Recording:
    """Hold the conversation from a fresh start and write it down.

    On a simulated clock the transcript depends on nothing but the arguments. A conversation that is
    not over after `max_seconds` is cut, which a note in the transcript says.

    Args:
        on_cycle: called with the time at which each cycle begins.
        user: says what the scenario says; one that types it if not given.

    Raises:
        BadInput: see `cycle_length` and `recall`.
    """
    session = playing(
        scenario, conversant, header,
        clock=clock, max_seconds=max_seconds, on_cycle=on_cycle, user=user,
    )  # fmt: skip
    try:
        next(session)  # without `steps` there is nothing to hand over
    except StopIteration as done:
        recording: Recording = done.value
        return recording
    raise RuntimeError("a conversation without steps has handed over channels")


def playing(
    scenario: Scenario,
    conversant: Conversant,
    header: Header,
    *,
    clock: Clock = SIMULATED,
    max_seconds: float = MAX_SECONDS,
    on_cycle: Callable[[float], None] | None = None,
    user: ScriptedUser | None = None,
    steps: Callable[[Heard], Steps] | None = None,
) -> Session[Recording]:
    """Do what `play` does, as a session among others that hand over `steps`, if it has any.

    See `duo.decoding.batched`; without `steps`, cycles are run here and now.
    """
    seconds = cycle_length(conversant)
    conversant.reset()
    recall(scenario, conversant)
    builder, listener = TranscriptBuilder(header), Listener()
    user = ScriptedUser(scenario) if user is None else user
    if scenario.context:
        builder.note(f"goes on from turns held before: {len(scenario.context)}", at=0.0, cycle=0)
    machine_seconds = late_seconds = 0.0
    cycle = late_cycles = 0
    on_time, since = 0.0, 0  # cycles are due every `seconds` from here, counted from cycle `since`
    while True:
        due = round(on_time + (cycle - since) * seconds, DECIMALS)
        now = clock.begin(due)
        if now > due:
            late_cycles, late_seconds = late_cycles + 1, late_seconds + now - due
            on_time, since = now, cycle
        user.speak(until=now)
        over = user.has_nothing_to_add(now, QUIET_SECONDS)
        if over or now >= max_seconds:
            break
        if on_cycle is not None:
            on_cycle(now)
        said = user.said_by(now)
        write_down(said, cycle, builder)
        parts = user.heard_by(now, said)
        if user.recognised:
            builder.recognised(parts, cycle=cycle)
        heard = listener.hear(parts, speaking=user.speaking)
        began = time.perf_counter()
        result = conversant.cycle(heard) if steps is None else (yield from steps(heard))
        machine_seconds += time.perf_counter() - began
        done = builder.cycle(
            result, cycle=cycle, start=now, seconds=seconds, utterance=listener.utterance
        )
        user.hear(
            Piece(event.start, event.end, event.text, event.cycle)
            for event in done
            if event.kind == "speech"
        )
        listener.system_acts({event.kind for event in result.events})
        cycle += 1
    if not over:
        unsaid = f", utterances not said: {user.unsaid}" if user.unsaid else ""
        builder.note(f"cut after {max_seconds:g} s{unsaid}", at=now, cycle=cycle)
    if late_cycles:
        late = f"cycles that began late: {late_cycles} of {cycle}, by {late_seconds:.3f} s in all"
        builder.note(late, at=now, cycle=cycle)
    return Recording(
        builder.transcript(), machine_seconds, steps is not None, late_cycles, late_seconds
    )


def recall(scenario: Scenario, conversant: Conversant) -> None:
    """Let a system that was just reset go on from the scenario's context, if it has one.

    Raises:
        BadInput: it has one, and the system cannot.
    """
    if not scenario.context:
        return
    if not isinstance(conversant, Recalling):
        raise BadInput(
            f"system {conversant.name!r} cannot go on from a dialogue held before",
            file=scenario.name,
            field="context",
        )
    conversant.recall([before.turn for before in scenario.context])


def cycle_length(conversant: Conversant) -> float:
    """Check and return a system's `cycle_seconds`.

    Raises:
        BadInput: not even a millisecond, so that time would stand still, more than an hour, or no
            number at all.
    """
    seconds = conversant.cycle_seconds
    if not isinstance(seconds, int | float) or not 10**-DECIMALS <= seconds <= 3600:
        raise BadInput("a cycle lasts from a millisecond to an hour", field="cycle_seconds")
    return float(seconds)


class Listener:
    """Turn what is heard in a cycle into what the system is told.

    To the system an utterance lasts until it has decided about it, so one of the user's may come to
    it in pieces, and two may come to it as one. Two that it may take for one have a blank between
    them, and a revision restates both.
    """

    def __init__(self) -> None:
        self.utterance = ""  # id of the one last heard
        self._stretch = ""  # the one last heard
        self._told = ""  # since the system last reported a decision
        self._earlier = ""  # utterances before this one that are open
        self._current = ""  # heard of this one, if it is open
        self._decides = False  # whether the system has ever reported a decision or a fork

    def hear(self, parts: Iterable[HeardPart], *, speaking: bool = False) -> Heard:
        """Return what the system hears in this cycle.

        While somebody is `speaking`, what is open is said again if there is no word.
        """
        words, revised = "", False
        for part in parts:
            self.utterance, hearing = part.utterance, part.hearing
            word = self._word(part.stretch, hearing)
            if hearing.restates:
                revised, self._current = True, hearing.text
            else:
                self._current += word
            words += word
            self._told += word
        if revised or (speaking and not words):
            between = blank_between(self._earlier, self._current)
            open_ = self._earlier + between + self._current
            return Revision(open_) if open_ or revised else ""
        return words

    def system_acts(self, happened: set[Kind]) -> None:
        """Begin a new utterance if the system did these things and is through with the last one.

        A system that reports no decisions has taken up what it answers.
        """
        self._decides |= bool(happened & _REPORTS)
        if happened & (_DECISIONS if self._decides else _ANSWERS):
            self._earlier = self._current = ""
            if self._decides:
                self._told = ""

    def _word(self, stretch: str, hearing: Hearing) -> str:
        """Make the word join what the system was told before."""
        first = stretch != self._stretch
        if first:
            self._stretch = stretch
            self._earlier, self._current = self._earlier + self._current, ""
        if not self._told:
            return hearing.text.lstrip()
        return (blank_between(self._told, hearing.text) if first else "") + hearing.text


def write_down(
    said: Iterable[tuple[Said, Hearing]], cycle: int, builder: TranscriptBuilder
) -> None:
    """Write down what the user has said, and each utterance with its last word."""
    for one, hearing in said:
        name = one.utterance.id
        if hearing.restates:
            builder.revision(hearing.text, at=hearing.end, cycle=cycle, utterance=name)
        else:
            builder.word(
                hearing.text, start=hearing.start, end=hearing.end, cycle=cycle, utterance=name
            )
        if hearing is one.hearings[-1]:
            builder.utterance(
                name,
                heard_text(one.hearings),
                start=one.start,
                end=one.spoken_until,
                cycle=cycle,
                label=one.utterance.label,
                category=one.utterance.kind,
            )
