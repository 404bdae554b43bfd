"""What training costs: how well the answers of plain dialogues are predicted, before and after.

Plain means without state tokens and remarks: what the base model was made for. The tokens that are
scored are those of the answers and of the token that ends each.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch.nn import functional

from duo.backbone import Backbone
from duo.data.sample import AssistantTurn, Sample, UserTurn
from duo.training.encode import NOT_LEARNED, Encoder, TooLong
from duo.training.loss import logits_only_where


@dataclass(frozen=True)
class AnswerLoss:
    """How well answers are predicted.

    Attributes:
        nats: mean negative log likelihood of an answer's token.
        tokens: how many were scored.
        dialogues: of how many dialogues.
    """

    nats: float
    tokens: int
    dialogues: int

    @property
    def perplexity(self) -> float:
        return math.exp(self.nats)


def plain_dialogue(sample: Sample) -> Sample | None:
    """The sample's queries and answers alone; None if no answer is left."""
    kept = [
        message
        for message in sample.messages
        if not isinstance(message, UserTurn) or message.state == "<1>"
    ]
    answered = any(isinstance(message, AssistantTurn) for message in kept)
    return sample.model_copy(update={"messages": tuple(kept)}) if answered else None


@torch.inference_mode()
def answer_loss(
    backbone: Backbone, samples: Iterable[Sample], *, max_tokens: int = 1024
) -> AnswerLoss:
    """The mean loss of the answers of plain dialogues.

    Args:
        backbone: the model.
        samples: of any kind; see `plain_dialogue`. Those too long lose exchanges from the front.
        max_tokens: longest dialogue.
    """
    encoder = Encoder(backbone.tokenizer, max_tokens=max_tokens, chat=backbone.chat.name)
    states = vars(backbone.states).values()
    total, tokens, dialogues = 0.0, 0, 0
    for sample in filter(None, map(plain_dialogue, samples)):
        try:
            encoded = encoder.sample(sample)
        except TooLong:
            continue
        # Without the state tokens: a model that has never seen them is to be measured as well.
        pairs = zip(encoded.ids, encoded.labels, strict=True)
        ids, labels = zip(*(pair for pair in pairs if pair[0] not in states), strict=True)
        row = torch.tensor([ids], device=backbone.device)
        target = torch.tensor(labels[1:], device=backbone.device)
        where = functional.pad(target != NOT_LEARNED, (0, 1))[None]
        with logits_only_where(backbone.model, where):
            logits = backbone.model(row, use_cache=False).logits[0]
        target = target[target != NOT_LEARNED]
        total += float(functional.cross_entropy(logits.float(), target, reduction="sum"))
        tokens += len(target)
        dialogues += 1
    return AnswerLoss(total / tokens if tokens else math.nan, tokens, dialogues)
