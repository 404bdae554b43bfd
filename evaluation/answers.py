"""`duo eval answers`: what training costs, by how well plain dialogues' answers are predicted.

Plain means without state tokens and remarks: what the base model was made for. The tokens that are
scored are those of the answers and of the token that ends each.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch.nn import functional

from duo.backbone import Backbone
from duo.data.sample import AssistantTurn, Sample, UserTurn, read_samples
from duo.errors import BadInput
from duo.files import check_writable, sha256, write_text
from duo.runs import versions
from duo.terminal import printable
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
    backbone: Backbone,
    samples: Iterable[Sample],
    *,
    max_tokens: int = 1024,
    on_done: Callable[[], None] = lambda: None,
) -> AnswerLoss:
    """The mean loss of the answers of plain dialogues.

    Args:
        backbone: the model.
        samples: of any kind; see `plain_dialogue`. Those too long lose exchanges from the front.
        max_tokens: longest dialogue, if the model can read that many.
        on_done: called after each dialogue.
    """
    longest = min(max_tokens, backbone.max_tokens)
    encoder = Encoder(backbone.tokenizer, max_tokens=longest, chat=backbone.chat.name)
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
        on_done()
    return AnswerLoss(total / tokens if tokens else math.nan, tokens, dialogues)


def evaluate_answers(
    models: Sequence[str], data: Path, *, limit: int | None = None, out: Path | None = None
) -> list[AnswerLoss]:
    """Measure models on the same dialogues and print a table; the first is what others differ from.

    Args:
        models: see `duo.backbone.load`.
        data: samples that none of them was trained on, such as `validation.jsonl`.
        limit: how many dialogues, the first ones; None for all.
        out: JSON file for the figures; None for none.

    Raises:
        BadInput: of a model or the data.
    """
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table
    from rich.text import Text

    from duo.backbone import load

    if out is not None:
        check_writable(out.parent, wanted=out)
    samples = list(islice(filter(None, map(plain_dialogue, read_samples(data))), limit))
    if not samples:
        raise BadInput("no dialogue with an answer", file=data)
    found = []
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=len(models) * len(samples))
        for model in models:
            found.append(answer_loss(load(model), samples, on_done=lambda: bar.advance(task)))
            if not found[-1].tokens:
                raise BadInput(f"every dialogue is too long for {model}", file=data)
    table = Table("model", "loss (nats)", "perplexity", "change of loss", "tokens")
    for model, loss in zip(models, found, strict=True):
        change = f"{loss.nats - found[0].nats:+.3f}" if loss is not found[0] else ""
        name = Text(printable(model))
        cells = (f"{loss.nats:.3f}", f"{loss.perplexity:.2f}", change, str(loss.tokens))
        table.add_row(name, *cells)
    Console().print(table)
    if out is not None:
        figures = {
            "schema": 1,
            "data": {"file": data.name, "sha256": sha256(data), "dialogues": len(samples)},
            "models": {
                model: {"nats": loss.nats, "perplexity": loss.perplexity, "tokens": loss.tokens}
                for model, loss in zip(models, found, strict=True)
            },
            "versions": versions(),
        }
        write_text(out, json.dumps(figures, indent=1) + "\n")
    return found
