"""Converse turn by turn, as assistants do today: listen, wait for silence, answer, listen again.

A silence time-out ends the user's turn, whatever was said. While the answer is given, what the user
says waits until it is finished; with `barge_in` any word stops the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import PositiveFloat, PositiveInt
from torch import Tensor
from transformers import PreTrainedModel

from duo.backbone import Backbone
from duo.decoding.channels import Asked, Channels, Scores
from duo.decoding.context import Context
from duo.decoding.conversant import CycleLog, Heard, Kind, Steps, System, Turn, heard_so_far
from duo.decoding.fused import FusedChannels
from duo.decoding.settings import Settings
from duo.decoding.speaker import Speaker


@dataclass(frozen=True, kw_only=True)
class TurnBasedSettings(Settings):
    """Settings of a turn-based assistant.

    Attributes:
        tokens_per_cycle: tokens spoken a cycle; as many as the other systems' pace of speech.
        patience: seconds of silence, in whole cycles, that end the user's turn.
        barge_in: whether any word of the user stops the answer.
    """

    tokens_per_cycle: PositiveInt = 4
    patience: PositiveFloat = 1.0
    barge_in: bool = False


class TurnBased(System):
    """One channel only: the channels never hold an utterance and an answer at once."""

    name = "turn-based"

    def __init__(
        self,
        backbone: Backbone,
        settings: TurnBasedSettings | None = None,
        *,
        channels: Callable[[PreTrainedModel], Channels] = FusedChannels,
    ) -> None:
        self.settings = settings = settings or TurnBasedSettings()
        super().__init__(settings)
        self.channels = channels(backbone.model)
        self.context = Context(backbone, self.channels, settings, settings.tokens_per_cycle)
        self._speaker = Speaker(backbone, self.context, settings, settings.tokens_per_cycle)
        self.reset()

    def reset(self) -> None:
        """Forget the conversation; the next one draws the same random numbers."""
        self.context.reset()
        self._speaker.reset()
        self._waiting = ""  # heard, and not yet taken as the user's turn
        self.silent_cycles = 0

    def recall(self, turns: Sequence[Turn]) -> None:
        """Go on from a dialogue held before; see `duo.decoding.conversant.Recalling`."""
        self.context.recall(turns, states=False)

    def steps(self, heard: Heard) -> Steps:
        log = CycleLog(self.channels, self.settings.tokens_per_cycle)
        if self.context.refused:
            return log.result(busy=False)
        self._hear(heard, log)
        if not self.channels.speaking and self.silence >= self.settings.patience:
            self._take_turn(log)
        self._speaker.make_room(log)
        for _ in range(self.settings.tokens_per_cycle):
            if not self.channels.speaking:
                break
            scores: Scores = yield self.channels
            log.step += 1
            if scores.output is not None:
                numbers = yield self._choose(scores.output)
                self._speak([int(token) for (token,) in numbers], log)
        return log.result(busy=self.channels.speaking)

    def _hear(self, heard: Heard, log: CycleLog) -> None:
        self._waiting = heard_so_far(self._waiting, heard)
        silent = self.note_silence(heard)
        if self.channels.speaking and self.settings.barge_in and not silent:
            self.channels.speaking = False
            log.add(Kind.CUT)

    def _choose(self, scores: Tensor) -> list[Tensor | Asked]:
        return [self._speaker.choose(scores)]

    def _speak(self, chosen: list[int], log: CycleLog) -> None:
        self._speaker.speak(chosen[0], log)

    def _take_turn(self, log: CycleLog) -> None:
        """End the user's turn: open an answer to all that was said in it."""
        if not self._waiting.strip():
            return
        self.context.hear(self._waiting)
        self.context.respond(state=None)
        self._speaker.begin()
        self._waiting = ""
        log.add(Kind.RESPOND, by="patience")
