"""Listen while speaking by fusing what is heard into what is said: a text-level form of LSLM.

In "Language Model Can Listen While Speaking" (Ma et al. 2024) one sequence is generated, and at
each step a vector of what is heard is fused into the model: `early`, into the input embedding;
`middle`, into the input of each layer; `late`, into what the logits are computed from. One more
output, `<irq>`, stops the answer. Here the user's word pieces are heard one a step while the answer
is given, and silence is the zero vector, so that nothing changes while nobody speaks; see
`duo.fusion`. What interrupted is then heard as a turn and answered after a silence, as `turn_based`
does, and so is all that is heard while no answer is given.

What it is not: LSLM's own task is to stop in time; who answers what is not its matter. There is no
sound, no learned silence, and the projections are of low rank.

Cost: one pass a token, and no second cache; then the query's prefill.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

from torch import Tensor
from transformers import PreTrainedModel

from duo.backbone import Backbone
from duo.decoding.channels import Asked, Channels
from duo.decoding.conversant import CycleLog, Heard, Kind, heard_so_far
from duo.decoding.fused import FusedChannels
from duo.decoding.turn_based import TurnBased, TurnBasedSettings
from duo.fusion import PAIR, WINDOW, add_fusion, late_scores, paired
from duo.fusion import Kind as FusionKind
from duo.tokens import CONTROL_TOKENS


@dataclass(frozen=True, kw_only=True)
class LslmSettings(TurnBasedSettings):
    """Settings of channel fusion; `barge_in` is what the model itself decides."""

    barge_in: Literal[False] = False


class Lslm(TurnBased):
    """A turn-based conversation in which the model hears while it speaks, and may stop.

    Attributes:
        interrupts: the control token that stops an answer.
    """

    def __init__(
        self,
        backbone: Backbone,
        settings: LslmSettings | None = None,
        *,
        channels: Callable[[PreTrainedModel], Channels] = FusedChannels,
        name: str = "lslm-early",
    ) -> None:
        self.name = name
        self._late = name == "lslm-late"
        [self.interrupts] = backbone.control(CONTROL_TOKENS[name])
        add_fusion(backbone.model, cast(FusionKind, name.removeprefix("lslm-")))  # if it has none
        self._model: Any = backbone.model
        self._chat = backbone.chat
        super().__init__(backbone, settings or LslmSettings(), channels=channels)

    def reset(self) -> None:
        """Forget the conversation; the next one draws the same random numbers."""
        super().reset()
        self._over = ""  # said over the answer, and not decided about
        self._pieces: list[int] = []  # of it, not yet heard by the model

    def _hear(self, heard: Heard, log: CycleLog) -> None:
        if not self.channels.speaking:  # what was said over an answer is a turn of its own
            self._waiting, self._over, self._pieces = self._waiting + self._over, "", []
            super()._hear(heard, log)
            return
        text = heard_so_far(self._over, heard)
        if text.strip() and not self._over.strip():
            log.add(Kind.FORK)
        self._pieces += self._chat.text(text.removeprefix(self._over))
        self._over = text
        self.note_silence(heard)
        over = self.silence >= 2 * self.settings.patience
        if self._over.strip() and not self._pieces and over:
            log.add(Kind.IGNORE, by="patience")
            self._over = ""

    def _choose(self, scores: Tensor) -> list[Tensor | Asked]:
        ids = self.context.ids
        if self._late and any(id >= PAIR for id in ids[-WINDOW:]):
            scores = scores + late_scores(self._model, ids)
        return [*super()._choose(scores), scores.argmax()]

    def _speak(self, chosen: list[int], log: CycleLog) -> None:
        """Say the next token, beside what is heard with it, or stop."""
        *_, likeliest = chosen
        if self._over.strip() and likeliest == self.interrupts:
            log.add(Kind.CUT)
            self.channels.speaking = False
            return
        super()._speak(chosen, log)
        if self.channels.speaking:
            piece = self._pieces.pop(0) if self._pieces else None
            self.channels.output.ids[-1] = paired(self.channels.output.ids[-1], piece)
