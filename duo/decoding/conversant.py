"""Define the protocol of a dialogue system: a conversation in cycles.

In a cycle the words newly heard come in (possibly none: silence), the system computes, and what it
says in this cycle goes out. All of `duo.decoding.systems` implement it; so may anybody's system,
which can then be recorded and measured beside ours.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

    from duo.decoding.channels import Channels, Together, Waiting
    from duo.decoding.settings import Settings


@dataclass(frozen=True)
class Revision:
    """The recogniser changes its mind: `text` replaces all that was heard of this utterance.

    The text that was heard already says that the user is speaking, but of no word as yet.
    """

    text: str


@dataclass(frozen=True)
class Frames:
    """What was heard in a cycle as vectors in place of words; they are only ever appended to.

    `duo` takes them, on a model that `duo.fusion.take_in` has prepared before the system was made.

    Attributes:
        vectors: `[frames, size]`, in the place of input embeddings, of an encoder of sound.
    """

    vectors: Tensor


Result = TypeVar("Result")

#: What is heard in one cycle: more text of the utterance (joined as it is, so words bring their own
#: blanks), a `Revision`, or "" for silence.
Heard = str | Revision


@dataclass(frozen=True)
class Turn:
    """A turn of a dialogue that was held before: a user's, or an answer that was complete."""

    role: Literal["user", "assistant"]
    text: str


class Kind(StrEnum):
    """What a system can report; the channel it belongs to is `CHANNEL_OF[kind]`."""

    FORK = "fork"  #: an input channel opens: the system begins to listen to an utterance
    PREDICTED = "predicted"  #: `text` is the look-ahead: words expected next, or a state token
    RESPOND = "respond"  #: the utterance is a query; `by` says what decided it
    IGNORE = "ignore"  #: the utterance needs no answer; `by` says what decided it
    SPEECH = "speech"  #: `text` is spoken
    ANSWER_END = "answer_end"  #: the answer is complete; by `LIMIT` if it could not go on
    HOLD = "hold"  #: speech is held: the answer pauses until something is decided
    RESUME = "resume"  #: it goes on where it was
    CUT = "cut"  #: the answer is given up; `text` was spoken after the fork and is now forgotten
    NOTE = "note"  #: something the reader should know (turns dropped), in words


#: `by` of an `ANSWER_END` that comes of the limit on answers, not of the system.
LIMIT = "limit"

_HEARD = (Kind.FORK, Kind.PREDICTED, Kind.RESPOND, Kind.IGNORE)
CHANNEL_OF = {kind: "input" if kind in _HEARD else "output" for kind in Kind}


@dataclass(frozen=True)
class Event:
    """One thing that happened in a cycle.

    Attributes:
        step: after which forward pass of the cycle, from 0 (before the first).
        steps: how many such steps a full cycle has, so that a clock can place the event.
        by: for a decision, "state" (a state token), "patience" (silence alone) or "revision" (all
            that was heard is taken back); for the end of an answer `LIMIT`; else "".
    """

    kind: Kind
    text: str = ""
    step: int = 0
    steps: int = 1
    by: str = ""


@dataclass(frozen=True)
class CycleResult:
    """Events and costs of one cycle.

    Attributes:
        tokens_processed: tokens that those passes carried, both channels together.
        busy: whether an answer is still being given after this cycle.
    """

    events: tuple[Event, ...] = ()
    forward_passes: int = 0
    tokens_processed: int = 0
    busy: bool = False

    @property
    def spoken(self) -> str:
        """The text spoken in this cycle."""
        return "".join(event.text for event in self.events if event.kind is Kind.SPEECH)


@runtime_checkable
class Conversant(Protocol):
    """A dialogue system in real time."""

    name: str
    cycle_seconds: float

    def reset(self) -> None:
        """Forget the conversation; the next cycle begins a new one, with the same seed."""

    def cycle(self, heard: Heard) -> CycleResult:
        """Hear, think, speak for one cycle of `cycle_seconds`."""


@runtime_checkable
class Recalling(Protocol):
    """A system that can also go on from a dialogue that it did not hold itself."""

    def recall(self, turns: Sequence[Turn]) -> None:
        """Take these turns for the conversation so far; called right after `reset`.

        A user turn that no answer follows was no query. Nothing is encoded before the next cycle.
        """


@runtime_checkable
class Voiced(Protocol):
    """A system whose words a voice says, later than they are made."""

    def unheard(self, text: str) -> None:
        """Learn before a cycle which end of the answer so far nobody has heard yet.

        If the answer is cut in this cycle, that end was never said.
        """


#: A cycle in progress. It hands over channels to encode, several as `Together`, and is sent their
#: `Scores`; or tensors to read, and is sent the numbers of each. Whoever runs it may do that for
#: one conversation, or for many at once; so the device of many is waited for once a pass.
Steps: TypeAlias = "Generator[Waiting, Any, CycleResult]"


def run(steps: Generator[Waiting, Any, Result]) -> Result:
    """Run one cycle of one conversation, or whatever consists of such cycles."""
    from duo.decoding.channels import read_together

    try:
        waiting = next(steps)
        while True:
            if isinstance(waiting, list):
                waiting = steps.send(read_together([waiting])[0])
            else:
                waiting = steps.send(waiting.encode())
    except StopIteration as done:
        return done.value


class System(ABC):
    """A system of ours: a conversant whose cycles are made of passes that others may share.

    Attributes:
        silent_cycles: since something was heard.
    """

    def __init__(self, settings: Settings) -> None:
        self.cycle_seconds, self.silent_cycles = settings.cycle_seconds, 0

    @property
    def silence(self) -> float:
        """Seconds since something was heard, in whole cycles."""
        return self.silent_cycles * self.cycle_seconds

    def note_silence(self, heard: Heard) -> bool:
        """Count a cycle; return whether it is silent: blanks are, and a revision never is."""
        silent = not (isinstance(heard, Revision) or heard.strip())
        self.silent_cycles = self.silent_cycles + 1 if silent else 0
        return silent

    def cycle(self, heard: Heard) -> CycleResult:
        """Hear, decide, speak; see `Conversant.cycle`."""
        return run(self.steps(heard))

    @abstractmethod
    def steps(self, heard: Heard) -> Steps:
        """Run the cycle, pass by pass; see `Steps`."""


def heard_so_far(before: str, heard: Heard) -> str:
    """Return the utterance after a cycle, of which `before` was heard until then."""
    return heard.text if isinstance(heard, Revision) else before + heard


class CycleLog:
    """Collects what happens in a cycle.

    Attributes:
        step: the forward passes made.
        mute: the voice is stopped, so that what would be spoken is `unheard` instead.
    """

    def __init__(self, channels: Channels | Together, steps: int) -> None:
        self.step = 0
        self.mute, self.unheard = False, ""
        self._steps = steps
        self._channels = channels
        self._before = channels.forward_passes, channels.tokens_processed
        self._events: list[Event] = []

    def add(self, kind: Kind, text: str = "", *, by: str = "") -> None:
        """Note an event at the present step."""
        self._events.append(Event(kind, text, step=self.step, steps=self._steps, by=by))

    def respond(self, by: str, speaking: bool, forgotten: str) -> None:
        """Note a response, and what it takes of the answer before, whether that is over or not."""
        self.add(Kind.RESPOND, by=by)
        if speaking:
            self.add(Kind.CUT, forgotten)
        elif forgotten:
            self.add(Kind.NOTE, f"the end of the answer is forgotten: {forgotten}")

    def speech(self, text: str) -> None:
        """Note spoken text; an empty piece is none."""
        if self.mute:
            self.unheard += text
        elif text:
            self.add(Kind.SPEECH, text)

    def result(self, *, busy: bool) -> CycleResult:
        """Report the cycle; `busy` if an answer is still being given."""
        passes, tokens = self._before
        return CycleResult(
            events=tuple(self._events),
            forward_passes=self._channels.forward_passes - passes,
            tokens_processed=self._channels.tokens_processed - tokens,
            busy=busy,
        )
