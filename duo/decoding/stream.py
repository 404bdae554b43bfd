"""Hold a conversation as one stream: what is heard and what is said, one after the other.

Here is what `fsm` and `micro_turn` share. Nothing is ever dropped or put in another order, so the
answer sees all that was heard, remarks too; that is what the two channels of `duo` avoid.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from transformers import PreTrainedModel

from duo.backbone import Backbone
from duo.decoding.channels import Channels, Scores
from duo.decoding.context import Context
from duo.decoding.conversant import (
    CycleLog,
    Heard,
    Kind,
    Steps,
    System,
    Turn,
    heard_so_far,
)
from duo.decoding.fused import FusedChannels
from duo.decoding.settings import Settings
from duo.decoding.speaker import Speaker
from duo.tokens import CONTROL_TOKENS


@dataclass(frozen=True, kw_only=True)
class StreamSettings(Settings):
    """Settings of a conversation in one stream.

    Attributes:
        lookahead: tokens spoken a cycle; as many as the other systems' pace of speech.
        patience: seconds of silence, in whole cycles, after which an utterance that the model has
            not decided about counts as ignored.
    """

    lookahead: PositiveInt = 4
    patience: PositiveFloat = 2.0


class Stream(Context):
    """The turns so far as one stream, in which a user turn may still be open.

    Attributes:
        coming: tokens that are about to be taken in.
    """

    coming = 0

    def reset(self) -> None:
        """Begin a new conversation."""
        super().reset()
        self._in_turn = False

    def take(self, ids: Sequence[int]) -> None:
        """Take in what is heard, as an input channel for one pass; see `keep`."""
        self.channels.speaking = False
        opening: list[int] = []
        if not self._in_turn:
            opening = self._open_user_turn()
            self._turns.append(len(self.ids) + len(opening) - len(self._chat.user_open))
            self._in_turn, self.in_answer = True, False
        self.channels.fork([*opening, *ids])
        self.coming = 0

    def keep(self, control: int) -> None:
        """Make what was taken in part of the stream, and the control token after it."""
        self.channels.promote()
        self.channels.extend_prefix([control])

    def answer(self, opening: Sequence[int] = ()) -> None:
        """Go on with the system's words, after an `opening`."""
        self.channels.extend_prefix(opening)
        self.channels.speaking = self.in_answer = True
        self._in_turn = self.answered = False

    def make_room(self) -> list[str]:
        """Make sure that one more cycle fits, with what is `coming`."""
        notes = super().make_room()
        start = self._start
        while not (self.refused or self._fits(self._reserve)):
            self.channels.settle()
            length = len(self.channels.prefix.ids) - start
            self.channels.cut_prefix(start, start + (length + 1) // 2)
            self._turns = [len(self._chat.preamble)]
            notes.append("the turn is too long: the first half of it was forgotten")
        return notes

    def newest(self, ids: list[int], marks: Sequence[int] = ()) -> list[int]:
        """Leave out the beginning of what alone would fill the context, with `marks` after it."""
        return [*ids[-(self._limit - self._reserve - self._start - len(marks) - 1) :], *marks]

    @property
    def _start(self) -> int:
        """Tokens before the words of the first turn."""
        return len(self._chat.preamble) + len(self._chat.user_open)

    def _fits(self, more: int) -> bool:
        return super()._fits(more + self.coming)


class Streamed(System):
    """A system whose conversation is one stream; what its control tokens mean is the subclass's."""

    name: str  # of `CONTROL_TOKENS`, too
    _answering: bool  # an answer is under way, whoever has the word in the stream
    _undecided: bool  # something was heard that nothing was decided about
    _said: str  # the utterance so far
    _silent: bool

    def __init__(
        self,
        backbone: Backbone,
        settings: StreamSettings | None = None,
        *,
        channels: Callable[[PreTrainedModel], Channels] = FusedChannels,
    ) -> None:
        self.settings = settings = settings or StreamSettings()
        super().__init__(settings)
        ends = self._name_controls(backbone.control(CONTROL_TOKENS[self.name]))
        self.channels = channels(backbone.model)
        self._chat, self._states = backbone.chat, backbone.states
        self.context = Stream(backbone, self.channels, settings, settings.lookahead)
        self._speaker = Speaker(
            backbone, self.context, settings, settings.lookahead, frozenset(ends)
        )
        self.reset()

    def reset(self) -> None:
        """Forget the conversation; the next one draws the same random numbers."""
        self.context.reset()
        self._speaker.reset()
        self._answering = False
        self._decided()

    def steps(self, heard: Heard) -> Steps:
        log = CycleLog(self.channels, self.settings.lookahead + 1)
        if self.context.refused:
            return log.result(busy=False)
        words = self._hear(heard, log)
        chunk = self._chunk(words)
        self.context.coming = len(chunk)
        self._speaker.make_room(log)
        if self.context.refused:
            return log.result(busy=False)
        self._answering &= self.channels.speaking or self._pauses
        if chunk:
            self.context.take(chunk)
            scores: Scores = yield self.channels
            log.step += 1
            assert scores.input is not None
            allowed = self._allowed()
            ((place,),) = yield [torch.stack([scores.input[one] for one in allowed]).argmax()]
            self._decide(allowed[int(place)], log)
        for _ in range(self.settings.lookahead):
            if not self.channels.speaking:
                break
            scores = yield self.channels
            log.step += 1
            if scores.output is not None:
                ((token,),) = yield [self._speaker.choose(scores.output)]
                self._speaker.speak(int(token), log)
        self._finish()
        return log.result(busy=self._answering)

    # -- what is heard -----------------------------------------------------------------------

    def _hear(self, heard: Heard, log: CycleLog) -> str:
        """Find the words of this cycle that are new, and note whether the user is silent.

        What was taken in cannot be taken back: an utterance that is revised otherwise than by more
        words is heard again as a whole.
        """
        self._silent = self.note_silence(heard)
        before, self._said = self._said, heard_so_far(self._said, heard)
        words = heard if isinstance(heard, str) else heard.text.removeprefix(before)
        if not self._undecided and words.strip():
            log.add(Kind.FORK)
            self._undecided = True
        return words.strip()

    def _decided(self) -> None:
        """Begin to wait for the next utterance."""
        self._undecided, self._said = False, ""
        self._silent, self.silent_cycles = True, 0

    def _respond(self, log: CycleLog) -> None:
        log.add(Kind.RESPOND, by="state")
        self._decided()
        self._speaker.begin()
        self._answering = True

    def _ignore(self, by: str, log: CycleLog) -> None:
        log.add(Kind.IGNORE, by=by)
        self._decided()

    def _run_out(self, log: CycleLog) -> None:
        """Ignore what the model has not decided about for too long."""
        if self._undecided and self.silence >= self.settings.patience:
            self._ignore("patience", log)

    # -- what a system is --------------------------------------------------------------------

    #: Whether an answer that goes on is not being spoken between cycles.
    _pauses = False

    @abstractmethod
    def _name_controls(self, found: Sequence[int]) -> Sequence[int]:
        """Name the control tokens; return those that end an answer."""

    @abstractmethod
    def _chunk(self, words: str) -> list[int]:
        """Encode what is taken in in this cycle; nothing if nothing is."""

    @abstractmethod
    def _allowed(self) -> list[int]:
        """List the control tokens that may come now, first the one that changes nothing."""

    @abstractmethod
    def _decide(self, control: int, log: CycleLog) -> None:
        """Do what the control token says."""

    def _finish(self) -> None:
        """Do what ends a cycle."""

    @abstractmethod
    def control_token(self, state: Literal["respond", "ignore"] | None) -> int:
        """Name the control token that says now that what was heard is a query, is none, goes on."""

    @abstractmethod
    def recall(self, turns: Sequence[Turn]) -> None:
        """Go on from a dialogue held before; see `duo.decoding.conversant.Recalling`."""
