"""Measure what training costs, by how well plain dialogues' answers are predicted.

Plain means without state tokens and remarks: what the base model was made for. The tokens that are
scored are those of the answers and of the token that ends each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from duo.backbone import Backbone
from duo.data.sample import AssistantTurn, Sample, UserTurn, read_samples
from duo.decoding.reading import logits_only_where
from duo.errors import BadInput
from duo.files import sha256
from duo.runs import versions
from duo.terminal import progress
from duo.training.encode import NOT_LEARNED, Encoder, TooLong
from evaluation.scores import AnswerLoss, Answers, Data


def plain_dialogue(sample: Sample) -> Sample | None:
    """Keep the sample's queries and answers alone; None if no answer is left."""
    kept = [
        message
        for message in sample.messages
        if not isinstance(message, UserTurn) or message.state == "<1>"
    ]
    answered = any(isinstance(message, AssistantTurn) for message in kept)
    return sample.model_copy(update={"messages": tuple(kept)}) if answered else None


@torch.inference_mode()
def answer_loss(
    backbone: Backbone,
    samples: Iterable[Sample],
    *,
    max_tokens: int = 1024,
    on_done: Callable[[], None] = lambda: None,
) -> AnswerLoss:
    """Compute the mean loss of the answers of plain dialogues.

    Args:
        backbone: the model.
        samples: of any kind; see `plain_dialogue`. Those too long lose exchanges from the front.
        max_tokens: longest dialogue, if the model can read that many.
        on_done: called after each dialogue.
    """
    longest = min(max_tokens, backbone.max_tokens)
    encoder = Encoder(backbone.tokenizer, max_tokens=longest, chat=backbone.chat.name)
    states = backbone.states.all
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
        on_done()
    nats = total / tokens if tokens else None
    perplexity = None if nats is None else math.exp(nats)
    return AnswerLoss(
        nats=nats,
        perplexity=perplexity,
        tokens=tokens,
        dialogues=dialogues,
        number_format=backbone.number_format,
    )


def evaluate_answers(
    models: Sequence[str], data: Path, *, limit: int | None = None, **load_settings: Any
) -> Answers:
    """Measure models on the same dialogues.

    Args:
        models: see `duo.backbone.load`.
        data: samples that none of them was trained on, such as `validation.jsonl`.
        limit: how many dialogues, the first ones; None for all.
        load_settings: of `duo.backbone.load`.

    Raises:
        BadInput: of a model or the data.
    """
    from duo.backbone import load

    samples = list(islice(filter(None, map(plain_dialogue, read_samples(data))), limit))
    if not samples:
        raise BadInput("no dialogue with an answer", file=data)
    losses: dict[str, AnswerLoss] = {}
    with progress("reading", len(models) * len(samples)) as bar:
        for model in models:
            losses[model] = answer_loss(
                load(model, engine="torch", **load_settings), samples, on_done=bar.advance
            )
            if not losses[model].tokens:
                raise BadInput(f"every dialogue is too long for {model}", file=data)
    return Answers(
        data=Data(file=data.name, sha256=sha256(data), dialogues=len(samples)),
        models=losses,
        versions=versions(),
    )
