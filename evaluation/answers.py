"""Measure what training costs, by how well plain dialogues' answers are predicted.

Plain means without state tokens and remarks: what the base model was made for. The tokens that are
scored are those of the answers and of the token that ends each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from duo.data.sample import AssistantTurn, Sample, UserTurn, read_samples
from duo.errors import BadInput
from duo.files import Record, Result, sha256
from duo.runs import versions
from duo.table import Column, Table
from duo.terminal import progress
from evaluation.scores import Count, Data, needs_saying

if TYPE_CHECKING:
    from duo.backbone import Backbone

#: Tokens of a dialogue at most.
_CONTEXT_TOKENS = 1024


class AnswerLoss(Record):
    """Mean negative log likelihood of an answer's token, and its exponential; None without any."""

    nats: float | None
    perplexity: float | None
    tokens: Count
    dialogues: Count = 0
    number_format: str = ""


class Answers(Result):
    """The JSON of `duo eval answers`: losses by model; others are compared with the first."""

    kind: Literal["answers"] = "answers"
    schema_version: Literal[1] = Field(default=1, alias="schema")
    data: Data = Data()
    models: dict[str, AnswerLoss]
    versions: dict[str, str] = Field(default={})


def answers_table(found: Answers) -> Table:
    """Tabulate the losses of models, with the change from the first."""
    first = next(iter(found.models.values()), None)
    rows = []
    for model, loss in found.models.items():
        change = None
        if loss is not first and first and loss.nats is not None and first.nats is not None:
            change = loss.nats - first.nats
        rows.append((model, loss.nats, loss.perplexity, change, loss.tokens))
    columns: list[Column | str] = [
        "model", Column("loss (nats)", "number", ".3f"), Column("perplexity", "number", ".2f"),
        Column("change of loss", "number", "+.3f"), "tokens",
    ]  # fmt: skip
    formats = sorted({loss.number_format for loss in found.models.values()})
    said = ", ".join(filter(needs_saying, formats))
    return Table("Loss of plain answers" + (f" ({said})" if said else ""), columns, rows)


def plain_dialogue(sample: Sample) -> Sample | None:
    """Keep the sample's queries and answers alone; None if no answer is left."""
    kept = [
        message
        for message in sample.messages
        if not isinstance(message, UserTurn) or message.state == "<1>"
    ]
    answered = any(isinstance(message, AssistantTurn) for message in kept)
    return sample.model_copy(update={"messages": tuple(kept)}) if answered else None


def answer_loss(
    backbone: Backbone, samples: Iterable[Sample], *, on_done: Callable[[], None] = lambda: None
) -> AnswerLoss:
    """Compute the mean loss of the answers of plain dialogues; see `plain_dialogue`.

    Those longer than the model can read, or than 1,024 tokens, lose exchanges from the front.
    """
    import torch
    from torch.nn.functional import cross_entropy, pad

    from duo.decoding.reading import logits_only_where
    from duo.training.encode import NOT_LEARNED, Encoder, TooLong

    longest = min(_CONTEXT_TOKENS, backbone.max_tokens)
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
        where = pad(target != NOT_LEARNED, (0, 1))[None]
        with torch.inference_mode(), logits_only_where(backbone.model, where):
            logits = backbone.model(row, use_cache=False).logits[0]
        target = target[target != NOT_LEARNED]
        total += float(cross_entropy(logits.float(), target, reduction="sum"))
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
    """Measure models on the same dialogues, which none of them was trained on: the first `limit`.

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
